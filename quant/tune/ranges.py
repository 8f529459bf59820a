"""Ranges of states and of what is limited: proven, seen in calibration, and what formats hold."""

import numpy as np
import torch

from golden.training.batches import batch_of
from golden.memory import batch_for
from golden.tasks import Split, Task
from golden.base.qformat import QFormat
from quant.formats import BIT
from quant.integer.memory import States
from quant.integer.operation import top
from quant.integer.program import Artifact, Program
from quant.tune.fit import ExportError, Extremes
from quant.tune.qat import QuantNetwork


def proven(op: States, u: QFormat, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value that each state can reach in ``length`` steps, (2, H, n) each.

    Of spikes, 0 or 1, the real part is at most the sum over t of the positive parts of
    ``Re(g A_bar**t)``, at least that of the negative ones; likewise the imaginary part. Of other
    inputs it is at most the geometric sum of ``|g A_bar**t|`` times the end of their format u.
    Rounding adds at most ``sqrt(2) e / (1 - |A_bar|)``, e = 1/2 LSB to the nearest and 1 LSB
    stochastic. Saturation is left out: it only ever brings a state nearer to zero. With two steps
    per update the sums are over updates, with a2 for A_bar, and over g1 and g.
    """
    t, updates = op.tensors, -(-length // op.block)
    A = t["a_re"].real + 1j * t["a_im"].real
    terms = (t["g_re"].real + 1j * t["g_im"].real)[None]
    if op.block == 2:
        A = t["a2_re"].real + 1j * t["a2_im"].real
        terms = np.stack([terms[0], t["g1_re"].real + 1j * t["g1_im"].real])
    size, e = abs(A), (1.0 if op.rounding == "stochastic" else 0.5) * 2.0 ** -op.h.f_bits
    slack = np.sqrt(2) * e / (1 - size)
    if u != BIT:
        end = top(u) * 2.0 ** -u.f_bits
        most = np.broadcast_to(
            abs(terms).sum(0) * end * (1 - size ** updates) / (1 - size) + slack, (2, *A.shape))
        return -most, most
    low, high = (np.zeros((2, *A.shape)) for _ in range(2))
    for _ in range(updates):
        parts = np.stack([terms.real, terms.imag], 1)
        high += np.maximum(parts, 0).sum(0)
        low += np.minimum(parts, 0).sum(0)
        terms = terms * A
    return low - slack, high + slack


class _Watch:
    """Lowest and highest of what the model shows, per element but for its last axis."""

    def __init__(self):
        self.found = {}

    def __call__(self, place, name: str, value: torch.Tensor) -> None:
        if value.ndim == 4:     # states, every step: the sequences are reduced at the end
            low, high = self.found.setdefault((place, name), (torch.zeros_like(value),
                                                              torch.zeros_like(value)))
            low, high = (t[..., :value.shape[-1]] for t in (low, high))
            torch.minimum(low, value, out=low)
            torch.maximum(high, value, out=high)
            return
        low, high = torch.aminmax(value, dim=-1)
        before = self.found.get((place, name), (low, high))
        self.found[place, name] = torch.minimum(low, before[0]), torch.maximum(high, before[1])

    def extremes(self) -> dict:
        return {key: tuple((pick(t, -1) if t.ndim == 4 else t).double().numpy()
                           for t, pick in zip(ends, (torch.amin, torch.amax)))
                for key, ends in self.found.items()}


@torch.no_grad()
def seen(program: Program, split: Split, task: Task, indices: np.ndarray, batch: int = 64
         ) -> Extremes:
    """Extremes over some training sequences of the network in real numbers, step by step.

    Draws come from PyTorch's generator: seed it for a reproducible result.
    """
    net, watch = QuantNetwork(program).float(), _Watch()
    head = watch_head(net)
    batch = batch_for(batch, split.lengths, program.H, share=0.5)       # values are held for long
    # The states of a silent neuron decay into denormal numbers, 20 times slower and worth nothing.
    torch.set_flush_denormal(True)
    try:
        for first in range(0, len(indices), batch):
            values, lengths, _ = batch_of(split, indices[first:first + batch], task)
            net(values, lengths, form="recurrence", observe=watch)
    finally:
        torch.set_flush_denormal(False)
    return Extremes(watch.extremes(), {name: tuple(t.double().numpy() for t in pair)
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


def _limited(art: Program, extremes: Extremes):
    """(place, name, format, (low, high)) of everything that saturates where it does not fit."""
    for place, ops in art.parts():
        for op in sorted(ops, key=lambda op: not op.states):
            for name, fmt in op.saturates.items():
                name = op.seen_as(name)
                yield place, name, fmt, extremes.blocks[place, name]
    for name, ends in extremes.head.items():
        yield "head", name, getattr(art.head.fmt, name), ends


def check_seen(extremes: Extremes, art: Program, margin: float) -> None:
    """Raise :class:`ExportError` where ``margin`` times the seen range leaves a format.

    The message names layer, tensor, count, the range and the format.
    """
    for place, name, fmt, (low, high) in _limited(art, extremes):
        lsb = 2.0 ** -fmt.f_bits
        bad = np.count_nonzero((margin * low < fmt.lo * lsb) | (margin * high > fmt.hi * lsb))
        if bad:
            where = {"first": "encoder", "head": "head"}.get(place, f"layer {place}")
            raise ExportError(
                f"{where}, {name}: {bad} of {low.size} values leave {fmt} [{fmt.lo * lsb:g}, "
                f"{fmt.hi * lsb:g}]: seen [{low.min():.4g}, {high.max():.4g}] in calibration, "
                f"{margin:g} times that must fit; give it more integer bits")


def report(art: Artifact, extremes: Extremes) -> list[dict]:
    """Per tensor that can saturate its ranges; plain numbers. The encoder's row has its name."""
    states = {(place.split(".")[0], op.state): (op, inputs[0])
              for place, op, inputs in art.operations() if isinstance(op, States)}
    rows = []
    for place, name, fmt, ends in _limited(art, extremes):
        of = states.get((str(place), name))
        limit = proven(*of, art.length) if of else None
        rows.append({"layer": "encoder" if place == "first" else place, "tensor": name,
                     "format": str(fmt), "proven": limit and _pair(*limit), "seen": _pair(*ends),
                     "holds": _pair(fmt.lo * 2.0 ** -fmt.f_bits, fmt.hi * 2.0 ** -fmt.f_bits)})
    return rows


def _pair(low, high) -> list[float]:
    return [round(float(np.min(low)), 6), round(float(np.max(high)), 6)]
