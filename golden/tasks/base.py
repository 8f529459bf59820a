"""What every task offers: integer samples or tokens in, a class out."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from golden.cli import UserError
from quant.formats import QFormat

SPLITS = ("train", "val", "test")


class TaskError(UserError):
    """No such task, or a class that is none; the message says what there is."""


@dataclass(frozen=True)
class Split:
    """Sequences of one split.

    values : (n, L) integers, raw samples in the task's ``sample_format`` or token numbers;
        lengths : (n,) steps that count, values behind them are 0; labels : (n,) classes, int64.
    """

    values: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices) -> "Split":
        return Split(self.values[indices], self.lengths[indices], self.labels[indices])


class Task(Protocol):
    """What training, export and simulation need to know about a data set.

    A class that has these members is a task; it need not inherit anything.
    """

    name: str                       # as given to make_task, except for a user's own
    n_classes: int
    length: int                     # steps of the longest sequence
    vocab: int                      # number of tokens, token 0 is padding; 0: samples
    sample_format: QFormat | None   # of the raw samples, None for tokens
    permutation: str | None         # name of a fixed order of the steps (optional)

    def load(self, split: str, data_dir=None) -> Split:
        """``split`` is train, val or test; raises ``golden.data.DataError``."""


def permuted(name: str, length: int) -> np.ndarray:
    """Order of ``length`` steps by name: ``identity``, ``bit_reversal`` or ``seed<number>``.

    ``seed<number>`` is ``numpy.random.default_rng(number).permutation(length)``.
    """
    if name == "identity":
        return np.arange(length)
    if name == "bit_reversal":
        return bit_reversal(length)
    if name.startswith("seed") and name[4:].isdecimal():
        return np.random.default_rng(int(name[4:])).permutation(length)
    raise TaskError(f"permutation {name!r} is unknown; known: bit_reversal, identity, "
                    f"seed<number>")


def bit_reversal(n: int) -> np.ndarray:
    """Permutation of ``n`` positions by the reversed bits of their index (released code)."""
    bits = (n - 1).bit_length()
    order = [int(f"{k:0{bits}b}"[::-1], 2) for k in range(1 << bits)]
    return np.array([k for k in order if k < n])


def known_split(split: str) -> str:
    """``split``, if it is one."""
    if split not in SPLITS:
        raise TaskError(f"split {split!r} is unknown; known: {', '.join(SPLITS)}")
    return split


def checked(split: Split, task: Task) -> Split:
    """``split``, if its arrays are what :class:`Split` says; a :class:`TaskError` else."""
    n, samples = len(split.labels), task.sample_format
    low, high = (samples.lo, samples.hi) if samples else (0, task.vocab - 1)
    for name in ("values", "lengths", "labels"):
        array = getattr(split, name)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
            raise TaskError(f"task {task.name}: {name} must be an array of integers")
        if array.ndim != (2 if name == "values" else 1) or len(array) != n or n == 0:
            raise TaskError(f"task {task.name}: {name} has shape {array.shape} beside {n} labels; "
                            f"values are (n, L), lengths and labels (n,), n at least 1")
    if split.values.shape[1] > task.length:
        raise TaskError(f"task {task.name}: sequences of {split.values.shape[1]} steps, but its "
                        f"length is {task.length}")
    for name, low, high in (("values", low, high), ("labels", 0, task.n_classes - 1),
                            ("lengths", 1, split.values.shape[1])):
        array = getattr(split, name)
        if array.min() < low or array.max() > high:
            raise TaskError(f"task {task.name}: {name} from {array.min()} to {array.max()}, "
                            f"allowed are {low} to {high}")
    return split
