"""Ranges of what can saturate in Binary S4D and GSU, and the tables that an export prints."""

import numpy as np
import torch

from golden.batches import batch_of
from golden.memory import batch_for
from golden.tasks import Split, Task
from quant.tune.fit import ExportError
from quant.gated_artifact import TENSORS, GatedArtifact, GatedLayer
from quant.gated_fit import GatedExtremes
from quant.gated_fold import GatedFolded
from quant.gated_qat import GatedQuantNetwork
from quant.gated_reference import COUNTED
from quant.tune.tables import row


@torch.no_grad()
def seen(folded: GatedFolded, split: Split, task: Task, indices: np.ndarray,
         batch: int = 64) -> GatedExtremes:
    """Extremes over some training sequences of the network in real numbers, step by step."""
    net = GatedQuantNetwork(folded).float()
    N = len(folded.layers)
    batch = batch_for(batch, split.lengths, len(folded.layers[0].g), share=0.5)
    low, high = [{} for _ in range(N + 1)], [{} for _ in range(N + 1)]

    def meet(layer, name, least, most):
        for found, value, pick in ((low, least, torch.minimum), (high, most, torch.maximum)):
            old = found[layer].get(name)
            found[layer][name] = value if old is None else pick(old, value)

    def observe(layer, _step, re, im):
        meet(layer, "h", *torch.aminmax(torch.stack([re, im]), dim=-1))

    # States that decay into denormal numbers cost 20 times the time and are worth nothing.
    torch.set_flush_denormal(True)
    try:
        for first in range(0, len(indices), batch):
            values, lengths, _ = batch_of(split, indices[first:first + batch], task)
            record = []
            net(values, lengths, form="recurrence", record=record, observe=observe)
            for layer, tensors in enumerate(record):
                for name, tensor in tensors.items():
                    meet(layer, "x" if name == "fused" else name,
                         *torch.aminmax(tensor.flatten(0, 1), dim=0))
    finally:
        torch.set_flush_denormal(False)
    both = [{name: (low[j][name].double().numpy(), high[j][name].double().numpy())
             for name in low[j]} for j in range(N + 1)]
    return GatedExtremes(tuple(both[:N]), both[N]["x"])


def _tensors(extremes: GatedExtremes, art: GatedArtifact):
    """(layer, tensor, format, (low, high)) of everything that saturates when it does not fit."""
    absent = {"y", "gate"} if art.mixer == "glu" else set()
    absent |= {"u"} if art.norm_position == "post" else set()
    for j, layer in enumerate(art.layers):
        for name in COUNTED:
            if name not in absent:
                yield j, name, getattr(layer.fmt, name), extremes.layers[j][name]
    yield len(art.layers), "x", art.layers[0].fmt.x, extremes.x


def check_seen(extremes: GatedExtremes, art: GatedArtifact, margin: float) -> None:
    """Raise :class:`ExportError` where ``margin`` times the seen range leaves a format."""
    for j, name, fmt, (low, high) in _tensors(extremes, art):
        lsb = 2.0 ** -fmt.f_bits
        bad = np.count_nonzero((margin * low < fmt.lo * lsb) | (margin * high > fmt.hi * lsb))
        if bad:
            raise ExportError(
                f"layer {j}, {name}: {bad} of {low.size} values leave {fmt} [{fmt.lo * lsb:g}, "
                f"{fmt.hi * lsb:g}]: seen [{low.min():.4g}, {high.max():.4g}] in calibration, "
                f"{margin:g} times that must fit; give it more integer bits")


def proven(layer: GatedLayer, length: int, rounding: str) -> float:
    """No part of a state is larger in magnitude after ``length`` steps.

    |u| is at most its format's end and |A_bar**t g u| at most that of its parts; rounding adds at
    most ``sqrt(2) e / (1 - |A_bar|)``, as in ``quant.tune.ranges.proven``.
    """
    f = layer.fmt
    size = abs(layer.a_re + 1j * layer.a_im) * 2.0 ** -f.a_bar.f_bits
    g = abs(layer.g_re + 1j * layer.g_im) * 2.0 ** -f.g.f_bits
    u = max(-f.u.lo, f.u.hi) * 2.0 ** -f.u.f_bits
    e = (1.0 if rounding == "stochastic" else 0.5) * 2.0 ** -f.h.f_bits
    return float((g * u * (1 - size ** length) / (1 - size) + np.sqrt(2) * e / (1 - size)).max())


def report(art: GatedArtifact, extremes: GatedExtremes) -> list[dict]:
    """Per tensor that can saturate its ranges; the encoder's x is in the row behind the layers."""
    rows = []
    for j, name, fmt, (low, high) in _tensors(extremes, art):
        limit = name == "h" and round(proven(art.layers[j], art.length, art.rounding), 6)
        lsb = 2.0 ** -fmt.f_bits
        rows.append({"layer": j, "tensor": name, "format": str(fmt),
                     "proven": [-limit, limit] if limit else None,
                     "seen": [round(float(low.min()), 6), round(float(high.max()), 6)],
                     "holds": [fmt.lo * lsb, fmt.hi * lsb]})
    return rows


def constants(art: GatedArtifact) -> list[dict]:
    """One row per constant tensor: number of values, format, range, and how many at its ends."""
    rows = [row(str(j), name, layer.format_of(name), [getattr(layer, name)])
            for j, layer in enumerate(art.layers) for name in TENSORS if getattr(layer, name).size]
    for name in ("enc_w", "enc_b", "dec_w", "dec_b"):
        raw = getattr(art, name)
        fmt = (art.layers[0].fmt.x if art.vocab and name == "enc_w" else getattr(art.edge, name))
        if raw.size:
            rows.append(row("edge", name, fmt, [raw]))
    return rows
