"""What every task offers: integer samples or tokens in, a class out."""

import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from golden.base.cli import UserError
from golden.tasks.data import DataError
from golden.tasks.sources import Source, again
from golden.base.qformat import QFormat

SPLITS = ("train", "val", "test")


class TaskError(UserError):
    """No such task, or a class that is none; the message says what there is."""


@dataclass(frozen=True)
class Split:
    """Examples of one split: a sequence each, or two where the task has two ``inputs``.

    values : (n, L) or (n, 2, L) integers, raw samples in the task's ``sample_format`` or token
        numbers; lengths : (n,) or (n, 2) steps that count, values behind them are 0;
        labels : (n,) classes, int64.
    """

    values: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def inputs(self) -> int:
        """Sequences that make one example."""
        return self.values.shape[1] if self.values.ndim == 3 else 1

    def take(self, indices) -> "Split":
        return Split(self.values[indices], self.lengths[indices], self.labels[indices])

    def first(self, n: int | None) -> "Split":
        """The first ``n`` examples, or all if there are fewer; None: all."""
        return self.take(slice(n))

    def sequences(self) -> "Split":
        """The single sequences: row ``k * inputs + i`` is input i of example k, with its label.

        For one input it is the split itself.
        """
        if self.values.ndim == 2:
            return self
        return Split(self.values.reshape(-1, self.values.shape[2]), self.lengths.reshape(-1),
                     np.repeat(self.labels, self.inputs))


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
    inputs: int                     # sequences that make one example, 1 or 2 (optional: 1)
    source: Source                  # where the data comes from (optional)

    def load(self, split: str, data_dir=None) -> Split:
        """``split`` is train, val or test; raises ``golden.tasks.data.DataError``."""

    def subsets(self, split: str, data_dir=None) -> dict[str, np.ndarray]:
        """Parts of a split whose accuracy is stated too, bool (n,) by name (optional)."""


def inputs_of(task: Task) -> int:
    """Sequences that make one example of ``task``."""
    return getattr(task, "inputs", 1)


def subsets_of(task: Task, split: str, n: int, data_dir=None) -> dict[str, np.ndarray]:
    """Named parts of the first ``n`` examples of a split, bool (n,); without empty parts.

    Raises :class:`TaskError` if the task's own ``subsets`` gives anything else.
    """
    parts = task.subsets(split, data_dir) if hasattr(task, "subsets") else {}
    if not isinstance(parts, dict) or not all(isinstance(name, str) for name in parts):
        raise TaskError(f"task {task.name}: subsets must give a dict of arrays by name")
    for name, part in parts.items():
        if (not isinstance(part, np.ndarray) or part.dtype != bool or part.ndim != 1
                or len(part) < n):
            raise TaskError(f"task {task.name}: subset {name!r} must be an array of bool, one for "
                            f"each example of {split}")
    return {name: part[:n] for name, part in parts.items() if part[:n].any()}


def subset_accuracies(right, subsets: dict[str, np.ndarray] | None) -> dict:
    """What a report adds for the parts of a split; nothing without any.

    ``right`` is bool (seeds, n): which examples each evaluation has right.
    """
    def of(part):
        accuracies = np.asarray(right)[:, part].mean(1)
        return {"accuracy_mean": float(accuracies.mean()),
                "accuracy_std": float(accuracies.std(ddof=1)) if len(accuracies) > 1 else 0.0,
                "accuracies": accuracies.tolist(), "n": int(part.sum())}
    return {"subsets": {name: of(part) for name, part in subsets.items()}} if subsets else {}


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


def limits(task: Task) -> tuple[int, int]:
    """The smallest and the largest raw sample or token."""
    samples = task.sample_format
    return (samples.lo, samples.hi) if samples else (0, task.vocab - 1)


def checked(split: Split, task: Task, name: str = "") -> Split:
    """``split``, if its arrays are what :class:`Split` says; a :class:`TaskError` else.

    ``name`` is the split's, for the message.
    """
    where = f"task {task.name}{f', {name}' if name else ''}:"
    inputs, (low, high) = inputs_of(task), limits(task)
    for field in ("labels", "values", "lengths"):
        array = getattr(split, field)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
            raise TaskError(f"{where} {field} must be an array of integers")
        n = split.labels.shape[0] if split.labels.ndim else 0
        each = (n,) if inputs == 1 or field == "labels" else (n, inputs)
        shape = array.shape[:-1] if field == "values" else array.shape
        if shape != each or not array.size:
            rows = "n" if inputs == 1 else f"n, {inputs}"
            raise TaskError(f"{where} {field} has shape {array.shape} beside {n} labels; "
                            f"values are ({rows}, L), lengths ({rows}{',' * (inputs == 1)}) and "
                            f"labels (n,), n and L at least 1")
    steps = split.values.shape[-1]
    if steps > task.length:
        raise TaskError(f"{where} sequences of {steps} steps, but its length is {task.length}")
    for field, low, high in (("values", low, high), ("labels", 0, task.n_classes - 1),
                             ("lengths", 1, steps)):
        array = getattr(split, field)
        if array.min() < low or array.max() > high:
            wrong = ((array < low) | (array > high)).reshape(n, -1).any(1)
            raise TaskError(f"{where} {field} from {array.min()} to {array.max()}, they must be "
                            f"from {low} to {high}; the first that are not: example "
                            f"{wrong.argmax()}")
    return split


PART = "part"       # variant of a task for files that hold only some of its sequences


def part_and_name(variant: str, name: str) -> tuple[bool, str]:
    """Whether a task's variant is ``part``, and the name of the task with it.

    It is for files of any size, which are neither counted nor checksummed.
    """
    if variant not in ("", PART):
        raise TaskError(f"variant {variant!r} of task {name} is unknown; known: {PART}, for files "
                        f"that hold only some of its sequences")
    return variant == PART, f"{name}:{variant}" if variant else name


def whole(name: str) -> str:
    """The name of a task without the variant ``part``."""
    return re.sub(f"[:-]{PART}$", "", name)


def counted(found: int, expected: int, what: str, path, task: Task) -> None:
    """Raise ``DataError`` unless a file holds as many sequences as were published."""
    if found != expected and not (task.part and found):
        joint = "-" if ":" in task.name else ":"
        part = task.name if task.part else f"{task.name}{joint}{PART}"
        raise DataError(f"{path} holds {found:,} {what}, not {expected:,}; {again(path)}, or use "
                        f"task {part} for files that hold only some, at least 1 in each split")


def held_out(n: int, split: str) -> np.ndarray:
    """Which of ``n`` published sequences a split has: of the training ones a tenth validates."""
    if split == "test":
        return np.arange(n)
    shuffled = np.random.default_rng(42).permutation(n)
    return np.sort(shuffled[:n // 10] if split == "val" else shuffled[n // 10:])
