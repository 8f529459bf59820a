"""Random networks of samplers: P-SpikeSSM's, those of the paper and of the released code."""

from dataclasses import dataclass, replace

import numpy as np

from golden.base.qformat import QFormat
from quant.formats import SCALE, STREAMS, LayerFormats
from quant.integer.sampling import direction_columns
from quant.integer.spiking import ABSENT, NO_DIRECTIONS, Layer, Spiking
from quant.integer.synthetic_draw import Draw


@dataclass(frozen=True)
class Samplers(Draw):
    """P-SpikeSSM's blocks: those of the paper, and of the released code."""

    act: str = "relu"
    residual: str = "clampfuse"
    fmt: LayerFormats | None = None     # None: the usual ones
    sampling: str = "bernoulli"
    gelu_out: bool = False      # a GELU before the output sampler
    gain: bool = False          # a norm whose gain does not fold into w

    ADDEND = -0.3, 0.3          # what is added behind the mixer, from and to

    @property
    def formats(self) -> LayerFormats:
        return self.fmt or LayerFormats(a=SCALE if self.gelu_out else None,
                                        gain=SCALE if self.gain else None)

    @property
    def x_format(self) -> QFormat:
        return self.formats.x if self.residual in STREAMS else self.formats.p

    def layer(self) -> Layer:
        f, H, n, draw, streams = (self.formats, self.H, self.n, self.moderate,
                                  self.residual in STREAMS)
        a_re, a_im, _ = self.decays(f.a_bar)
        layer = Layer(
            f, a_re, a_im, g_re=draw(f.g, (H, n), -0.3, 0.3), g_im=draw(f.g, (H, n), -0.3, 0.3),
            d=draw(f.drive, H, -0.5, 0.5), b=draw(f.drive, H, 0.0, 0.6), w=self.weights(f.w),
            shift=self.uniform(f.shift, H, min(f.shift.hi, 5)), negate=self.rng.integers(0, 2, H),
            bias=draw(f.bias, H, -0.2, 0.2), addend=draw(f.addend, H, *self.ADDEND),
            alpha=draw(f.alpha, H, -1, 1) if streams else ABSENT,
            beta=draw(f.beta, H, 0, 0.6) if streams else ABSENT,
            a=draw(f.a, H, -1, 2) if f.a else ABSENT,
            gain=draw(f.gain, H, -1.2, 1.2) if f.gain else ABSENT)
        more = self.of_block(*map(layer.tensor, ("a_re", "a_im", "g_re", "g_im", "d")), f.drive)
        return replace(layer, **{name: tensor.raw for name, tensor in more.items()})

    def encoder(self) -> tuple[np.ndarray, np.ndarray]:
        """w and b of samples; of tokens the embedding (vocab, H), and no b."""
        if self.vocab:
            one = 1 << self.formats.p.f_bits
            return self.uniform(self.x_format, (self.vocab, self.H), one), ABSENT
        return (self.moderate(self.edges.enc_w, self.H, -1, 2),
                self.moderate(self.edges.enc_b, self.H, -0.5, 0.8))

    def directions(self) -> np.ndarray:
        """Sobol's: odd numbers of 1, 2, 3, ... bits, moved to the top of k."""
        if self.sampling != "sobol":
            return NO_DIRECTIONS
        c = np.arange(direction_columns(self.length))
        odd = self.rng.integers(0, 1 << c, (2 * self.n_layers, len(c))) * 2 + 1
        return odd << self.random.k - 1 - c

    def parts(self) -> dict:
        layers = tuple(self.layer() for _ in range(self.n_layers))
        encoder, directions = self.encoder(), self.directions()
        return Spiking(self.act, self.residual, self.rounding, self.sampling, self.edges, layers,
                       *encoder, *self.decoder(), directions).parts()
