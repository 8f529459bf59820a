"""What the neurons of a network do on data: spikes over time, mean probabilities, one trace.

The numbers behind the figures (``golden.figures``) and the energy table (``golden.energy``). A
network answers for itself through the records of its forward pass: ``s_in``, ``p`` and ``s_out`` of
every block, each (B, L, H).
"""

from dataclasses import dataclass

import numpy as np
import torch

from golden.batches import batch_of, batches
from golden.cli import UserError
from golden.tasks import Split, Task


class NoSpikes(UserError):
    """The network has nothing that spikes, or no probability."""


@dataclass(frozen=True)
class Activity:
    """Spikes of a network on some sequences; K blocks of H neurons, T steps.

    Attributes
    ----------
    sequences, steps : int
        What was counted; padding behind a sequence's end is not.
    active_in, active_out : (K, T)
        Share of a block's neurons that spike at step t, at the input and at the output, mean over
        the sequences that reach step t.
    rate_in, rate_out : (K, H)
        Spikes per step of every neuron, mean over all steps of all sequences.
    mean_p : (K, H)
        Probability to spike at the output, the same mean.
    """

    sequences: int
    steps: int
    active_in: np.ndarray
    active_out: np.ndarray
    rate_in: np.ndarray
    rate_out: np.ndarray
    mean_p: np.ndarray


@dataclass(frozen=True)
class Trace:
    """One output neuron over the steps of one sequence: probability and spikes, both (L,)."""

    block: int
    neuron: int
    p: np.ndarray
    spikes: np.ndarray


def recorded(net, values: torch.Tensor, lengths: torch.Tensor | None) -> list[dict]:
    """The record of one forward pass in evaluation mode; raises :class:`NoSpikes`."""
    was_training, record = net.training, []
    net.eval()
    with torch.no_grad():
        net(values, lengths, record=record)
    net.train(was_training)
    for k, block in enumerate(record):
        missing = [name for name in ("s_in", "p", "s_out") if name not in block]
        if missing or not ((block["s_out"] == 0) | (block["s_out"] == 1)).all():
            raise NoSpikes(f"block {k} records {', '.join(block)} but no spikes with their "
                           f"probability: choose a checkpoint whose neurons spike")
    return record


def measure(net, split: Split, task: Task, batch: int = 50, seed: int = 0) -> Activity:
    """Run all of ``split`` through the network, samplers seeded, and count."""
    torch.manual_seed(seed)
    K, H, T = len(net.blocks), net.cfg.d_model, int(split.lengths.max())
    over_time, over_neurons = np.zeros((2, K, T)), np.zeros((3, K, H))
    reached = np.zeros(T)
    for values, lengths, labels in batches(split, task, batch):
        L = values.shape[1]
        lengths_ = torch.full((len(labels),), L) if lengths is None else lengths
        valid = torch.arange(L) < lengths_[:, None]                        # (B, L)
        reached[:L] += valid.sum(0).numpy()
        for k, block in enumerate(recorded(net, values, lengths)):
            for i, name in enumerate(("s_in", "s_out", "p")):
                x = block[name].double().clamp(0, 1) * valid[:, :, None]
                over_neurons[i, k] += x.sum((0, 1)).numpy()
                if name != "p":
                    over_time[i, k, :L] += x.sum((0, 2)).numpy()
    active = over_time / (H * reached)
    rates = over_neurons / reached.sum()
    return Activity(len(split), int(reached.sum()), *active, *rates)


def trace(net, split: Split, task: Task, sequence: int = 0, block: int | None = None,
          neuron: int | None = None, seed: int = 0) -> Trace:
    """One neuron of one sequence.

    Parameters
    ----------
    block, neuron : int
        From 0. None: the last block, and there the neuron whose probability varies most without
        staying at 0 or 1: the largest deviation over time times mean of p (1 - p).
    """
    K, H = len(net.blocks), net.cfg.d_model
    block = K - 1 if block is None else block
    for name, value, count in (("sequence", sequence, len(split)), ("block", block, K),
                               ("neuron", 0 if neuron is None else neuron, H)):
        if not 0 <= value < count:
            raise UserError(f"{name} {value} does not exist; allowed are 0 to {count - 1}")
    torch.manual_seed(seed)
    values, lengths, _ = batch_of(split, np.array([sequence]), task)
    record = recorded(net, values, lengths)[block]
    p = record["p"][0].float().clamp(0, 1).numpy()                         # (L, H)
    if neuron is None:
        neuron = int((p.std(0) * (p * (1 - p)).mean(0)).argmax())
    return Trace(block, neuron, p[:, neuron], record["s_out"][0, :, neuron].float().numpy())
