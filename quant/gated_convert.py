"""The quantisation-aware model of Binary S4D or GSU to an artifact, and its integers back."""

import copy

import numpy as np
import torch

from quant.integer.artifact import ArtifactError
from quant.tune.fit import ExportError
from quant.formats import THRESHOLD, QFormat
from quant.gated_artifact import GatedArtifact, GatedLayer
from quant.gated_fold import GatedFolded, GatedFoldedLayer
from quant.gated_qat import GatedQuantBlock, GatedQuantNetwork
from quant.tune.quantizers import grid


def _raw(value: torch.Tensor, fmt: QFormat) -> np.ndarray:
    """Integers of values, rounded to the grid of ``fmt`` and saturated."""
    return torch.round(grid(value, fmt) * 2.0 ** fmt.f_bits).to(torch.int64).numpy()


def _rows(name: str, layer, bias_fmt: QFormat, shift_fmt: QFormat):
    """(weights, shifts) of a Brevitas layer with a power of two per row."""
    weight = layer.quant_weight()
    shift = torch.log2(weight.scale).reshape(-1) + bias_fmt.f_bits
    over = int((shift > shift_fmt.hi).sum())
    if over:
        raise ExportError(f"{name}: {over} of {len(shift)} rows need a left shift of up to "
                          f"{int(shift.max())}, {shift_fmt} allows {shift_fmt.hi}; the largest "
                          f"weight is {float(layer.weight.abs().max()):g}")
    return weight.int().to(torch.int64).numpy(), _raw(shift, shift_fmt)


def _layer(block: GatedQuantBlock, number: int) -> GatedLayer:
    fmt = block.fmt
    A, g, d = block.discrete()
    w, shift = _rows(f"layer {number}, w", block.mixer, fmt.bias, fmt.shift)
    if block.gsu:
        gate_w, gate_shift = _raw(block.gate_weight(), fmt.gate_w), np.zeros(0, np.int64)
    else:
        gate_w, gate_shift = _rows(f"layer {number}, gate_w", block.gate, fmt.gate_bias, fmt.shift)
    return GatedLayer(
        fmt, _raw(block.alpha, fmt.alpha), _raw(block.beta, fmt.beta), _raw(A.real, fmt.a_bar),
        _raw(A.imag, fmt.a_bar), _raw(g.real, fmt.g), _raw(g.imag, fmt.g), _raw(d, fmt.drive),
        w, shift, _raw(block.bias, fmt.bias), gate_w, gate_shift,
        _raw(block.gate_bias, fmt.gate_bias), _raw(block.table, fmt.table))


@torch.no_grad()
def to_artifact(net: GatedQuantNetwork, task: str, length: int, seed: int,
                info: dict) -> GatedArtifact:
    """The model's integers, checked. ``length``: longest sequence; ``seed``: default master seed.

    Raises :class:`quant.tune.fit.ExportError` for rows of weights or tensors that do not fit.
    """
    net = copy.deepcopy(net).double().eval()
    formats, edge, folded = net.formats, net.formats.edge, net.folded
    if net.vocab:
        enc_w, enc_b = _raw(net.embedding, formats.layers[0].x), np.zeros(0, np.int64)
    else:
        enc_w = net.encoder.quant_weight().int().to(torch.int64).numpy()[:, 0]
        enc_b = _raw(net.enc_b, edge.enc_b)
    decoder = net.decoder.quant_weight().int().to(torch.int64).numpy()
    art = GatedArtifact(
        task, len(decoder), length, net.vocab, folded.mixer, folded.residual,
        folded.norm_position, int(folded.fires_at_zero),
        min(round(folded.threshold * 2 ** THRESHOLD.f_bits), THRESHOLD.hi), formats.rounding, seed,
        formats.random, edge, tuple(_layer(block, j) for j, block in enumerate(net.blocks)),
        enc_w, enc_b, decoder, _raw(net.dec_b, edge.dec_b), info)
    try:
        return art.check()
    except ArtifactError as error:
        raise ExportError(str(error)) from None


def to_folded(art: GatedArtifact) -> GatedFolded:
    """The real numbers that an artifact's integers stand for."""
    def real(raw, fmt):
        return raw * 2.0 ** -fmt.f_bits

    def layer(q: GatedLayer) -> GatedFoldedLayer:
        f = q.fmt
        gate_w = q.gate_w.astype(float)
        if art.mixer == "glu":
            gate_w = real(gate_w * (2.0 ** q.gate_shift)[:, None], f.gate_bias)
        return GatedFoldedLayer(
            real(q.alpha, f.alpha), real(q.beta, f.beta), real(q.a_re + 1j * q.a_im, f.a_bar),
            real(q.g_re + 1j * q.g_im, f.g), real(q.d, f.drive),
            real(q.w * (2.0 ** q.shift)[:, None], f.bias), real(q.bias, f.bias), gate_w,
            real(q.gate_bias, f.gate_bias))

    edge = art.edge
    return GatedFolded(
        art.mixer, art.residual, art.norm_position, bool(art.fires_at_zero),
        real(art.threshold, THRESHOLD), art.vocab, tuple(map(layer, art.layers)),
        real(art.enc_w, art.layers[0].fmt.x if art.vocab else edge.enc_w),
        real(art.enc_b, edge.enc_b), real(art.dec_w, edge.dec_w), real(art.dec_b, edge.dec_b))
