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
