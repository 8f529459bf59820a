"""MNIST as sequences: the 784 pixels of a digit, one a step, row by row or in a fixed order."""

import numpy as np

from golden.tasks import mnist
from golden.tasks.base import Split, held_out, known_split, permuted
from golden.tasks.formats import PIXEL


class PermutedMNIST:
    """MNIST as 784 grey values v / 256; validation is 10 % of the training set, seed 42."""

    n_classes, length, vocab, sample_format = 10, 784, 0, PIXEL
    source = mnist.SOURCE

    def __init__(self, permutation: str = "bit_reversal"):
        self.order = permuted(permutation, self.length)
        self.permutation = permutation
        self.name = "psmnist" + (f":{permutation}" if permutation != "bit_reversal" else "")

    def load(self, split: str, data_dir=None) -> Split:
        part = "t10k" if known_split(split) == "test" else "train"
        values = mnist.read(f"{part}-images-idx3-ubyte", data_dir)[:, self.order]
        labels = mnist.read(f"{part}-labels-idx1-ubyte", data_dir).astype(np.int64)
        whole = Split(values, np.full(len(values), self.length), labels)
        if split == "test":
            return whole
        return whole.take(held_out(len(whole), split))

    def augment(self, values, generator):
        """(B, 784) raw sequences, each digit moved a little (``golden.tasks.pictures``)."""
        import torch                    # here, because nothing else of a task needs it
        from golden.tasks.pictures import move_digits
        return move_digits(values, torch.from_numpy(self.order), generator)


class SequentialMNIST(PermutedMNIST):
    """MNIST row by row."""

    def __init__(self):
        super().__init__("identity")
        self.name = "smnist"
