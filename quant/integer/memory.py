"""The operations with a memory: state space models and samplers. With ``ops`` the specification.

``begin`` gives what runs one sequence, called with the value of each step in turn.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from golden.base.qformat import QFormat
from quant.formats import BIT, ROUNDINGS, RandomFormat
from quant.integer import lfsr, sampling
from quant.integer.operation import Operation, Tensor, largest, round_half_even, top
from quant.integer.recurrence import BlockRecurrence, Recurrence
from quant.integer.sampling import Sampler, sampler_word


@dataclass(frozen=True)
class Draws:
    """The random words of one sequence, or of all: they restart with every one.

    seed : master seed; H, n : neurons of a block and modes of each; steps : of the longest
    sequence, or of a part of it from step ``first`` on; block : steps per update of the states, of
    which ``first`` is a multiple.
    """

    random: RandomFormat
    seed: int
    H: int
    n: int
    steps: int
    first: int = 0
    block: int = 1

    @property
    def blocks(self) -> int:
        """Blocks of steps, the last one perhaps not whole."""
        return -(-self.steps // self.block)

    def start(self, layer: int, kind: int) -> int:
        """State of a layer's stream at the first step; kind as in ``quant.integer.lfsr``."""
        return lfsr.stream_start(self.random, self.seed, lfsr.stream_index(layer, kind))

    def rounding(self, layer: int) -> np.ndarray:
        """(blocks, H, n) words of a layer's stochastic rounding, int64."""
        bits, size = lfsr.word_bits(self.random, lfsr.ROUNDING), self.H * self.n
        return lfsr.words(self.random, self.start(layer, lfsr.ROUNDING), bits, self.blocks * size,
                          self.first // self.block * size).reshape(self.blocks, self.H, self.n)

    def each(self, layer: int, kind: int) -> np.ndarray:
        """(steps, H) words of a sampler, one for each draw: a neuron's of a block follow each
        other."""
        r = lfsr.words(self.random, self.start(layer, kind), lfsr.word_bits(self.random, kind),
                       self.blocks * self.block * self.H, self.first * self.H)
        return r.reshape(self.blocks, self.H, self.block).swapaxes(1, 2).reshape(
            -1, self.H)[:self.steps]


def round_stochastic(raw, shift: int, r, r_bits: int):
    """``raw / 2**shift`` rounded up with the probability of its fraction; shift > r_bits.

    ``floor(raw / 2**shift + (r + 1/2) 2**-r_bits)`` for the random word r of ``r_bits`` bits.
    """
    return (raw + (r << shift - r_bits) + (1 << shift - r_bits - 1)) >> shift


@dataclass(frozen=True)
class States(Operation):
    """``h <- saturate(round(A_bar h + g u))`` for n complex modes h, then ``y = sum Re h + d u``.

    u is a spike or a value of any format; y is exact. The rounding is stochastic, with a
    word of which the low ``round_bits`` round the real part and the next the imaginary part, or
    half to even.

    With ``a2``, ``g1`` and ``d1`` the states are updated once in a block of two steps. For the
    inputs u1 and u2 and with h as it was before them

        y1 = round_half_even(sum Re(A_bar h)) + d1 u1, to h's fraction bits, once for a neuron
        h <- saturate(round(a2 h + g1 u1 + g u2)),    y2 = sum Re h + d u2
    """

    a_re: Tensor = None
    a_im: Tensor = None
    g_re: Tensor = None
    g_im: Tensor = None
    d: Tensor = None
    h: QFormat = None
    rounding: str = "stochastic"
    layer: int = 0
    a2_re: Tensor | None = None     # A_bar^2, in the format of a
    a2_im: Tensor | None = None
    g1_re: Tensor | None = None     # A_bar g, in the format of g
    g1_im: Tensor | None = None
    d1: Tensor | None = None        # d + sum Re g

    SHAPES = {name: ("H", "n") for name in ("a_re", "a_im", "g_re", "g_im", "a2_re", "a2_im",
                                            "g1_re", "g1_im")}
    OF_BLOCK = ("a2_re", "a2_im", "g1_re", "g1_im", "d1")
    states = True
    state: ClassVar[str] = "h"      # what reports call the states

    @property
    def saturates(self):
        return {self.state: self.h}

    @property
    def block(self) -> int:
        """Steps per update, 1 or 2."""
        return 1 if self.a2_re is None else 2

    @property
    def direct(self) -> QFormat:
        """That holds d, and d1 where there is one."""
        if not self.d1:
            return self.d.fmt
        formats = self.d.fmt, self.d1.fmt
        return QFormat(max(fmt.i_bits + (not fmt.signed) for fmt in formats),
                       max(fmt.f_bits for fmt in formats), True)

    def align(self, u: QFormat) -> int:
        """Left shift of ``g u`` to the fraction bits of ``A_bar h``."""
        return self.a_re.fmt.f_bits + self.h.f_bits - self.g_re.fmt.f_bits - u.f_bits

    def check(self, need, u):
        a = self.a_re.fmt
        need(self.rounding in ROUNDINGS,
             f"rounding must be one of {', '.join(ROUNDINGS)}, not {self.rounding!r}")
        need(self.a_im.fmt == a and self.g_im.fmt == self.g_re.fmt,
             "real and imaginary parts must have one format")
        need(self.align(u) >= 0, f"g {self.g_re.fmt} has more fraction bits than a_bar * h")
        for d in filter(None, (self.d, self.d1)):
            need(d.fmt.f_bits + u.f_bits >= self.h.f_bits,
                 f"d {d.fmt} * {u} has fewer fraction bits than h {self.h}")
        self._check_stable(need, "A_bar", self.a_re, self.a_im)
        lacks = [name for name in self.OF_BLOCK if getattr(self, name) is None]
        need(self.d and not lacks or self.block == 1 and len(lacks) == len(self.OF_BLOCK),
             f"two steps per update need d, {', '.join(self.OF_BLOCK)}, one step has no tensor of "
             f"them but d; missing: {', '.join(lacks) or 'd'}")
        if self.block == 1:
            return
        need(self.a2_re.fmt == self.a2_im.fmt == a,
             f"a2_re {self.a2_re.fmt} and a2_im {self.a2_im.fmt} must have the format of a_bar, "
             f"{a}")
        need(self.g1_re.fmt == self.g1_im.fmt == self.g_re.fmt,
             f"g1_re {self.g1_re.fmt} and g1_im {self.g1_im.fmt} must have the format of g, "
             f"{self.g_re.fmt}")
        self._check_stable(need, "A_bar^2", self.a2_re, self.a2_im)
        y = self.format(u)
        need(self.output_bound((u,), top(u)) <= y.hi, f"sums of a block's steps may leave {y}")

    def _check_stable(self, need, name: str, re: Tensor, im: Tensor) -> None:
        exact = np.int64 if re.fmt.f_bits <= 31 else object
        radius = re.raw.astype(exact) ** 2 + im.raw.astype(exact) ** 2
        bad = np.argwhere(radius >= 1 << 2 * re.fmt.f_bits)
        need(not len(bad), f"{'a_bar' if re is self.a_re else 'a2'}: {len(bad)} of {radius.size} "
                           f"modes have |{name}| >= 1, first at neuron, mode "
                           f"{bad[0] if len(bad) else ''}")

    def format(self, u):
        """Of the exact sum of n states and ``d u``"""
        total = self.h.total(self.a_re.raw.shape[1])
        return total + self.direct * u if self.d else total

    def sums(self, u_fmt: QFormat, h_re, h_im, u):
        """``A_bar h + g u``, or of a pair u ``a2 h + g1 u1 + g u2``, real and imaginary part,
        exact: A_bar's fraction bits and h's."""
        align, (a_re, a_im) = self.align(u_fmt), (self.a_re.raw, self.a_im.raw)
        u1, u = u if self.block == 2 else (None, u)
        re, im = self.g_re.raw * u, self.g_im.raw * u
        if self.block == 2:
            a_re, a_im = self.a2_re.raw, self.a2_im.raw
            re, im = re + self.g1_re.raw * u1, im + self.g1_im.raw * u1
        return a_re * h_re - a_im * h_im + (re << align), a_re * h_im + a_im * h_re + (im << align)

    def update(self, u_fmt: QFormat, h_re, h_im, u, r, random: RandomFormat):
        """One update of states (..., n) for inputs u (..., 1), of a block a pair of them, and words
        r (..., n).

        Returns h_re, h_im and where the real and the imaginary part saturated, added up.
        """
        re, im = self.sums(u_fmt, h_re, h_im, u)
        shift = self.a_re.fmt.f_bits
        if self.rounding == "stochastic":
            bits = random.round_bits
            re = round_stochastic(re, shift, r & ((1 << bits) - 1), bits)
            im = round_stochastic(im, shift, r >> bits, bits)
        else:
            re, im = round_half_even(re, shift), round_half_even(im, shift)
        h_re, h_im = (np.clip(part, self.h.lo, self.h.hi) for part in (re, im))
        return h_re, h_im, (h_re != re).astype(np.int64) + (h_im != im)

    def output(self, u_fmt: QFormat, re_sum, u, d: Tensor | None = None):
        """y for the sum of the states' real parts; d: the operation's, if not another one."""
        f, d = self.format(u_fmt).f_bits, d or self.d
        y = re_sum << f - self.h.f_bits
        return y + (d.raw * u << f - d.fmt.f_bits - u_fmt.f_bits) if d else y

    def ahead(self, u_fmt: QFormat, h_re, h_im, u):
        """y (...) of a block's first step, for states (..., n) before the block."""
        total = (self.a_re.raw * h_re - self.a_im.raw * h_im).sum(-1)
        return self.output(u_fmt, round_half_even(total, self.a_re.fmt.f_bits), u, self.d1)

    def begin(self, formats, draws: Draws) -> Recurrence:
        return (Recurrence if self.block == 1 else BlockRecurrence)(self, formats[0], draws)

    def bound(self, formats, u):
        """Of the state's sums; y, which is smaller, is in :meth:`output_bound`."""
        t = self.tensors
        a = ("a_re", "a_im") if self.block == 1 else ("a2_re", "a2_im")
        g = sum(max(largest(t[f"{name}_re"].raw), largest(t[f"{name}_im"].raw))
                for name in ("g", "g1") if f"{name}_re" in t)
        return (largest(sum(abs(t[name].raw) for name in a)) * top(self.h)
                + (g * u << self.align(formats[0])) + (2 << self.a_re.fmt.f_bits))

    def ahead_bound(self) -> int:
        """Of ``sum Re(A_bar h)`` of a neuron, before its rounding; 0 without blocks."""
        rows = (abs(self.a_re.raw) + abs(self.a_im.raw)).sum(-1)
        return (self.block - 1) * (largest(rows) * top(self.h) + (1 << self.a_re.fmt.f_bits))

    def output_bound(self, formats, u):
        f = self.format(*formats).f_bits
        total = max(self.a_re.raw.shape[1] * top(self.h),
                    (self.ahead_bound() >> self.a_re.fmt.f_bits) + 1)
        return (total << f - self.h.f_bits) + max(
            (largest(d.raw) * u << f - d.fmt.f_bits - formats[0].f_bits
             for d in (self.d, self.d1) if d), default=0)


@dataclass(frozen=True)
class Fire(Operation):
    """1 with the probability p, kept in [0, 1], else 0, as ``quant.integer.sampling`` draws them.

    ``number`` is its own in the network, two for each block: 2 layer + 0 at its input, + 1 at its
    output. ``directions`` (columns,) are a Sobol dimension's, k bits each.
    """

    form: str = "bernoulli"
    number: int = 0
    directions: Tensor | None = None

    SHAPES = {"directions": ("columns",)}
    states = True

    def format(self, p):
        """One bit, UQ(1,0)"""
        return BIT

    def words(self, f_bits: int, draws: Draws) -> np.ndarray:
        """(steps, H) draws, int64; ``systematic``: start phases (1, H)."""
        layer, kind = divmod(self.number, 2)
        if self.form == "bernoulli":
            return draws.each(layer, kind)
        random = draws.random
        r = lfsr.words(random, draws.start(layer, kind), lfsr.word_bits(random, kind),
                       draws.H).reshape(1, -1)
        if self.form == "sobol":
            return sampling.sobol_points(self.directions.raw, draws.steps,
                                         draws.first)[:, None] ^ r
        return sampling.start_phase(r, f_bits, random)

    def along(self, formats, draws: Draws, p, place: int | None = None):
        f_bits = formats[0].f_bits
        word = self.words(f_bits, draws)
        if self.form == "systematic":
            step = np.clip(p, 0, 1 << f_bits)
            total = word + np.cumsum(step, 1)
            s, word = np.diff(total >> f_bits, axis=1, prepend=0), total - step & (1 << f_bits) - 1
        else:
            s = sampling.fires(p, f_bits, word, draws.random)
        return s, None, None if place is None else np.broadcast_to(sampler_word(
            p, word, place), p.shape)

    def begin(self, formats, draws: Draws) -> "Sampler":
        return Sampler(self, formats[0].f_bits, draws)
