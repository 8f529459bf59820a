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
from quant.integer.signature import DRAWS, TOOK, rotl, state_word


@dataclass(frozen=True)
class Draws:
    """The random words of one sequence, or of all: they restart with every one.

    seed : master seed; H, n : neurons of a block and modes of each; steps : of the longest
    sequence, or of a part of it from step ``first`` on.
    """

    random: RandomFormat
    seed: int
    H: int
    n: int
    steps: int
    first: int = 0

    def start(self, layer: int, kind: int) -> int:
        """State of a layer's stream at the first step; kind as in ``quant.integer.lfsr``."""
        return lfsr.stream_start(self.random, self.seed, lfsr.stream_index(layer, kind))

    def rounding(self, layer: int) -> np.ndarray:
        """(steps, H, n) words of a layer's stochastic rounding, int64."""
        bits, size = lfsr.word_bits(self.random, lfsr.ROUNDING), self.H * self.n
        return lfsr.words(self.random, self.start(layer, lfsr.ROUNDING), bits, self.steps * size,
                          self.first * size).reshape(self.steps, self.H, self.n)


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
    """

    a_re: Tensor = None
    a_im: Tensor = None
    g_re: Tensor = None
    g_im: Tensor = None
    d: Tensor = None
    h: QFormat = None
    rounding: str = "stochastic"
    layer: int = 0

    SHAPES = {name: ("H", "n") for name in ("a_re", "a_im", "g_re", "g_im")}
    states = True
    state: ClassVar[str] = "h"      # what reports call the states

    @property
    def saturates(self):
        return {self.state: self.h}

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
        need(not self.d or self.d.fmt.f_bits + u.f_bits >= self.h.f_bits,
             f"d {self.d and self.d.fmt} * {u} has fewer fraction bits than h {self.h}")
        exact = np.int64 if a.f_bits <= 31 else object
        radius = self.a_re.raw.astype(exact) ** 2 + self.a_im.raw.astype(exact) ** 2
        bad = np.argwhere(radius >= 1 << 2 * a.f_bits)
        need(not len(bad), f"a_bar: {len(bad)} of {radius.size} modes have |A_bar| >= 1, first at "
                           f"neuron, mode {bad[0] if len(bad) else ''}")

    def format(self, u):
        """Of the exact sum of n states and ``d u``"""
        total = self.h.total(self.a_re.raw.shape[1])
        return total + self.d.fmt * u if self.d else total

    def sums(self, u_fmt: QFormat, h_re, h_im, u):
        """``A_bar h + g u``, real and imaginary part, exact: A_bar's fraction bits and h's."""
        a_re, a_im, align = self.a_re.raw, self.a_im.raw, self.align(u_fmt)
        return (a_re * h_re - a_im * h_im + (self.g_re.raw * u << align),
                a_re * h_im + a_im * h_re + (self.g_im.raw * u << align))

    def update(self, u_fmt: QFormat, h_re, h_im, u, r, random: RandomFormat):
        """One step of states (..., n) for inputs u (..., 1) and words r (..., n).

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

    def output(self, u_fmt: QFormat, re_sum, u):
        """y for the sum of the states' real parts."""
        f = self.format(u_fmt).f_bits
        y = re_sum << f - self.h.f_bits
        return y + (self.d.raw * u << f - self.d.fmt.f_bits - u_fmt.f_bits) if self.d else y

    def begin(self, formats, draws: Draws) -> "Recurrence":
        return Recurrence(self, formats[0], draws)

    def bound(self, formats, u):
        """Of the state's sums; y, which is smaller, is in :meth:`output_bound`."""
        a = largest(abs(self.a_re.raw) + abs(self.a_im.raw))
        g = max(largest(self.g_re.raw), largest(self.g_im.raw))
        return a * top(self.h) + (g * u << self.align(formats[0])) + (2 << self.a_re.fmt.f_bits)

    def output_bound(self, formats, u):
        f = self.format(*formats).f_bits
        y = self.a_re.raw.shape[1] * top(self.h) << f - self.h.f_bits
        return y + (largest(self.d.raw) * u << f - self.d.fmt.f_bits - formats[0].f_bits
                    if self.d else 0)


class Recurrence:
    """The states of one sequence, step after step.

    ``u`` (H,) entered the last step, ``word`` (H, n) rounded it, ``saturated`` (H, n) counts its
    saturated parts, ``over`` those of all steps.
    """

    def __init__(self, op: States, u_fmt: QFormat, draws: Draws):
        self.op, self.u_fmt, self.random = op, u_fmt, draws.random
        self.h_re, self.h_im = (np.zeros(op.a_re.raw.shape, np.int64) for _ in range(2))
        self.words = (draws.rounding(op.layer) if op.rounding == "stochastic" else
                      np.zeros((draws.steps, *self.h_re.shape), np.int64))
        self.t, self.over, self.word, self.saturated, self.u = 0, 0, None, None, None

    def __call__(self, u):
        self.u, self.word = u, self.words[self.t]
        self.t += 1
        self.h_re, self.h_im, self.saturated = self.op.update(
            self.u_fmt, self.h_re, self.h_im, u[:, None], self.word, self.random)
        self.over += int(self.saturated.sum())
        return self.op.output(self.u_fmt, self.h_re.sum(-1), u)

    def shown(self, place: int):
        """Words (H,): written states and rounding words, of a first memory what entered too."""
        word = state_word(self.h_re, self.h_im, self.word)
        return word if place else word ^ rotl(self.u, TOOK)


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
        H, random = draws.H, draws.random
        rows, skip = (draws.steps, draws.first * H) if self.form == "bernoulli" else (1, 0)
        r = lfsr.words(random, draws.start(layer, kind), lfsr.word_bits(random, kind), rows * H,
                       skip).reshape(rows, H)
        if self.form == "sobol":
            return sampling.sobol_points(self.directions.raw, draws.steps,
                                         draws.first)[:, None] ^ r
        return sampling.start_phase(r, f_bits, random) if self.form == "systematic" else r

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


def sampler_word(p, word, place: int):
    """Words of a sampler for the signature: its draws, of a block's first memory p too."""
    return rotl(word, DRAWS[1]) if place else rotl(p, TOOK) ^ rotl(word, DRAWS[0])


class Sampler:
    """A sampler on its way through one sequence.

    ``word`` holds what decided the last step's spikes: the draws, or with ``systematic`` the phases
    that p was added to; ``p`` what it was given.
    """

    def __init__(self, op: Fire, f_bits: int, draws: Draws):
        self.op, self.f_bits, self.random = op, f_bits, draws.random
        self.words = op.words(f_bits, draws)
        self.t, self.phase, self.word, self.p = 0, self.words[0], None, None

    def __call__(self, p):
        """The next step's spikes (H,)."""
        self.p = p
        if self.op.form == "systematic":
            self.word = self.phase
            s, self.phase = sampling.accumulate(p, self.f_bits, self.word)
        else:
            self.word = self.words[self.t]
            s = sampling.fires(p, self.f_bits, self.word, self.random)
        self.t += 1
        return s

    def shown(self, place: int):
        return sampler_word(self.p, self.word, place)
