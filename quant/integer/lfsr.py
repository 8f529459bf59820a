"""Maximal-length linear feedback shift registers: the project's only source of randomness.

Fibonacci form: a step shifts the state left by one and puts the parity of the tapped bits into bit
0 (tap t reads bit t - 1). The word of a draw is the state's low k bits; then the register leaps k
steps, so that words never overlap. A leap is linear over GF(2): it is a matrix, and in hardware a
fixed network of XORs.
"""

from collections.abc import Sequence
from functools import lru_cache, reduce
from operator import xor

import numpy as np

from golden.base.cli import UserError
from quant.formats import RandomFormat
from quant.integer.primitive import primitive

SEED = 0xACE1           # of an export, if it is not given another one
SPREAD = 0x9E3779B1     # 2**32 / golden ratio, a prime: seeds lie far apart among the states
Matrix = tuple[int, ...]    # row i is the mask of the state bits whose parity is the new bit i
LONG = RandomFormat(width=48, taps=(48, 47, 21, 20), stream_jump=1 << 40)   # for longer streams


def master_seed(fmt: RandomFormat, seed: int) -> int:
    """The state from which the streams of the ``--seed`` that a user gives are counted.

    ``SEED - 1 + (seed - SEED) SPREAD`` modulo the number of states, plus 1: one to one on
    1..2**width - 1, and ``SEED`` stays ``SEED``. A seed itself would not do as a state: two states
    that are few steps apart, such as 1 and 3, give words that share most of their bits.
    """
    states = (1 << fmt.width) - 1
    if type(seed) is not int or not 0 < seed <= states:
        raise UserError(f"--seed {seed}: it must be in 1..{states}")
    return (SEED - 1 + (seed - SEED) * SPREAD) % states + 1


def seed_of(fmt: RandomFormat, master: int) -> int:
    """The ``--seed`` whose :func:`master_seed` this is, to be repeated."""
    states = (1 << fmt.width) - 1
    return (SEED - 1 + (master - SEED) * pow(SPREAD, -1, states)) % states + 1


def step_matrix(fmt: RandomFormat) -> Matrix:
    """One single step."""
    feedback = sum(1 << (tap - 1) for tap in fmt.taps)
    return (feedback, *(1 << i for i in range(fmt.width - 1)))


def apply(matrix: Matrix, state: int) -> int:
    """The state after the leap ``matrix``."""
    return sum(((row & state).bit_count() & 1) << i for i, row in enumerate(matrix))


def compose(second: Matrix, first: Matrix) -> Matrix:
    """The leap that does ``first``, then ``second``."""
    return tuple(reduce(xor, (row for i, row in enumerate(first) if mask >> i & 1), 0)
                 for mask in second)


@lru_cache(maxsize=None)
def leap(fmt: RandomFormat, steps: int) -> Matrix:
    """The matrix of ``steps`` single steps, by repeated squaring."""
    if steps == 0:
        return tuple(1 << i for i in range(fmt.width))
    half = leap(fmt, steps // 2)
    whole = compose(half, half)
    return compose(step_matrix(fmt), whole) if steps % 2 else whole


def misfit(fmt: RandomFormat, length: int, layers: int, H: int, n: int) -> str:
    """Why a network's streams do not lie one behind the other in a generator's period, or ""."""
    if not primitive(fmt.width, fmt.taps):
        return (f"taps {fmt.taps} repeat before 2**{fmt.width} - 1 steps: their polynomial is not "
                f"primitive; take {RandomFormat.taps} with width {RandomFormat.width}")
    draws = length * H * n * max(fmt.k, 2 * fmt.round_bits)
    if draws > fmt.stream_jump:
        return f"a rounding stream needs {draws} bits, streams are {fmt.stream_jump} apart"
    streams = stream_index(layers, 0)
    span = (streams + 1) * fmt.stream_jump
    if span >= 1 << fmt.width:
        return (f"{streams} streams need {span} bits, the generator repeats after "
                f"2**{fmt.width} - 1")
    return ""


def stream_start(fmt: RandomFormat, seed: int, stream: int) -> int:
    """State of stream ``stream`` at the first step of a sequence."""
    if not 0 < seed < 1 << fmt.width:
        raise ValueError(f"seed must be in 1..2**{fmt.width} - 1, not {seed}")
    return apply(leap(fmt, (stream + 1) * fmt.stream_jump), seed)


SAMPLER_IN, SAMPLER_OUT, ROUNDING = range(3)


def stream_index(layer: int, kind: int) -> int:
    """Number of a layer's stream; kind is SAMPLER_IN, SAMPLER_OUT or ROUNDING."""
    return 3 * layer + kind


def word_bits(fmt: RandomFormat, kind: int) -> int:
    """Bits of one draw of a stream: k, or two parts' rounding bits."""
    return 2 * fmt.round_bits if kind == ROUNDING else fmt.k


def byte_tables(columns: Sequence[int]) -> np.ndarray:
    """Tables of a linear map over GF(2): its value at x is the XOR of ``tables[c, byte c of x]``.

    ``columns[b]`` is the map's value at ``1 << b``, at most 64 of them; (bytes, 256) uint64.
    """
    tables = []
    for low in range(0, len(columns), 8):
        table = np.zeros(1, np.uint64)
        for column in columns[low:low + 8]:
            table = np.concatenate([table, table ^ np.uint64(column)])
        tables.append(np.resize(table, 256))
    return np.array(tables)


def words(fmt: RandomFormat, start: int, bits: int, count: int, skip: int = 0) -> np.ndarray:
    """``count`` draws of ``bits`` bits from state ``start``, behind the first ``skip``; int64.

    A known run of m draws gives the next m by the leap of ``m * bits`` steps, m = 1, 2, 4, ...
    """
    if fmt.width > 64 or bits > 63:
        raise ValueError(f"words are made for generators of up to 64 bits and draws of up to 63, "
                         f"not {fmt.width} and {bits}")
    states = np.array([apply(leap(fmt, skip * bits), start) if skip else start], np.uint64)
    while len(states) < count:
        advance = leap(fmt, len(states) * bits)
        tables = byte_tables([apply(advance, 1 << b) for b in range(fmt.width)])
        known = states[:count - len(states)]
        more = np.zeros_like(known)
        for c, table in enumerate(tables):
            more ^= table[known >> np.uint64(8 * c) & np.uint64(255)]
        states = np.concatenate([states, more])
    return (states[:count] & np.uint64((1 << bits) - 1)).astype(np.int64)
