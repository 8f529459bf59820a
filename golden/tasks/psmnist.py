"""MNIST as sequences: the 784 pixels of a digit, one a step, row by row or in a fixed order."""

import numpy as np

from golden.tasks.base import Split, held_out, known_split, permuted
from golden.tasks.formats import PIXEL
from golden.tasks.sources import File, Source, Unpacked

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/",
           "https://storage.googleapis.com/cvdf-datasets/mnist/")
MD5 = {     # of the unpacked idx files: the gzip wrapper differs between mirrors
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
SOURCE = Source(
    home="https://yann.lecun.com/exdb/mnist/", licence="CC BY-SA 3.0", folder="mnist",
    forms=(tuple(f"{name}.gz" for name in MD5),),
    files=tuple(File(f"{name}.gz", tuple(f"{mirror}{name}.gz" for mirror in MIRRORS),
                     f"md5:{md5}", unpacked=True, stated="secml, its loader of MNIST")
                for name, md5 in MD5.items()))


def read(name: str, data_dir=None, source: Source = SOURCE) -> np.ndarray:
    """One unpacked idx file, header removed: uint8 (n, 784) or (n,)."""
    with Unpacked(source.obtain([f"{name}.gz"], data_dir)) as file:
        raw = file.read()
    header = 4 + 4 * raw[3]             # raw[3]: number of dimensions
    values = np.frombuffer(raw, np.uint8, offset=header)
    return values.reshape(-1, 784) if raw[3] == 3 else values


class PermutedMNIST:
    """MNIST as 784 grey values v / 256; validation is 10 % of the training set, seed 42."""

    n_classes, length, vocab, sample_format = 10, 784, 0, PIXEL
    source = SOURCE

    def __init__(self, permutation: str = "bit_reversal"):
        self.order = permuted(permutation, self.length)
        self.permutation = permutation
        self.name = "psmnist" + (f":{permutation}" if permutation != "bit_reversal" else "")

    def load(self, split: str, data_dir=None) -> Split:
        part = "t10k" if known_split(split) == "test" else "train"
        values = read(f"{part}-images-idx3-ubyte", data_dir)[:, self.order]
        labels = read(f"{part}-labels-idx1-ubyte", data_dir).astype(np.int64)
        whole = Split(values, np.full(len(values), self.length), labels)
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
