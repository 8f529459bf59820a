"""What the neurons of a network do on data: spikes over time, mean probabilities, one trace.

The numbers behind the figures (``golden.figures``) and the energy table (``golden.energy``). A
network answers for itself through the records of its forward pass, (B, L, H) tensors of every
block: ``s_out`` (bits, or ternary), ``s_in`` where the block's input spikes, and one of ``CURVES``.
"""

from dataclasses import dataclass

import numpy as np
import torch

from golden.base.cli import UserError
from golden.training.batches import records
from golden.tasks import Split, Task


CURVES = {      # what a spike is decided from, by its name in the record
    "p": "spike probability p", "membrane": "membrane / threshold", "y": "SSM output y"}


class NoSpikes(UserError):
    """The network has nothing that spikes."""


@dataclass(frozen=True)
class Activity:
    """Spikes of a network on some sequences; K blocks of H neurons, T steps.

    Padding behind a sequence's end does not count. ``active`` is the share of a block's neurons
    that spike at step t, mean over the sequences that reach it, ``rate`` the spikes per step of
    every neuron, mean over all steps of all sequences; of the blocks' input None where that does
    not spike.
    """

    sequences: int
    steps: int
    active_in: np.ndarray | None    # (K, T)
    active_out: np.ndarray
    rate_in: np.ndarray | None      # (K, H)
    rate_out: np.ndarray
    mean_p: np.ndarray      # probability of an output spike; ``rate_out`` where nothing is drawn


@dataclass(frozen=True)
class Trace:
    """One output neuron over the steps of one sequence.

    ``curve`` (L,) is what its ``spikes`` (L,) were decided from, ``label`` says what that is.
    """

    block: int
    neuron: int
    label: str
    curve: np.ndarray
    spikes: np.ndarray


def spiking(record: list[dict]) -> list[dict]:
    """``record``, if it is one of spikes; raises :class:`NoSpikes`."""
    for k, block in enumerate(record):
        s = block["s_out"]
        if not ((s == 0) | (s.abs() == 1)).all():
            raise NoSpikes(f"block {k} of the network has real-valued outputs, no spikes; choose a "
                           f"checkpoint whose neurons spike")
    return record


def measure(net, split: Split, task: Task, batch: int = 50, seed: int = 0) -> Activity:
    """Run all of ``split`` through the network, samplers seeded, and count."""
    torch.manual_seed(seed)
    K, H, T = len(net.blocks), net.cfg.d_model, int(split.lengths.max())
    names = ("s_in", "s_out", "p")
    over_time, over_neurons = np.zeros((3, K, T)), np.zeros((3, K, H))
    reached, there = np.zeros(T), set(names)
    for record, valid in records(net, split, task, batch):
        L = valid.shape[1]
        reached[:L] += valid.sum(0).numpy()
        for k, block in enumerate(spiking(record)):
            there &= set(block)
            for i, name in enumerate(names):
                if name in block:
                    x = block[name].double().abs().clamp(max=1) * valid[:, :, None]
                    over_neurons[i, k] += x.sum((0, 1)).numpy()
                    over_time[i, k, :L] += x.sum((0, 2)).numpy()
    active, rates = over_time / (H * reached), over_neurons / reached.sum()
    has_in = "s_in" in there
    return Activity(len(split), int(reached.sum()), active[0] if has_in else None, active[1],
                    rates[0] if has_in else None, rates[1], rates[2 if "p" in there else 1])


def trace(net, split: Split, task: Task, sequence: int = 0, block: int | None = None,
          neuron: int | None = None, seed: int = 0) -> Trace:
    """Neuron ``neuron`` of block ``block``, both from 0, on one sequence.

    Without them the last block, and there the liveliest neuron: the largest deviation of its curve
    over time, times how often it starts or stops to spike.
    """
    K, H = len(net.blocks), net.cfg.d_model
    block = K - 1 if block is None else block
    for name, value, count in (("sequence", sequence, len(split)), ("block", block, K),
                               ("neuron", 0 if neuron is None else neuron, H)):
        if not 0 <= value < count:
            raise UserError(f"{name} {value} does not exist; it must be from 0 to {count - 1}")
    torch.manual_seed(seed)
    (all_blocks, _), = records(net, split.take([sequence]), task, 1)
    record = spiking(all_blocks)[block]
    name = next(name for name in CURVES if name in record)
    curve, spikes = (record[key][0].float().numpy() for key in (name, "s_out"))    # (L, H)
    if neuron is None:
        changes = np.abs(np.diff(spikes, axis=0)).sum(0)
        neuron = int((curve.std(0) * changes).argmax())
    return Trace(block, neuron, CURVES[name], curve[:, neuron], spikes[:, neuron])
