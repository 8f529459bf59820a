"""Choosing number formats: binary points fitted to a folded network and to what it was seen doing."""

from dataclasses import dataclass, field

import numpy as np

from golden.base.cli import UserError
from quant.integer import lfsr
from quant.lower.passes import Folded, FoldedHead, FoldedLayer
from quant.formats import (SQ, STREAMS, UQ, EdgeFormats, LayerFormats, QFormat, QuantConfig,
                           RandomFormat, cover_signed, fit_signed)
from quant.integer.head_tensors import HeadFormats


class ExportError(UserError):
    """The network does not become integers; the message names layer, tensor, count and range."""


@dataclass(frozen=True)
class NetworkFormats:
    """Everything of an artifact that is no tensor: formats, random words, rounding."""

    layers: tuple[LayerFormats, ...]
    edge: EdgeFormats
    random: RandomFormat
    rounding: str
    head: HeadFormats | None = None

    def to_dict(self) -> dict:
        head = {"head": self.head.to_dict()} if self.head else {}
        return {"layers": [fmt.to_dict() for fmt in self.layers], "edge": self.edge.to_dict(),
                "random": self.random.to_dict(), "rounding": self.rounding} | head

    @classmethod
    def from_dict(cls, values: dict) -> "NetworkFormats":
        return cls(tuple(LayerFormats.from_dict(d) for d in values["layers"]),
                   EdgeFormats.from_dict(values["edge"]), RandomFormat.from_dict(values["random"]),
                   values["rounding"],
                   HeadFormats.from_dict(values["head"]) if "head" in values else None)


@dataclass(frozen=True)
class Extremes:
    """What a calibration saw: lowest and highest value per element.

    h_lo, h_hi : (layers, 2, H, n), real and imaginary parts of the states; x_lo, x_hi : (H,), the
    residual stream (encoder's output included); head : by tensor (mean, hidden) lowest and highest,
    (F,) each, empty without a head.
    """

    h_lo: np.ndarray
    h_hi: np.ndarray
    x_lo: np.ndarray
    x_hi: np.ndarray
    head: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


def random_format(length: int, layers: int, H: int, n: int) -> RandomFormat:
    """The 32-bit generator if its streams are long and many enough, else the 48-bit one."""
    short = RandomFormat()
    return lfsr.LONG if lfsr.misfit(short, length, layers, H, n) else short


def fitted(name: str, values, width: int, f_max: int | None = None) -> QFormat:
    """:func:`quant.formats.fit_signed`, refusing values beyond every ``SQ(i, f)`` with f >= 0."""
    values = np.asarray(values)
    fmt = fit_signed(values, width, f_max)
    if fmt.f_bits < 0:
        limit = (1 << width - 1) - 1
        raise ExportError(f"{name}: {np.count_nonzero(np.abs(values) > limit)} of {values.size} "
                          f"values leave {width} bits: seen [{values.min():.4g}, "
                          f"{values.max():.4g}], SQ({width},0) ends at {limit}; use more bits")
    return fmt


def _layer_formats(j: int, layer: FoldedLayer, seen: np.ndarray, x: QFormat,
                   config: QuantConfig) -> LayerFormats:
    a_bar = SQ(1, config.coef_bits - 1)
    if config.state_i_bits is None:
        h = fitted(f"layer {j}, h", config.margin * seen, config.state_bits)
    else:
        h = SQ(config.state_i_bits, config.state_bits - config.state_i_bits)
    p = UQ(1, config.p_bits)
    g = fitted(f"layer {j}, g", [layer.g.real, layer.g.imag], config.g_bits,
                a_bar.f_bits + h.f_bits)
    drive = np.concatenate([layer.d, layer.b])
    alpha = fitted(f"layer {j}, alpha", layer.alpha, config.encoder_bits)
    return LayerFormats(
        a_bar=a_bar, g=g, h=h, drive=cover_signed(drive.min(), drive.max(), h.f_bits),
        w=SQ(config.weight_bits, 0), shift=UQ(config.shift_bits, 0),
        bias=cover_signed(layer.bias.min(), layer.bias.max(), p.f_bits),
        addend=cover_signed(layer.addend.min(), layer.addend.max(), p.f_bits), p=p, x=x,
        alpha=alpha, beta=fitted(f"layer {j}, beta", layer.beta, config.encoder_bits,
                                 alpha.f_bits + x.f_bits),
        **{name: fitted(f"layer {j}, {name}", getattr(layer, name), config.encoder_bits)
           for name in ("a", "gain") if getattr(layer, name).size})


def _head_formats(head: FoldedHead, seen: Extremes, config: QuantConfig,
                  f_max: int) -> HeadFormats:
    """Of a head; a mean gets at most ``f_max`` fraction bits, those of the features."""
    def fit_to(name: str, values, most: int | None = None) -> QFormat:
        return fitted(f"head, {name}", values, config.input_bits, most)

    mean = fit_to("mean", config.margin * np.stack(seen.head["mean"]), f_max)
    w1, w2 = fit_to("w1", head.w1), fit_to("w2", head.w2)
    acc = w1.f_bits + 2 * mean.f_bits
    hidden = fit_to("hidden", config.margin * seen.head["hidden"][1], acc)
    return HeadFormats(mean, w1, cover_signed(head.b1.min(), head.b1.max(), acc), hidden, w2,
                       cover_signed(head.b2.min(), head.b2.max(), w2.f_bits + hidden.f_bits))


def fit(folded: Folded, seen: Extremes, config: QuantConfig, sample: QFormat | None,
        length: int) -> NetworkFormats:
    """Formats for a network; ``sample`` is the task's sample format, ``length`` its longest.

    Raises :class:`ExportError` if the encoder's products would be coarser than p.
    """
    streams = folded.residual in STREAMS
    x_lo, x_hi = (config.margin * seen.x_lo.min(), config.margin * seen.x_hi.max())
    x = cover_signed(x_lo, x_hi, config.p_bits) if streams else SQ(2, config.p_bits)
    layers = tuple(
        _layer_formats(j, layer, np.stack([seen.h_lo[j], seen.h_hi[j]]), x, config)
        for j, layer in enumerate(folded.layers))
    enc_w = fitted("enc_w", folded.enc_w, config.encoder_bits)
    product = enc_w.f_bits + (sample.f_bits if sample else 0)
    if sample and product < config.p_bits:
        raise ExportError(f"enc_w: {folded.enc_w.size} values up to {np.abs(folded.enc_w).max():g} "
                          f"leave {product} fraction bits in {enc_w} * {sample}, p needs "
                          f"{config.p_bits}; use a wider encoder")
    dec_w = fitted("dec_w", folded.dec_w, config.decoder_bits)
    dec_b = cover_signed(folded.dec_b.min(), folded.dec_b.max(), dec_w.f_bits + config.p_bits)
    edge = EdgeFormats(sample=sample, enc_w=enc_w,
                       enc_b=fitted("enc_b", folded.enc_b, config.encoder_bits, product),
                       dec_w=dec_w, dec_b=dec_b)
    H, n = folded.layers[0].g.shape
    return NetworkFormats(layers, edge, random_format(length, len(layers), H, n), config.rounding,
                          folded.head and _head_formats(folded.head, seen, config, dec_b.f_bits))
