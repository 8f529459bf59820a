"""From the sequences of a split to what the network takes, and the accuracy over a split."""

from collections.abc import Callable, Iterator
from copy import copy

import numpy as np
import torch
from torch import nn

from golden.memory import batch_for
from golden.tasks import Split, Task
from golden.training.divergence import NotFinite

POOL = 64           # batches of an epoch that are sorted by length together
NARROW = 32         # neurons, see fast_dtype


class Stored:
    """A split as tensors on a device, values in the smallest type that holds them.

    values (n, L) raw, labels (n,), lengths (n,) on the CPU; of a task with two inputs values
    (n, 2, L) and lengths (n, 2). With ``few_lengths`` batches of a split whose lengths differ are
    cut at a few recurring lengths, see :func:`rounded`, so that their memory can be used again.
    """

    PIECE = 4096        # sequences that are changed at once

    def __init__(self, split: Split, task: Task, device: torch.device | None = None,
                 few_lengths: bool = False):
        self.values = torch.from_numpy(compact(split.values, task)).to(device)
        self.labels = torch.from_numpy(np.ascontiguousarray(split.labels)).to(device)
        self.lengths = torch.from_numpy(split.lengths)
        self.tokens = task.sample_format is None
        self.scale = 1.0 if self.tokens else 2.0 ** -task.sample_format.f_bits
        self.few_lengths = few_lengths and split.lengths.min() != split.lengths.max()

    def ordered(self, order: np.ndarray, change: Callable | None = None) -> "Stored":
        """The same in another order; ``change`` makes other raw values of (B, L) ones."""
        new = copy(self)
        order = torch.from_numpy(order)
        new.lengths = self.lengths[order]
        order = order.to(self.values.device)
        new.values, new.labels = self.values[order], self.labels[order]
        if change:
            L = self.values.shape[-1]
            pieces = new.values.view(-1, L).split(self.PIECE)
            new.values = torch.cat([change(piece) for piece in pieces]).view(new.values.shape)
        return new

    def batch(self, first: int, count: int
              ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """(values (B, L), lengths (B,) or None, labels (B,)) of ``count`` examples from ``first``.

        Cut at the longest of them; samples become floats raw * 2**-f, tokens stay integers.
        ``lengths`` is None where all are as long as L. Of two inputs values are (2 B, L) and
        lengths (2 B,): first all first inputs, then all second ones.
        """
        part = slice(first, first + count)
        lengths, values = self.lengths[part], self.values[part]
        if lengths.ndim == 2:
            lengths, values = (x.transpose(0, 1).flatten(0, 1) for x in (lengths, values))
        longest = int(lengths.max())
        if self.few_lengths:
            longest = min(rounded(longest), values.shape[1])
        values = values[:, :longest]
        values = values.long() if self.tokens else values.float() * self.scale
        ragged = int(lengths.min()) < longest
        return values, lengths.to(values.device) if ragged else None, self.labels[part]


def compact(values: np.ndarray, task: Task) -> np.ndarray:
    """Raw values in the smallest integer type that PyTorch can index and that holds the task's."""
    samples = task.sample_format
    low, high = (samples.lo, samples.hi) if samples else (0, task.vocab - 1)
    dtype = next(np.dtype(t) for t in (np.uint8, np.int8, np.int16, np.int32, np.int64)
                 if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return np.ascontiguousarray(values, dtype)


def longest(lengths: np.ndarray) -> np.ndarray:
    """(n,) steps of each example's longest sequence, from lengths (n,) or (n, inputs)."""
    return lengths if lengths.ndim == 1 else lengths.max(1)


def rounded(length: int) -> int:
    """The next of a few lengths: at most sixteen between a power of two and the next."""
    step = max(16, (1 << (length - 1).bit_length()) // 32)
    return -(-length // step) * step


def epoch_order(lengths: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
    """Order of the examples (n,) in an epoch of ``n // batch`` batches; the rest is left over.

    A shuffle, from which another rest is left over in every epoch. Where ``lengths`` (n,) differ,
    pools of ``POOL`` batches are then sorted by length, and the batches shuffled: a batch is of
    like lengths, with hardly any padding, yet its members are others in every epoch.
    """
    order = rng.permutation(len(lengths))
    if lengths.min() == lengths.max():
        return order
    used = len(order) // batch * batch
    pools = [pool[np.argsort(lengths[pool], kind="stable")]
             for pool in np.split(order[:used], range(POOL * batch, used, POOL * batch))]
    groups = np.concatenate(pools).reshape(-1, batch)
    return np.concatenate([rng.permutation(groups).ravel(), order[used:]])


def part_changed(raw: torch.Tensor, change: Callable, share: float, generator: torch.Generator
                 ) -> torch.Tensor:
    """Raw sequences (B, L) of which a share of 0..1, drawn by ``generator``, is changed by it."""
    changed = change(raw, generator)
    if share >= 1:
        return changed
    drawn = torch.rand(len(raw), 1, generator=generator, device=generator.device)
    return torch.where(drawn < share, changed, raw)


def batch_of(split: Split, indices, task: Task, device: torch.device | None = None
             ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """:meth:`Stored.batch` of some sequences of a split."""
    part = split.take(indices)
    return Stored(part, task, device).batch(0, len(part))


def batches(split: Split, task: Task, size: int, device: torch.device | None = None
            ) -> Iterator[tuple]:
    """:func:`batch_of` over a whole split; sequences of like length together, order fixed."""
    for part in parts(split, size):
        yield batch_of(split, part, task, device)


def parts(split: Split, size: int) -> Iterator[np.ndarray]:
    """Indices of ``size`` sequences of like length, again and again until all had their turn."""
    order = np.argsort(longest(split.lengths), kind="stable")
    for k in range(0, len(split), size):
        yield order[k:k + size]


@torch.no_grad()
def right(forward: Callable, split: Split, task: Task, size: int,
          device: torch.device | None = None, done: Callable = lambda count: None) -> np.ndarray:
    """Which sequences (n,) ``forward(values, lengths)``, a network's logits, gets right.

    ``size`` at once; ``done(count)`` is called after ``count`` more. Raises :class:`NotFinite` for
    logits that are no numbers, of which a class would be chosen all the same.
    """
    found = np.zeros(len(split), bool)
    for part in parts(split, size):
        values, lengths, labels = batch_of(split, part, task, device)
        logits = forward(values, lengths)
        if not torch.isfinite(logits).all():
            raise NotFinite("the network's output is no finite number, so it says nothing: its "
                            "weights are too large, or the training diverged")
        found[part] = (logits.argmax(1) == labels).cpu().numpy()
        done(len(part))
    return found


def fast_dtype(neurons: int, device: torch.device = torch.device("cpu")) -> torch.dtype:
    """bfloat16 where matrices of it are multiplied faster (AMX, AVX512-BF16, GPUs), else float32.

    On a CPU float32 for ``neurons`` per block up to ``NARROW``: oneDNN 3.12, which PyTorch 2.13
    holds, divides by zero on AMX for some products of so few rows, and the process dies.
    """
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = neurons > NARROW and (torch.cpu._is_amx_tile_supported()
                                     or torch.cpu._is_avx512_bf16_supported())
    return torch.bfloat16 if fast else torch.float32


def device_of(net: nn.Module) -> torch.device:
    """Where the network's parameters are."""
    return next(net.parameters()).device


def accuracy(net: nn.Module, split: Split, task: Task, dtype: torch.dtype | None = None) -> float:
    """Fraction of ``split`` that the network gets right, one sampler draw per step."""
    was_training, device = net.training, device_of(net)
    net.eval()
    # what keeps a GPU busy or a CPU's caches warm
    size = 1000 if device.type == "cuda" else batch_for(200, split.lengths, net.cfg.d_model)
    found = right(lambda *sequences: net(*sequences, dtype), split, task, size, device)
    net.train(was_training)
    return found.sum().item() / len(split)


@torch.no_grad()
def records(net: nn.Module, split: Split, task: Task, size: int, dtype: torch.dtype | None = None
            ) -> Iterator[tuple[list[dict], torch.Tensor]]:
    """(record of a forward pass, which of its steps count, bool (B, L)) of each of :func:`batches`.

    In evaluation mode; see ``golden.model.network.Network.forward`` for the record.
    """
    was_training, device = net.training, device_of(net)
    net.eval()
    for values, lengths, _ in batches(split, task, size, device):
        record, step = [], torch.arange(values.shape[1], device=device)
        net(values, lengths, dtype, record)
        ends = torch.full((len(values),), len(step), device=device) if lengths is None else lengths
        yield record, step < ends[:, None]
    net.train(was_training)


def spike_rates(net: nn.Module, split: Split, task: Task, dtype: torch.dtype | None = None
                ) -> list[dict]:
    """Share of neurons that fire per step, by block: ``s_in``, where there is one, and ``s_out``.

    A ternary spike counts by its size, as does an activation of a network without spikes.
    """
    fired, steps = [{} for _ in net.blocks], 0
    size = batch_for(50, split.lengths, net.cfg.d_model, device_of(net), share=0.3)
    for record, valid in records(net, split, task, size, dtype):
        steps += int(valid.sum())
        for sums, block in zip(fired, record):
            for name in ("s_in", "s_out"):
                if name in block:
                    size = block[name].float().abs().mean(2)[valid].sum().item()
                    sums[name] = sums.get(name, 0.0) + size
    return [{name: round(total / steps, 4) for name, total in sums.items()} for sums in fired]
