"""The generator: period, leaps, streams, independence of neighbouring draws, quality."""

import numpy as np
import pytest

from golden.base.qformat import FormatError
from quant.formats import RandomFormat
from quant.integer import lfsr
from quant.integer.primitive import factors, primitive

DEFAULT = RandomFormat()
PRIMITIVE = {3: (3, 2), 4: (4, 3), 5: (5, 3), 6: (6, 5), 7: (7, 6), 8: (8, 6, 5, 4), 9: (9, 5),
             10: (10, 7), 11: (11, 9), 12: (12, 6, 4, 1)}


def small(width):
    return RandomFormat(width=width, taps=PRIMITIVE[width], k=2, round_bits=1, stream_jump=1)


@pytest.mark.parametrize("width", PRIMITIVE)
def test_full_period(width):
    fmt, state, seen = small(width), 1, set()
    for _ in range(2 ** width):
        seen.add(state)
        state = lfsr.apply(lfsr.step_matrix(fmt), state)
    assert len(seen) == 2 ** width - 1 and 0 not in seen


@pytest.mark.parametrize("fmt, primes", [
    (DEFAULT, (3, 5, 17, 257, 65537)), (lfsr.LONG, (3, 5, 7, 13, 17, 97, 241, 257, 673))],
    ids=["32", "48"])
def test_polynomial_is_primitive(fmt, primes):
    """The step's order is exactly 2**width - 1: no proper divisor returns to the identity."""
    order, identity, rest = 2 ** fmt.width - 1, lfsr.leap(fmt, 0), 2 ** fmt.width - 1
    for p in primes:
        while rest % p == 0:
            rest //= p
        assert lfsr.leap(fmt, order // p) != identity
    assert rest == 1
    assert lfsr.leap(fmt, order) == identity


@pytest.mark.parametrize("steps", [0, 1, 2, 7, 31, 32, 33, 100])
def test_leap_is_many_steps(steps):
    state = want = 0xDEADBEEF
    for _ in range(steps):
        feedback = 0
        for tap in DEFAULT.taps:
            feedback ^= want >> tap - 1
        want = (want << 1 | feedback & 1) & 0xFFFFFFFF
    assert lfsr.apply(lfsr.leap(DEFAULT, steps), state) == want


@pytest.mark.parametrize("fmt", [DEFAULT, lfsr.LONG, small(5), RandomFormat(width=64,
                                                                       taps=(64, 63, 61, 60))])
@pytest.mark.parametrize("bits, count", [(1, 50), (3, 65), (16, 64), (16, 1), (16, 0)])
def test_words_are_leapt_states(fmt, bits, count):
    state, want = 0b10011, []
    for _ in range(count):
        want.append(state & (1 << bits) - 1)
        state = lfsr.apply(lfsr.leap(fmt, bits), state)
    assert lfsr.words(fmt, 0b10011, bits, count).tolist() == want


def test_words_refuse_more_than_64_bits():
    with pytest.raises(FormatError, match="width must be in 1..64, not 65"):
        RandomFormat(width=65, taps=(65, 47))
    with pytest.raises(ValueError, match="draws of up to 63"):
        lfsr.words(DEFAULT, 1, 64, 3)


def test_streams_start_a_fixed_jump_apart():
    jump = lfsr.leap(DEFAULT, DEFAULT.stream_jump)
    state = 12345
    for stream in range(6):
        state = lfsr.apply(jump, state)
        assert lfsr.stream_start(DEFAULT, 12345, stream) == state
    assert [lfsr.stream_index(j, k) for j in range(2) for k in (
        lfsr.SAMPLER_IN, lfsr.SAMPLER_OUT, lfsr.ROUNDING)] == list(range(6))
    assert lfsr.word_bits(DEFAULT, lfsr.SAMPLER_OUT) == 16
    assert lfsr.word_bits(RandomFormat(round_bits=5), lfsr.ROUNDING) == 10


@pytest.mark.parametrize("seed", [0, -1, 1 << 32])
def test_seeds_outside_the_register(seed):
    with pytest.raises(ValueError, match="seed must be in 1"):
        lfsr.stream_start(DEFAULT, seed, 0)


# --- independence: the top 8 bits of two draws a fixed distance apart ---------------------------

def rank(rows) -> int:
    """Rank over GF(2) of integers as bit vectors."""
    basis = {}
    for row in rows:
        while row:
            top = row.bit_length()
            if top not in basis:
                basis[top] = row
                break
            row ^= basis[top]
    return len(basis)


def dependent_distances(fmt, distances):
    """Distances (draws) at which the top 8 bits of two draws depend linearly on each other."""
    one = lfsr.leap(fmt, fmt.k)
    first = [1 << bit for bit in range(fmt.k - 8, fmt.k)]
    bad, at, leapt = [], 0, lfsr.leap(fmt, 0)
    for distance in sorted(distances):
        step = distance - at
        leapt = lfsr.compose(one if step == 1 else lfsr.leap(fmt, step * fmt.k), leapt)
        at = distance
        if rank(first + list(leapt[fmt.k - 8:fmt.k])) < 16:
            bad.append(distance)
    return bad


@pytest.mark.parametrize("fmt", [DEFAULT, lfsr.LONG], ids=["32", "48"])
def test_neighbouring_draws_are_independent(fmt):
    """Up to 2 H apart, and the same neuron up to 32 steps apart, for H = 64 to 400."""
    near = set(range(1, 2 * 400 + 1))
    same_neuron = {m * H for H in range(64, 401, 16) for m in range(1, 33)}
    assert dependent_distances(fmt, near | same_neuron) == []


@pytest.mark.parametrize("fmt", [RandomFormat(width=31, taps=(31, 28), round_bits=8),
                                 RandomFormat(width=16, taps=(16, 15, 13, 4))],
                         ids=["trinomial", "16 bits"])
def test_the_independence_test_can_fail(fmt):
    assert dependent_distances(fmt, set(range(1, 801)))


# --- statistics at the used widths --------------------------------------------------------------

@pytest.mark.parametrize("stream", [0, 1, 2, 5])
def test_uniform_and_uncorrelated(stream):
    count, H = 200_000, 128
    u = lfsr.words(DEFAULT, lfsr.stream_start(DEFAULT, 0xACE1, stream), 16, count)
    cells = np.bincount(u >> 8, minlength=256)
    chi2 = ((cells - count / 256) ** 2 / (count / 256)).sum()
    assert abs(chi2 - 255) < 5 * np.sqrt(2 * 255)
    v = (u + 0.5) / 65536 - 0.5
    for lag in (1, 2, 3, 8, H - 1, H, H + 1, 2 * H, 32 * H):
        correlation = 12 * np.mean(v[:-lag] * v[lag:])
        assert abs(correlation) < 5 / np.sqrt(count - lag), lag


def test_streams_are_uncorrelated():
    u = np.array([lfsr.words(DEFAULT, lfsr.stream_start(DEFAULT, 0xACE1, s), 16, 50_000)
                  for s in range(12)]) / 65536 - 0.5
    correlation = 12 * (u @ u.T) / 50_000
    np.fill_diagonal(correlation, 0)
    assert abs(correlation).max() < 5 / np.sqrt(50_000)


@pytest.mark.parametrize("width", range(1, 10))
def test_primitive_polynomials_are_those_of_the_longest_period(width):
    for mask in range(1 << width - 1):
        taps = (width, *(tap for tap in range(1, width) if mask >> tap - 1 & 1))
        fmt, state, steps = RandomFormat(width, taps, 1, round_bits=0, stream_jump=1), 1, 0
        while steps == 0 or state != 1 and steps < 1 << width:
            state, steps = lfsr.apply(lfsr.step_matrix(fmt), state), steps + 1
        assert primitive(width, taps) == (state == 1 and steps == (1 << width) - 1), taps


def test_wide_generators():
    for fmt in (DEFAULT, lfsr.LONG, RandomFormat(width=64, taps=(64, 63, 61, 60))):
        assert primitive(fmt.width, fmt.taps) and not lfsr.misfit(fmt, 9, 2, 8, 4)
        assert not primitive(fmt.width, fmt.taps[:-1])
    for taps in ((32,), (32, 22, 2), (32, 21, 2, 1)):
        assert "not primitive; take (32, 22, 2, 1)" in lfsr.misfit(RandomFormat(taps=taps), 9, 2, 8,
                                                                   4)


def test_factors():
    for width in range(1, 65):
        found = sorted(factors((1 << width) - 1))
        assert np.prod(found, dtype=object) == (1 << width) - 1
        assert all(pow(3, p - 1, p) == 1 for p in found if p != 3)
