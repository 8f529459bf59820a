"""What random networks of every kind have in common: facts, coefficients, encoder and decoder."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from golden.base.qformat import SQ, QFormat, cover_signed
from golden.tasks.formats import PIXEL
from quant.formats import EdgeFormats, RandomFormat
from quant.integer import lfsr
from quant.integer.head import Head, HeadFormats
from quant.integer.memory import States
from quant.integer.operation import Tensor
from quant.integer.program import Artifact

TASK = "synthetic"      # what their artifacts have as a task's name
LIMITS = ("lowest", "highest", "zero")


@dataclass(frozen=True)
class Draw:
    """What a random network is to be like, and the generator of its coefficients.

    A kind has ``x_format``, the format of what flows between its blocks, and ``parts``, which draws
    the operations and the decoder of a ``quant.integer.program.Artifact``.
    """

    seed: int = 0
    n_layers: int = 2
    H: int = 8
    n: int = 4
    n_classes: int = 3
    length: int = 64
    vocab: int = 0
    rounding: str = "stochastic"
    stress: float = 0.0         # share of coefficients at the ends of their formats, 0 to 1; 0.2
                                # saturates states and ties sums
    random: RandomFormat = RandomFormat()
    edge: EdgeFormats | None = None     # None: the usual ones for samples or tokens
    limits: str | None = None   # one of LIMITS: every coefficient the lowest or highest of its
                                # format (A_bar: the largest real one in the unit circle), or zero
    features: int = 0           # of a network with two inputs, which has a head; 0: one input
    sample: QFormat = PIXEL     # of the usual formats
    block: int = 1              # steps per update of the states; else the same network

    @cached_property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def limit(self, fmt: QFormat) -> int:
        return {"lowest": fmt.lo, "highest": fmt.hi, "zero": 0}[self.limits]

    def extremes(self, fmt: QFormat, shape, share: float) -> np.ndarray:
        """Uniform raw integers of ``fmt``; ``share`` of them at its limits."""
        raw = self.rng.integers(fmt.lo, fmt.hi + 1, shape)
        limits = np.where(self.rng.random(shape) < 0.5, fmt.lo, fmt.hi)
        return np.where(self.rng.random(shape) < share, limits, raw)

    def moderate(self, fmt: QFormat, shape, low: float, high: float) -> np.ndarray:
        """Raw integers of real numbers from ``low`` to ``high``, under stress some of all."""
        if self.limits:
            return np.full(shape, self.limit(fmt))
        raw = np.round((low + (high - low) * self.rng.random(shape)) * 2.0 ** fmt.f_bits)
        ends = self.extremes(fmt, shape, 1.0)
        return np.where(self.rng.random(shape) < self.stress, ends,
                        np.clip(raw, fmt.lo, fmt.hi).astype(np.int64))

    def uniform(self, fmt: QFormat, shape, high: int | None = None) -> np.ndarray:
        """Raw integers of all of a format, or from 0 to ``high``."""
        if self.limits:
            return np.full(shape, self.limit(fmt))
        low, high = (fmt.lo, fmt.hi) if high is None else (0, high)
        return self.rng.integers(low, high + 1, shape)

    def decays(self, fmt: QFormat) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A_bar, real and imaginary part, and its magnitude, (H, n) each; any angle."""
        H, n, rng, one = self.H, self.n, self.rng, 1 << fmt.f_bits
        radius = 1 - 10 ** rng.uniform(-3, -0.5, (H, n))
        angle = rng.uniform(-np.pi, np.pi, (H, n)) * rng.random((H, n))
        a_re, a_im = (np.trunc(one * radius * part(angle)).astype(np.int64)
                      for part in (np.cos, np.sin))
        if self.limits:
            end = {"lowest": 1 - one, "highest": one - 1, "zero": 0}[self.limits]
            a_re, a_im = np.full((H, n), end), np.zeros((H, n), np.int64)
        return a_re, a_im, radius

    @cached_property
    def block_rng(self) -> np.random.Generator:
        """For what two steps per update have more: the rest is drawn as for one step."""
        return np.random.default_rng((self.seed, self.block))

    def of_block(self, a_re: Tensor, a_im: Tensor, g_re: Tensor, g_im: Tensor, d: Tensor,
                 d1: QFormat | None = None) -> dict[str, Tensor]:
        """What two steps per update need beside these tensors, by name; under stress some g and d
        at the ends of their formats. ``d1``: its format, None: one that holds it."""
        if self.block == 1:
            return {}
        A, g, rng = a_re.real + 1j * a_im.real, g_re.real + 1j * g_im.real, self.block_rng
        direct = d.real + g.real.sum(-1)
        d1 = d1 or cover_signed(direct.min(), direct.max(), d.fmt.f_bits)
        found = {}
        for name, value, fmt in zip(States.OF_BLOCK, (
                (A * A).real, (A * A).imag, (A * g).real, (A * g).imag, direct), (
                a_re.fmt, a_im.fmt, g_re.fmt, g_im.fmt, d1)):
            raw = value * 2.0 ** fmt.f_bits
            if name.startswith("a2"):       # towards zero: it stays in the unit circle
                raw = {"a2_re": a_re, "a2_im": a_im}[name].raw if self.limits else np.trunc(raw)
            elif self.limits:
                raw = np.full(raw.shape, self.limit(fmt))
            else:
                ends = np.where(rng.random(raw.shape) < 0.5, fmt.lo, fmt.hi)
                raw = np.where(rng.random(raw.shape) < self.stress, ends,
                               np.clip(np.rint(raw), fmt.lo, fmt.hi))
            found[name] = Tensor(raw.astype(np.int64), fmt)
        return found

    def weights(self, fmt: QFormat) -> np.ndarray:
        """A mixer's matrix (H, H), uniform in its format."""
        shape = self.H, self.H
        return self.uniform(fmt, shape) if self.limits else self.extremes(fmt, shape, self.stress)

    @cached_property
    def edges(self) -> EdgeFormats:
        return self.edge or EdgeFormats(None if self.vocab else self.sample, dec_b=SQ(
            8, EdgeFormats().dec_w.f_bits + self.x_format.f_bits))

    @property
    def outputs(self) -> int:
        return self.features or self.n_classes

    def decoder(self) -> tuple[np.ndarray, np.ndarray]:
        return (self.uniform(self.edges.dec_w, (self.outputs, self.H)),
                self.moderate(self.edges.dec_b, self.outputs, -1, 1))

    def head(self) -> Head:
        F, w = self.features, self.edges.dec_w
        mean = SQ(4, min(8, self.edges.dec_b.f_bits))
        fmt = HeadFormats(mean, w, SQ(8, w.f_bits + 2 * mean.f_bits), mean, w,
                          SQ(8, w.f_bits + mean.f_bits))
        return Head(fmt, self.moderate(w, (F, 4 * F), -0.5, 0.5),
                    self.moderate(fmt.b1, F, -0.5, 0.5),
                    self.moderate(w, (self.n_classes, F), -1, 1),
                    self.moderate(fmt.b2, self.n_classes, -1, 1))

    def artifact(self) -> Artifact:
        return Artifact(task=TASK, n_classes=self.n_classes, length=self.length, vocab=self.vocab,
                        sample=self.edges.sample, seed=lfsr.SEED + self.seed, random=self.random,
                        **self.parts(), head=self.head() if self.features else None,
                        block=self.block).check()
