"""Image: which of ten things does a grey picture show? 1,024 pixels, row by row.

CIFAR-10 (Krizhevsky, 2009) in grey, as in the Long Range Arena.
"""

import io
import pickle
from pathlib import Path

import numpy as np

from golden.base.arrays import DAMAGE
from golden.tasks.data import DataError
from golden.tasks.base import Split, counted, held_out, part_and_name, known_split
from golden.tasks.recordings import arrays, files
from golden.tasks.sources import File, Source, again, reading
from golden.tasks.formats import PIXEL

COMPACT, ARCHIVE = "cifar10_gray.npz.xz", "cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"
SIZES = {"train": 50_000, "test": 10_000}
BATCHES = {"train": [f"data_batch_{k}" for k in range(1, 6)], "test": ["test_batch"]}
WRONG = (*DAMAGE, AttributeError, ImportError, pickle.UnpicklingError)     # of a pickle


class Image:
    """Grey values v / 256; validation is a tenth of the 50,000 training pictures.

    The compact form holds 9,000 test pictures that went through a JPEG: subset ``exact`` is the
    1,000 others. In the published archive all are exact.
    """

    n_classes, length, vocab, sample_format = 10, 1024, 0, PIXEL
    source = Source(
        home="https://www.cs.toronto.edu/~kriz/cifar.html", licence="none stated; cite the report",
        folder="cifar10", forms=((COMPACT,), (FOLDER,), (ARCHIVE,)),
        files=(File(ARCHIVE, (f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}",),
                    "md5:c58f30108f718f92721af3b95e74349a", stated="its home page"),))

    def __init__(self, variant: str = ""):
        self.part, self.name = part_and_name(variant, "image")

    def load(self, split: str, data_dir=None) -> Split:
        pictures, labels, _ = self._read(known_split(split), data_dir)
        whole = Split(pictures.reshape(len(pictures), -1), np.full(len(pictures), self.length),
                      labels.astype(np.int64))
        return whole.take(held_out(len(whole), split))

    def subsets(self, split: str, data_dir=None) -> dict[str, np.ndarray]:
        return {"exact": self._read(split, data_dir)[2]} if split == "test" else {}

    def augment(self, values, generator):
        """(B, 1024) raw sequences, half mirrored, all shifted by up to 2 pixels."""
        from golden.tasks.pictures import flip_and_shift
        return flip_and_shift(values, 32, 2, generator)

    def _read(self, split: str, data_dir) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(grey (n, 32, 32) uint8, labels (n,), exact (n,)) of a half, from any form."""
        half = "test" if split == "test" else "train"
        path = self.source.obtain([COMPACT, FOLDER, ARCHIVE], data_dir, check=not self.part)
        with reading(path, *WRONG):
            pictures, labels, exact = (compact if path.name == COMPACT else published)(path, half)
        n = pictures.size // 1024
        if (pictures.shape, pictures.dtype, labels.shape, exact.shape, exact.dtype) != (
                (n, 32, 32), np.uint8, (n,), (n,), bool) or n == 0 or (
                labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 9):
            raise DataError(f"{path}: pictures of shape {pictures.shape} {pictures.dtype} with "
                            f"{labels.size} labels; expected bytes of (n, 32, 32); {again(path)}")
        counted(n, SIZES[half], f"{half} pictures", path, self)
        return pictures, labels, exact


def compact(path: Path, half: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The grey pictures of both halves in one file, in the published order."""
    if half == "test":
        return arrays(path, "test_x", "test_y", "test_exact")
    pictures, labels = arrays(path, "train_x", "train_y")
    return pictures, labels, np.ones(len(labels), bool)


def published(path: Path, half: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The published batches, packed or unpacked: dictionaries with ``data`` and ``labels``."""
    found = {Path(name).name: read() for name, read in files(path)
             if Path(name).name in BATCHES[half]}
    batches = [load(found[name]) for name in BATCHES[half]]
    colours = np.concatenate([batch[b"data"] for batch in batches])
    labels = np.concatenate([np.asarray(batch[b"labels"]) for batch in batches])
    return grey(colours.reshape(-1, 3, 32, 32)), labels, np.ones(len(labels), bool)


def grey(colours: np.ndarray) -> np.ndarray:
    """(n, 3, 32, 32) red, green and blue bytes as grey bytes (n, 32, 32): 0.2989, 0.587, 0.114."""
    red, green, blue = colours.astype(np.int32).transpose(1, 0, 2, 3)
    return ((2989 * red + 5870 * green + 1140 * blue + 5000) // 10000).astype(np.uint8)


class ArraysOnly(pickle.Unpickler):
    """Reads a batch, and nothing that a pickle could do besides making arrays."""

    def find_class(self, module: str, name: str):
        if (module.split(".")[0], name) in (("numpy", "_reconstruct"), ("numpy", "ndarray"),
                                            ("numpy", "dtype"), ("_codecs", "encode")):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it wants to run {module}.{name}")


def load(raw: bytes) -> dict:
    """A published batch; its names are bytes."""
    return ArraysOnly(io.BytesIO(raw), encoding="bytes").load()
