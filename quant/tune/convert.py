"""The quantisation-aware model to an artifact, and an artifact's integers back to real numbers."""

import copy

import numpy as np
import torch

from quant.integer.artifact import ABSENT, NO_DIRECTIONS, Artifact, ArtifactError, Layer
from quant.tune.draws import sobol_directions
from quant.tune.fit import ExportError, NetworkFormats
from quant.lower.passes import Folded, FoldedHead, FoldedLayer
from quant.formats import QFormat
from quant.integer.head_tensors import TENSORS, Head
from quant.tune.qat import QuantNetwork
from quant.tune.qat_head import QuantHead


def _raw(value: torch.Tensor, fmt: QFormat) -> np.ndarray:
    """Integers of values that lie on the grid of ``fmt``."""
    return torch.round(value * 2.0 ** fmt.f_bits).to(torch.int64).numpy()


def _layer(net: QuantNetwork, number: int) -> Layer:
    block = net.blocks[number]
    fmt = block.fmt
    A, g, d = block.discrete()
    weight = block.mixer.quant_weight()
    shift = torch.log2(weight.scale).reshape(-1) + fmt.p.f_bits
    over = int((shift > fmt.shift.hi).sum())
    if over:
        top = float(block.mixer.weight.abs().max())
        raise ExportError(f"layer {number}, w: {over} of {len(shift)} rows need a left shift of up "
                          f"to {int(shift.max())}, {fmt.shift} allows {fmt.shift.hi}; the largest "
                          f"folded weight is {top:g}")
    return Layer(
        fmt, _raw(A.real, fmt.a_bar), _raw(A.imag, fmt.a_bar), _raw(g.real, fmt.g),
        _raw(g.imag, fmt.g), _raw(d, fmt.drive), _raw(block.on_grid("b", "drive"), fmt.drive),
        w=weight.int().to(torch.int64).numpy(), shift=_raw(shift, fmt.shift),
        negate=(block.sign < 0).to(torch.int64).numpy(),
        bias=_raw(block.on_grid("bias"), fmt.bias),
        addend=_raw(block.on_grid("addend"), fmt.addend),
        **{name: _raw(block.on_grid(name), getattr(fmt, name)) if block.has(name) else ABSENT
           for name in ("alpha", "beta", "a", "gain")})


def _head(head: QuantHead) -> Head:
    w1, w2 = (layer.quant_weight().int().to(torch.int64).numpy() for layer in (head.w1, head.w2))
    b1, b2 = (_raw(head.on_grid(name), getattr(head.fmt, name)) for name in ("b1", "b2"))
    return Head(head.fmt, w1, b1, w2, b2)


@torch.no_grad()
def to_artifact(net: QuantNetwork, task: str, length: int, seed: int, info: dict) -> Artifact:
    """The model's integers, checked. ``length``: longest sequence; ``seed``: default master seed.

    Raises :class:`quant.tune.fit.ExportError` for rows of weights or tensors that do not fit.
    """
    net = copy.deepcopy(net).double().eval()
    formats, edge = net.formats, net.formats.edge
    decoder = net.decoder.quant_weight().int().to(torch.int64).numpy()
    if net.vocab:
        enc_w, enc_b = _raw(net.table(), net.stream_format()), np.zeros(0, np.int64)
    else:
        enc_w = net.encoder.quant_weight().int().to(torch.int64).numpy()[:, 0]
        enc_b = torch.round(net.enc_b * 2.0 ** edge.enc_b.f_bits).clamp(edge.enc_b.lo,
                                                                        edge.enc_b.hi)
        enc_b = enc_b.to(torch.int64).numpy()
    dec_b = torch.round(net.dec_b * 2.0 ** edge.dec_b.f_bits).clamp(edge.dec_b.lo, edge.dec_b.hi)
    head = _head(net.head) if net.head else None
    art = Artifact(task, len(head.b2 if head else decoder), length, net.vocab, net.act,
                   net.residual, formats.rounding, seed, formats.random, edge,
                   tuple(_layer(net, j) for j in range(len(net.blocks))), enc_w, enc_b, decoder,
                   dec_b.to(torch.int64).numpy(), info, net.sampling,
                   sobol_directions(2 * len(net.blocks), length, formats.random.k)
                   if net.sampling == "sobol" else NO_DIRECTIONS, head)
    try:
        return art.check()
    except ArtifactError as error:
        raise ExportError(str(error)) from None


def formats_of(art: Artifact) -> NetworkFormats:
    """The formats of an artifact, as the quantisation-aware model takes them."""
    return NetworkFormats(tuple(layer.fmt for layer in art.layers), art.edge, art.random,
                          art.rounding, art.head and art.head.fmt)


def to_folded(art: Artifact) -> Folded:
    """The real numbers that an artifact's integers stand for."""
    def layer(q: Layer) -> FoldedLayer:
        f = q.fmt
        scale = 2.0 ** -f.a_bar.f_bits, 2.0 ** -f.g.f_bits, 2.0 ** -f.drive.f_bits
        one = 2.0 ** -f.p.f_bits
        return FoldedLayer(
            (q.a_re + 1j * q.a_im) * scale[0], (q.g_re + 1j * q.g_im) * scale[1], q.d * scale[2],
            q.b * scale[2], q.w * (2.0 ** q.shift * one)[:, None], q.bias * one, q.negate == 1,
            q.addend * one, **{name: getattr(q, name) * 2.0 ** -getattr(f, name).f_bits
                               for name in ("alpha", "beta", "a", "gain")
                               if getattr(q, name).size})

    edge, head = art.edge, art.head
    enc_f = art.x_format.f_bits if art.vocab else edge.enc_w.f_bits
    return Folded(art.act, art.residual, art.vocab, tuple(map(layer, art.layers)),
                  art.enc_w * 2.0 ** -enc_f, art.enc_b * 2.0 ** -edge.enc_b.f_bits,
                  art.dec_w * 2.0 ** -edge.dec_w.f_bits, art.dec_b * 2.0 ** -edge.dec_b.f_bits,
                  art.sampling, head and FoldedHead(*(
                      getattr(head, name) * 2.0 ** -getattr(head.fmt, name).f_bits
                      for name in TENSORS)))
