"""Random artifacts: networks of any shape, with no training, for tests and fuzzing."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from golden.base.qformat import SQ, QFormat
from golden.tasks.formats import PIXEL
from quant.formats import SCALE, STREAMS, EdgeFormats, LayerFormats, RandomFormat
from quant.integer import lfsr
from quant.integer.head import Head, HeadFormats
from quant.integer.program import Artifact
from quant.integer.sampling import direction_columns
from quant.integer.spiking import ABSENT, NO_DIRECTIONS, Layer, Spiking

TASK = "synthetic"      # what their artifacts have as a task's name
LIMITS = ("lowest", "highest", "zero")


@dataclass(frozen=True)
class Draw:
    """What a random network is to be like, and the generator of its coefficients."""

    seed: int = 0
    n_layers: int = 2
    H: int = 8
    n: int = 4
    n_classes: int = 3
    length: int = 64
    vocab: int = 0
    act: str = "relu"
    residual: str = "clampfuse"
    rounding: str = "stochastic"
    stress: float = 0.0         # share of coefficients at the ends of their formats, 0 to 1; 0.2
                                # saturates states and ties sums
    fmt: LayerFormats | None = None     # None: the usual ones
    random: RandomFormat = RandomFormat()
    sampling: str = "bernoulli"
    gelu_out: bool = False      # a GELU before the output sampler
    gain: bool = False          # a norm whose gain does not fold into w
    edge: EdgeFormats | None = None     # None: the usual ones for samples or tokens
    limits: str | None = None   # one of LIMITS: every coefficient the lowest or highest of its
                                # format (A_bar: the largest real one in the unit circle), or zero
    features: int = 0           # of a network with two inputs, which has a head; 0: one input
    sample: QFormat = PIXEL     # of the usual formats

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

    def layer(self, f: LayerFormats) -> Layer:
        H, n, rng, draw = self.H, self.n, self.rng, self.moderate
        radius = 1 - 10 ** rng.uniform(-3, -0.5, (H, n))
        angle = rng.uniform(-np.pi, np.pi, (H, n)) * rng.random((H, n))
        one, streams = 1 << f.a_bar.f_bits, self.residual in STREAMS
        a_re, a_im = (np.trunc(one * radius * part(angle)).astype(np.int64)
                      for part in (np.cos, np.sin))
        if self.limits:
            end = {"lowest": 1 - one, "highest": one - 1, "zero": 0}[self.limits]
            a_re, a_im = np.full((H, n), end), np.zeros((H, n), np.int64)
        return Layer(
            f, a_re, a_im, g_re=draw(f.g, (H, n), -0.3, 0.3), g_im=draw(f.g, (H, n), -0.3, 0.3),
            d=draw(f.drive, H, -0.5, 0.5), b=draw(f.drive, H, 0.0, 0.6),
            w=(self.uniform(f.w, (H, H)) if self.limits else
               self.extremes(f.w, (H, H), self.stress)),
            shift=self.uniform(f.shift, H, min(f.shift.hi, 5)), negate=rng.integers(0, 2, H),
            bias=draw(f.bias, H, -0.2, 0.2), addend=draw(f.addend, H, -0.3, 0.3),
            alpha=draw(f.alpha, H, -1, 1) if streams else ABSENT,
            beta=draw(f.beta, H, 0, 0.6) if streams else ABSENT,
            a=draw(f.a, H, -1, 2) if f.a else ABSENT,
            gain=draw(f.gain, H, -1.2, 1.2) if f.gain else ABSENT)

    def head(self, edge: EdgeFormats) -> Head:
        F, w, mean = self.features, edge.dec_w, SQ(4, min(8, edge.dec_b.f_bits))
        fmt = HeadFormats(mean, w, SQ(8, w.f_bits + 2 * mean.f_bits), mean, w,
                          SQ(8, w.f_bits + mean.f_bits))
        return Head(fmt, self.moderate(w, (F, 4 * F), -0.5, 0.5),
                    self.moderate(fmt.b1, F, -0.5, 0.5),
                    self.moderate(w, (self.n_classes, F), -1, 1),
                    self.moderate(fmt.b2, self.n_classes, -1, 1))

    def artifact(self) -> Artifact:
        H, outputs = self.H, self.features or self.n_classes
        fmt = self.fmt or LayerFormats(a=SCALE if self.gelu_out else None,
                                       gain=SCALE if self.gain else None)
        stream = fmt.x if self.residual in STREAMS else fmt.p
        edge = self.edge or EdgeFormats(None if self.vocab else self.sample, dec_b=SQ(
            8, EdgeFormats().dec_w.f_bits + stream.f_bits))
        layers = tuple(self.layer(fmt) for _ in range(self.n_layers))
        if self.vocab:
            encoder = self.uniform(stream, (self.vocab, H), 1 << fmt.p.f_bits), ABSENT
        else:
            encoder = self.moderate(edge.enc_w, H, -1, 2), self.moderate(edge.enc_b, H, -0.5, 0.8)
        directions = NO_DIRECTIONS
        if self.sampling == "sobol":     # odd numbers of 1, 2, 3, ... bits, moved to the top of k
            c = np.arange(direction_columns(self.length))
            odd = self.rng.integers(0, 1 << c, (2 * self.n_layers, len(c))) * 2 + 1
            directions = odd << self.random.k - 1 - c
        decoder = self.uniform(edge.dec_w, (outputs, H)), self.moderate(edge.dec_b, outputs, -1, 1)
        net = Spiking(self.act, self.residual, self.rounding, self.sampling, edge, layers, *encoder,
                      *decoder, directions)
        return Artifact(task=TASK, n_classes=self.n_classes, length=self.length,
                        vocab=self.vocab, sample=edge.sample, seed=lfsr.SEED + self.seed,
                        random=self.random, **net.parts(),
                        head=self.head(edge) if self.features else None).check()


def random_artifact(*shape, **options) -> Artifact:
    """A network of :class:`Draw`'s options, which spikes at moderate rates if ``stress`` is 0."""
    return Draw(*shape, **options).artifact()
