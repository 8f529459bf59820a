"""Tasks behind one interface: integer samples or tokens in, a class out."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from golden import data
from quant.formats import QFormat, UQ


@dataclass(frozen=True)
class Split:
    """Sequences of one split.

    values : (n, L) integers, raw samples in the task's ``sample_format`` or token numbers;
        lengths : (n,) steps that count, values behind them are 0; labels : (n,) classes.
    """

    values: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices) -> "Split":
        return Split(self.values[indices], self.lengths[indices], self.labels[indices])


class Task(Protocol):
    """What training, export and simulation need to know about a data set."""

    name: str
    n_classes: int
    length: int                     # steps of the longest sequence
    vocab: int                      # number of tokens, 0 for samples
    sample_format: QFormat | None   # of the raw samples, None for tokens

    def load(self, split: str, data_dir=None) -> Split:
        """``split`` is train, val or test; raises ``golden.data.DataError``."""


def bit_reversal(n: int) -> np.ndarray:
    """Permutation of ``n`` positions by the reversed bits of their index (released code)."""
    bits = (n - 1).bit_length()
    order = [int(f"{k:0{bits}b}"[::-1], 2) for k in range(1 << bits)]
    return np.array([k for k in order if k < n])


class PermutedMNIST:
    """MNIST as 784 pixels in a fixed order; validation is 10 % of training, seed 42."""

    name, n_classes, length, vocab, sample_format = "psmnist", 10, 784, 0, UQ(0, 8)

    def __init__(self, permutation: str = "bit_reversal"):
        self.permutation = permutation
        if permutation == "bit_reversal":
            self.order = bit_reversal(784)
        elif permutation.startswith("seed") and permutation[4:].isdigit():
            self.order = np.random.default_rng(int(permutation[4:])).permutation(784)
        else:
            raise ValueError(f"permutation must be bit_reversal or seed<number>, "
                             f"not {permutation!r}")

    def load(self, split: str, data_dir=None) -> Split:
        part = "t10k" if split == "test" else "train"
        values = data.mnist(f"{part}-images-idx3-ubyte", data_dir)[:, self.order]
        labels = data.mnist(f"{part}-labels-idx1-ubyte", data_dir).astype(np.int64)
        whole = Split(values, np.full(len(values), 784), labels)
        if split == "test":
            return whole
        shuffled = np.random.default_rng(42).permutation(len(whole))
        held_out = len(whole) // 10
        return whole.take(np.sort(shuffled[:held_out] if split == "val" else shuffled[held_out:]))


TASKS = {"psmnist": PermutedMNIST}


def make_task(name: str) -> Task:
    """Task by name."""
    return TASKS[name]()
