"""Ranges of the states: proven, seen in calibration, and what the format holds."""

import numpy as np
import torch

from golden.batches import batch_of
from golden.memory import batch_for
from golden.tasks import Split, Task
from quant.integer.artifact import Artifact, Layer
from quant.tune.fit import ExportError, Extremes, NetworkFormats
from quant.lower.passes import Folded
from quant.formats import STREAMS
from quant.tune.qat import QuantNetwork


def proven(layer: Layer, length: int, rounding: str) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value that each state can reach in ``length`` steps, (2, H, n) each.

    Input spikes are 0 or 1, so the real part is at most the sum over t of the positive parts of
    ``Re(g A_bar**t)``, at least that of the negative ones; likewise the imaginary part. Rounding
    adds at most ``sqrt(2) e / (1 - |A_bar|)``, e = 1/2 LSB to the nearest and 1 LSB stochastic.
    Saturation is left out: it only ever brings a state nearer to zero.
    """
    fmt = layer.fmt
    A = (layer.a_re + 1j * layer.a_im) * 2.0 ** -fmt.a_bar.f_bits
    term = (layer.g_re + 1j * layer.g_im) * 2.0 ** -fmt.g.f_bits
    low, high = (np.zeros((2, *A.shape)) for _ in range(2))
    for _ in range(length):
        parts = np.stack([term.real, term.imag])
        high += np.maximum(parts, 0)
        low += np.minimum(parts, 0)
        term = term * A
    e = (1.0 if rounding == "stochastic" else 0.5) * 2.0 ** -fmt.h.f_bits
    slack = np.sqrt(2) * e / (1 - np.abs(A))
    return low - slack, high + slack


@torch.no_grad()
def seen(folded: Folded, split: Split, task: Task, indices: np.ndarray, batch: int = 64) -> Extremes:
    """Extremes over some training sequences of the network in real numbers, step by step.

    Draws come from PyTorch's generator: seed it for a reproducible result.
    """
    net = QuantNetwork(folded).float()
    head = watch_head(net)
    N, (H, n) = len(folded.layers), folded.layers[0].g.shape
    batch = batch_for(batch, split.lengths, H, share=0.5)       # the stream is recorded
    rows = batch * (2 if folded.head else 1)
    low, high = (torch.zeros(N, 2, H, n, rows) for _ in range(2))      # reduced over B at the end
    x_low, x_high = torch.zeros(H), torch.zeros(H)

    def observe(layer, _step, re, im):
        for part, h in enumerate((re, im)):
            for seen_, pick in ((low, torch.minimum), (high, torch.maximum)):
                kept = seen_[layer, part, ..., :h.shape[-1]]
                pick(kept, h, out=kept)

    # The states of a silent neuron decay into denormal numbers, 20 times slower and worth nothing.
    torch.set_flush_denormal(True)
    try:
        for first in range(0, len(indices), batch):
            values, lengths, _ = batch_of(split, indices[first:first + batch], task)
            record = [] if folded.residual in STREAMS else None
            net(values, lengths, form="recurrence", record=record, observe=observe)
            for entry in record or ():
                least, most = torch.aminmax(entry["x"].flatten(0, 1), dim=0)
                x_low, x_high = torch.minimum(x_low, least), torch.maximum(x_high, most)
    finally:
        torch.set_flush_denormal(False)
    return Extremes(*(t.double().numpy() for t in (low.amin(-1), high.amax(-1), x_low, x_high)),
                    head={name: tuple(t.double().numpy() for t in pair)
                          for name, pair in head.items()})


def watch_head(net: QuantNetwork) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Lowest and highest of the head's ``mean`` and ``hidden``, (F,) each, filled as it runs."""
    found = {}

    def see(head, args):
        for name, value in (("mean", args[0]), ("hidden", head.hidden(args[0]))):
            low, high = torch.aminmax(value, dim=0)
            before = found.get(name, (low, high))
            found[name] = torch.minimum(low, before[0]), torch.maximum(high, before[1])

    if net.head is not None:
        net.head.register_forward_pre_hook(see)
    return found


def check_seen(extremes: Extremes, formats: NetworkFormats, margin: float, streams: bool) -> None:
    """Raise :class:`ExportError` where ``margin`` times the seen range leaves a format.

    The message names layer, tensor, count, the range and the format.
    """
    tensors = [(f"layer {j}, h", fmt.h, extremes.h_lo[j], extremes.h_hi[j])
               for j, fmt in enumerate(formats.layers)]
    if streams:
        tensors.append(("residual stream, x", formats.layers[0].x, extremes.x_lo, extremes.x_hi))
    tensors += [(f"head, {name}", getattr(formats.head, name), low, high)
                for name, (low, high) in extremes.head.items()]
    for name, fmt, low, high in tensors:
        lsb = 2.0 ** -fmt.f_bits
        bad = np.count_nonzero((margin * low < fmt.lo * lsb) | (margin * high > fmt.hi * lsb))
        if bad:
            raise ExportError(
                f"{name}: {bad} of {low.size} values leave {fmt} [{fmt.lo * lsb:g}, "
                f"{fmt.hi * lsb:g}]: seen [{low.min():.4g}, {high.max():.4g}] in calibration, "
                f"{margin:g} times that must fit; give it more integer bits")


def report(art: Artifact, extremes: Extremes) -> list[dict]:
    """Per layer the three ranges of the state and, where it is a stream, of x; plain numbers."""
    rows = []
    for j, layer in enumerate(art.layers):
        low, high = proven(layer, art.length, art.rounding)
        fmt = layer.fmt.h
        rows.append({"layer": j, "tensor": "h", "format": str(fmt),
                     "proven": _pair(low, high), "seen": _pair(extremes.h_lo[j], extremes.h_hi[j]),
                     "holds": _pair(fmt.lo * 2.0 ** -fmt.f_bits, fmt.hi * 2.0 ** -fmt.f_bits)})
    if art.streams:
        fmt = art.layers[0].fmt.x
        rows.append({"layer": len(art.layers), "tensor": "x", "format": str(fmt), "proven": None,
                     "seen": _pair(extremes.x_lo, extremes.x_hi),
                     "holds": _pair(fmt.lo * 2.0 ** -fmt.f_bits, fmt.hi * 2.0 ** -fmt.f_bits)})
    for name, (low, high) in extremes.head.items():
        fmt = getattr(art.head.fmt, name)
        rows.append({"layer": "head", "tensor": name, "format": str(fmt), "proven": None,
                     "seen": _pair(low, high),
                     "holds": _pair(fmt.lo * 2.0 ** -fmt.f_bits, fmt.hi * 2.0 ** -fmt.f_bits)})
    return rows


def _pair(low, high) -> list[float]:
    return [round(float(np.min(low)), 6), round(float(np.max(high)), 6)]
