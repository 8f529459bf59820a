"""Choosing number formats of a network with a real-valued stream, from what it was seen doing."""

from dataclasses import dataclass

import numpy as np

from quant.tune.fit import ExportError, fitted, random_format
from quant.formats import (GELU_I, SIGMOID_I, SQ, TERNARY, UQ, EdgeFormats, FormatError, QFormat,
                           QuantConfig, cover_signed)
from quant.gated_fold import GatedFolded, GatedFoldedLayer
from quant.gated_formats import GatedFormats, GatedNetworkFormats

Range = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class GatedExtremes:
    """What a calibration saw: lowest and highest value per element.

    layers : per layer, by tensor: u, y, n, gate (gsu), x (H,) and h (2, H, n); x : the encoder's
    output (H,).
    """

    layers: tuple[dict[str, Range], ...]
    x: Range

    def of_stream(self) -> Range:
        """Over all x."""
        low, high = zip(self.x, *(seen["x"] for seen in self.layers))
        return np.stack(low), np.stack(high)


def _layer(j: int, layer: GatedFoldedLayer, seen: dict[str, Range], x: QFormat, gsu: bool,
           post: bool, config: QuantConfig) -> GatedFormats:
    def fit(tensor, values, width, f_max=None):
        return fitted(f"layer {j}, {tensor}", values, width, f_max)

    def range_of(tensor):
        return config.margin * np.stack(seen[tensor])

    a_bar = SQ(1, config.coef_bits - 1)
    h = (fit("h", range_of("h"), config.state_bits) if config.state_i_bits is None
         else SQ(config.state_i_bits, config.state_bits - config.state_i_bits))
    alpha = fit("alpha", layer.alpha, config.encoder_bits)
    product = alpha.f_bits + x.f_bits
    u = x if post else fit("u", range_of("u"), config.input_bits, product)
    g = fit("g", [layer.g.real, layer.g.imag], config.g_bits, a_bar.f_bits + h.f_bits - u.f_bits)
    drive = fit("d", layer.d, config.g_bits)
    y = fit("y", range_of("y"), config.input_bits, drive.f_bits + u.f_bits)
    sum_bits = config.p_bits
    bias = cover_signed(layer.bias.min(), layer.bias.max(), sum_bits)
    n = fit("n", range_of("n"), config.factor_bits, sum_bits)
    gate_sum = y.f_bits if gsu else sum_bits
    gate_bias = cover_signed(layer.gate_bias.min(), layer.gate_bias.max(), gate_sum)
    if gsu:
        gate = fit("gate", range_of("gate"), config.factor_bits, gate_sum)
        index = UQ(GELU_I, min(config.table_bits - GELU_I, y.f_bits))
        table = UQ(0, y.f_bits)
    else:
        index = SQ(SIGMOID_I, min(config.table_bits - SIGMOID_I, sum_bits))
        gate = table = UQ(1, config.table_bits)
    w, shift = SQ(config.weight_bits, 0), UQ(config.shift_bits, 0)
    return GatedFormats(
        alpha=alpha, beta=fit("beta", layer.beta, config.encoder_bits, product), u=u, a_bar=a_bar,
        g=g, h=h, drive=drive, y=y, w=w, shift=shift, bias=bias, gate_w=TERNARY if gsu else w,
        gate_bias=gate_bias, n=n, gate=gate, index=index, table=table, x=x)


def fit(folded: GatedFolded, seen: GatedExtremes, config: QuantConfig, sample: QFormat | None,
        length: int) -> GatedNetworkFormats:
    """Formats for a network; ``sample`` is the task's sample format, ``length`` its longest.

    Raises :class:`quant.tune.fit.ExportError` where a sum would lack fraction bits.
    """
    low, high = seen.of_stream()
    x = cover_signed(config.margin * low.min(), config.margin * high.max(), config.p_bits)
    enc_w = fitted("enc_w", folded.enc_w, config.encoder_bits)
    product = enc_w.f_bits + (sample.f_bits if sample else 0)
    if sample and product < x.f_bits:
        raise ExportError(f"enc_w: {folded.enc_w.size} values up to {np.abs(folded.enc_w).max():g} "
                          f"leave {product} fraction bits in {enc_w} * {sample}, x needs "
                          f"{x.f_bits}; use a wider encoder")
    dec_w = fitted("dec_w", folded.dec_w, config.decoder_bits)
    edge = EdgeFormats(
        sample=sample, enc_w=enc_w, dec_w=dec_w,
        enc_b=fitted("enc_b", folded.enc_b, config.encoder_bits, product),
        dec_b=cover_signed(folded.dec_b.min(), folded.dec_b.max(), dec_w.f_bits + x.f_bits))
    try:
        layers = tuple(_layer(j, layer, seen.layers[j], x, folded.mixer == "gsu",
                              folded.norm_position == "post", config)
                       for j, layer in enumerate(folded.layers))
    except FormatError as error:
        raise ExportError(f"{error}; use other widths") from None
    H, modes = folded.layers[0].g.shape
    return GatedNetworkFormats(layers, edge, random_format(length, len(layers), H, modes),
                               config.rounding)
