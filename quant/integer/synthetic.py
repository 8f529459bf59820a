"""Random artifacts: networks of any shape, with no training, for tests and fuzzing."""

import numpy as np

from golden.base.qformat import SQ, QFormat
from golden.tasks.formats import PIXEL
from quant.formats import SCALE, STREAMS, EdgeFormats, LayerFormats, RandomFormat
from quant.integer.head_tensors import Head, HeadFormats
from quant.integer.program import Artifact
from quant.integer.sampling import direction_columns
from quant.integer.spiking import ABSENT, NO_DIRECTIONS, Layer, Spiking


def _extremes(rng, fmt: QFormat, shape, share: float) -> np.ndarray:
    """Uniform raw integers of ``fmt``; ``share`` of them at its limits."""
    raw = rng.integers(fmt.lo, fmt.hi + 1, shape)
    limits = np.where(rng.random(shape) < 0.5, fmt.lo, fmt.hi)
    return np.where(rng.random(shape) < share, limits, raw)


LIMITS = ("lowest", "highest", "zero")


def _limit(fmt: QFormat, which: str) -> int:
    return {"lowest": fmt.lo, "highest": fmt.hi, "zero": 0}[which]


def random_artifact(seed: int = 0, n_layers: int = 2, H: int = 8, n: int = 4, n_classes: int = 3,
                    length: int = 64, vocab: int = 0, act: str = "relu",
                    residual: str = "clampfuse", rounding: str = "stochastic",
                    stress: float = 0.0, fmt: LayerFormats | None = None,
                    random: RandomFormat = RandomFormat(),
                    sampling: str = "bernoulli", gelu_out: bool = False,
                    gain: bool = False, edge: EdgeFormats | None = None,
                    limits: str | None = None, features: int = 0, sample: QFormat = PIXEL
                    ) -> Artifact:
    """A network that spikes at moderate rates, or with ``stress`` one at the formats' limits.

    stress : 0..1
        Share of coefficients at the ends of their formats; 0.2 saturates states and ties sums.
    edge : EdgeFormats or None
        Of encoder and decoder; None: the usual ones for samples in format ``sample``, or tokens.
    limits : str or None
        Every coefficient the same: one of LIMITS, the ``lowest`` or ``highest`` of its format (of
        A_bar: the largest real one inside the unit circle), or ``zero``.
    features : int
        Of a network with two inputs, which has a head; 0: one input.
    gelu_out, gain
        A GELU before the output sampler; a norm whose gain does not fold into w.
    """
    rng = np.random.default_rng(seed)
    fmt = fmt or LayerFormats(a=SCALE if gelu_out else None, gain=SCALE if gain else None)
    scale = 1 << fmt.p.f_bits

    def moderate(q, shape, low, high):
        if limits:
            return np.full(shape, _limit(q, limits))
        raw = np.round((low + (high - low) * rng.random(shape)) * 2.0 ** q.f_bits)
        raw = np.clip(raw, q.lo, q.hi).astype(np.int64)
        edge = _extremes(rng, q, shape, 1.0)
        return np.where(rng.random(shape) < stress, edge, raw)

    def uniform(q, shape, high=None):
        """Values of all of q, or from 0 to ``high``."""
        if limits:
            return np.full(shape, _limit(q, limits))
        low, high = (q.lo, q.hi) if high is None else (0, high)
        return rng.integers(low, high + 1, shape)

    layers = []
    streams = residual in STREAMS
    for _ in range(n_layers):
        radius = 1 - 10 ** rng.uniform(-3, -0.5, (H, n))
        angle = rng.uniform(-np.pi, np.pi, (H, n)) * rng.random((H, n))
        one = 2.0 ** fmt.a_bar.f_bits
        a_re = np.trunc(one * radius * np.cos(angle)).astype(np.int64)
        a_im = np.trunc(one * radius * np.sin(angle)).astype(np.int64)
        if limits:
            largest = int(one) - 1
            a_re[:] = {"lowest": -largest, "highest": largest, "zero": 0}[limits]
            a_im[:] = 0
        layers.append(Layer(
            fmt, a_re, a_im,
            g_re=moderate(fmt.g, (H, n), -0.3, 0.3), g_im=moderate(fmt.g, (H, n), -0.3, 0.3),
            d=moderate(fmt.drive, H, -0.5, 0.5), b=moderate(fmt.drive, H, 0.0, 0.6),
            w=uniform(fmt.w, (H, H)) if limits else _extremes(rng, fmt.w, (H, H), stress),
            shift=uniform(fmt.shift, H, min(fmt.shift.hi, 5)),
            negate=rng.integers(0, 2, H),
            bias=moderate(fmt.bias, H, -0.2, 0.2), addend=moderate(fmt.addend, H, -0.3, 0.3),
            alpha=moderate(fmt.alpha, H, -1, 1) if streams else ABSENT,
            beta=moderate(fmt.beta, H, 0, 0.6) if streams else ABSENT,
            a=moderate(fmt.a, H, -1, 2) if fmt.a else ABSENT,
            gain=moderate(fmt.gain, H, -1.2, 1.2) if fmt.gain else ABSENT))
    stream = fmt.x if streams else fmt.p
    edge = edge or EdgeFormats(sample=None if vocab else sample,
                               dec_b=SQ(8, EdgeFormats().dec_w.f_bits + stream.f_bits))
    if vocab:
        enc_w = uniform(stream, (vocab, H), scale)
        enc_b = np.zeros(0, np.int64)
    else:
        enc_w, enc_b = moderate(edge.enc_w, H, -1, 2), moderate(edge.enc_b, H, -0.5, 0.8)
    directions = NO_DIRECTIONS
    if sampling == "sobol":     # odd numbers of 1, 2, 3, ... bits, moved to the top of k
        c = np.arange(direction_columns(length))
        directions = rng.integers(0, 1 << c, (2 * n_layers, len(c))) * 2 + 1 << random.k - 1 - c
    outputs, head = features or n_classes, None
    dec_w, dec_b = uniform(edge.dec_w, (outputs, H)), moderate(edge.dec_b, outputs, -1, 1)
    if features:
        mean, w, f_bits = SQ(4, min(8, edge.dec_b.f_bits)), edge.dec_w, edge.dec_w.f_bits
        head_fmt = HeadFormats(mean, w, SQ(8, f_bits + 2 * mean.f_bits), mean, w,
                               SQ(8, f_bits + mean.f_bits))
        head = Head(head_fmt, moderate(w, (features, 4 * features), -0.5, 0.5),
                    moderate(head_fmt.b1, features, -0.5, 0.5),
                    moderate(w, (n_classes, features), -1, 1),
                    moderate(head_fmt.b2, n_classes, -1, 1))
    net = Spiking(act, residual, rounding, sampling, edge, tuple(layers), enc_w, enc_b, dec_w, dec_b,
                  directions)
    return Artifact(task="synthetic", n_classes=n_classes, length=length, vocab=vocab,
                    sample=edge.sample, seed=0xACE1 + seed, random=random, **net.parts(),
                    head=head).check()
