"""Permuted sequential MNIST: the 784 pixels of a digit, one a step, in a fixed order."""

import numpy as np

from golden import data
from golden.tasks.base import Split, known_split, permuted
from quant.formats import PIXEL


class PermutedMNIST:
    """MNIST as 784 grey values v / 256; validation is 10 % of the training set, seed 42."""

    n_classes, length, vocab, sample_format = 10, 784, 0, PIXEL

    def __init__(self, permutation: str = "bit_reversal"):
        self.order = permuted(permutation, self.length)
        self.permutation = permutation
        self.name = "psmnist" + (f":{permutation}" if permutation != "bit_reversal" else "")

    def load(self, split: str, data_dir=None) -> Split:
        part = "t10k" if known_split(split) == "test" else "train"
        values = data.mnist(f"{part}-images-idx3-ubyte", data_dir)[:, self.order]
        labels = data.mnist(f"{part}-labels-idx1-ubyte", data_dir).astype(np.int64)
        whole = Split(values, np.full(len(values), self.length), labels)
        if split == "test":
            return whole
        shuffled = np.random.default_rng(42).permutation(len(whole))
        held_out = len(whole) // 10
        return whole.take(np.sort(shuffled[:held_out] if split == "val" else shuffled[held_out:]))

    def augment(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(B, 784) raw sequences, each digit moved by -1, 0 or 1 pixels both ways."""
        picture = np.zeros((len(values), 30, 30), values.dtype)
        flat = np.empty_like(values)
        flat[:, self.order] = values
        picture[:, 1:29, 1:29] = flat.reshape(-1, 28, 28)
        dy, dx = rng.integers(0, 3, (2, len(values), 1, 1))
        span = np.arange(28)
        moved = picture[np.arange(len(values))[:, None, None], dy + span[:, None], dx + span]
        return moved.reshape(-1, 784)[:, self.order]
