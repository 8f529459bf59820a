"""A user's own task: made from its class, its members checked, what it loads brought into form.

Whatever the class raises becomes one line that names the class and the place in its file.
"""

import importlib
import inspect
import operator
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from golden.base.cli import UserError
from golden.base.qformat import QFormat
from golden.tasks.base import Split, TaskError, checked, inputs_of, known_split, limits

MEMBERS = ("name", "n_classes", "length", "vocab", "sample_format", "load")
NUMBERS = (("n_classes", 2), ("length", 1), ("vocab", 0))       # and the least of each


class OwnTask:
    """A user's task behind the members of :class:`golden.tasks.Task`.

    Numbers are Python's, ``load`` gives a checked :class:`Split`; optional members are there where
    the user's class has them.
    """

    def __init__(self, task, spec: str):
        self._task, self.spec = task, spec
        check(task, spec)
        self.name = str(task.name)
        for member, _ in NUMBERS:
            setattr(self, member, operator.index(getattr(task, member)))
        self.sample_format, self.inputs = task.sample_format, operator.index(inputs_of(task))

    def __getattr__(self, member: str):
        if member not in ("permutation", "subsets", "augment", "source"):
            raise AttributeError(f"a task has no {member}")
        found = getattr(self._task, member)
        if member == "subsets":
            return lambda split, data_dir=None: self._of(member, split, data_dir)
        return self._augment if member == "augment" else found

    def load(self, split: str, data_dir=None) -> Split:
        """The split of the user's ``load``, whole numbers as integers, values behind an end 0."""
        found = self._of("load", known_split(split), data_dir)
        return checked(split_of(found, f"task {self.spec}: load({split!r})"), self, split)

    def _augment(self, values, generator):
        """Tensors (B, L), as recipes ask for them; other raw sequences of the task's."""
        what = f"task {self.spec}: augment(values, generator)"
        made = told(what, lambda: self._task.augment(values, generator))
        if getattr(made, "shape", None) != values.shape:
            raise TaskError(f"{what} gave {getattr(made, 'shape', type(made).__name__)}, not a "
                            f"tensor of shape {tuple(values.shape)} as the values")
        low, high = limits(self)
        if made.min() < low or made.max() > high:
            raise TaskError(f"{what} gave values from {made.min()} to {made.max()}, they must be "
                            f"from {low} to {high}")
        return made

    def _of(self, member: str, split: str, data_dir):
        """What a method of the user's gives for a split; it may do without the data folder."""
        call, what = getattr(self._task, member), f"task {self.spec}: {member}({split!r})"
        for given, named in (((split, data_dir), {}), ((split,), {"data_dir": data_dir}),
                             ((split,), {})):
            try:
                inspect.signature(call).bind(*given, **named)
            except TypeError:
                continue
            return told(what, lambda: call(*given, **named))
        raise TaskError(f"{what}: it must take (split, data_dir=None), not "
                        f"{inspect.signature(call)}")


def told(what: str, call: Callable):
    """What ``call()`` returns; what it raises as a :class:`TaskError` that names the place.

    A ``UserError``, such as a ``DataError``, is the user's own message.
    """
    try:
        return call()
    except (UserError, KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:      # SystemExit of a script that was imported, too
        said = " ".join(str(error).split())
        raise TaskError(f"{what} raised {type(error).__name__}{': ' * bool(said)}{said}"
                        f"{_place(error)}") from None


def _place(error: BaseException) -> str:
    """The last line of the user's own that was running: the first frames are this project's."""
    root = str(Path(__file__).resolve().parents[2])
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if frame.filename != __file__ and not frame.filename.startswith("<")
              and "site-packages" not in frame.filename and "importlib" not in frame.filename]
    outside = [frame for frame in frames if not frame.filename.startswith(root)] or frames
    return f" (in {outside[-1].filename}, line {outside[-1].lineno})" if outside else ""


def make(name: str, module_name: str, class_name: str) -> OwnTask:
    """The task of a class, made without arguments; a :class:`TaskError` where it is none."""
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))
    module = told(f"task {name!r}: importing {module_name}", lambda: _imported(name, module_name))
    made = getattr(module, class_name, None)
    if not isinstance(made, type):
        raise TaskError(f"task {name!r}: module {module_name} has no class {class_name!r}")
    task = told(f"task {name!r}: {class_name}()", made)
    return told(f"task {name!r}: a member of {class_name}",
                lambda: OwnTask(task, f"{made.__module__}:{made.__qualname__}"))


def _imported(name: str, module_name: str):
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and module_name.startswith(error.name):
            raise TaskError(f"task {name!r}: no module {error.name} to import; run from the "
                            f"folder that contains it, or set PYTHONPATH") from None
        raise TaskError(f"task {name!r}: module {module_name} needs module {error.name}, "
                        f"which is not installed") from None


def check(task, name: str) -> None:
    """Raise :class:`TaskError` naming what ``task`` lacks or has wrong."""
    missing = [member for member in MEMBERS if not hasattr(task, member)]
    if missing:
        raise TaskError(f"task {name!r} lacks {', '.join(missing)}; see docs/own-task.md")
    for member, least in NUMBERS:
        value = getattr(task, member)
        if not _is_whole(value) or value < least:
            raise TaskError(f"task {name!r}: {member} must be an integer of at least {least}, "
                            f"not {value!r}")
    if not _is_whole(inputs_of(task)) or inputs_of(task) not in (1, 2):
        raise TaskError(f"task {name!r}: inputs must be 1 or 2, not {task.inputs!r}")
    if not isinstance(task.name, str) or not task.name:
        raise TaskError(f"task {name!r}: name must be a text that is not empty")
    if not isinstance(getattr(task, "permutation", None), str | None):
        raise TaskError(f"task {name!r}: permutation must be the name of an order, a text, not "
                        f"{type(task.permutation).__name__}")
    if not callable(task.load):
        raise TaskError(f"task {name!r}: load must be a method load(split, data_dir)")
    sampled = isinstance(task.sample_format, QFormat)
    if sampled == (task.vocab > 0) or not (sampled or task.sample_format is None):
        raise TaskError(f"task {name!r}: either vocab is positive and sample_format None (tokens), "
                        f"or vocab is 0 and sample_format a quant.formats.UQ or SQ (samples)")
    if sampled and task.sample_format.hi > np.iinfo(np.int64).max:
        raise TaskError(f"task {name!r}: samples are integers of at most 64 bits with a sign, not "
                        f"{task.sample_format}")
    if sampled and task.sample_format.signed and task.sample_format.i_bits != 1:
        raise TaskError(f"task {name!r}: signed samples have one integer bit, the sign, so that "
                        f"the network sees -1 to 1: SQ(1, f), not {task.sample_format}")


def _is_whole(value) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def split_of(found, what: str) -> Split:
    """What a user's ``load`` gave as a :class:`Split`; also a tuple of its three arrays."""
    fields = ("values", "lengths", "labels")
    if all(hasattr(found, field) for field in fields):
        found = tuple(getattr(found, field) for field in fields)
    if not isinstance(found, tuple | list) or len(found) != 3:
        raise TaskError(f"{what} gave {type(found).__name__}, not a golden.tasks.Split or its "
                        f"(values, lengths, labels)")
    values, lengths, labels = (whole(array, f"{what}: {field}")
                               for field, array in zip(fields, found))
    return Split(ended(values, lengths), lengths.astype(np.int64), labels.astype(np.int64))


def whole(array, what: str) -> np.ndarray:
    """Whole numbers of any type as integers that PyTorch takes; a :class:`TaskError` else."""
    if np.ma.is_masked(array):
        raise TaskError(f"{what} has masked numbers; fill them")
    try:
        found = np.asarray(array)
    except (ValueError, TypeError, RuntimeError) as error:
        said = str(error).splitlines()[0]
        raise TaskError(f"{what} must be an array of whole numbers ({said})") from None
    if found.dtype.kind == "b":
        found = found.astype(np.uint8)
    if found.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            integers = found.astype(np.int64)
            different = np.flatnonzero(integers.ravel() != found.ravel())
        if len(different):
            at = tuple(int(k) for k in np.unravel_index(different[0], found.shape))
            raise TaskError(f"{what} must be whole numbers, not {found[at]} at {list(at)}")
        found = integers
    if found.dtype.kind not in "iu":
        raise TaskError(f"{what} must be an array of whole numbers, not of {found.dtype}")
    if found.dtype.kind == "u" and found.dtype.itemsize > 1:
        if found.dtype.itemsize == 8 and found.size and found.max() > np.iinfo(np.int64).max:
            raise TaskError(f"{what} has {found.max()}, which is no class, sample or token")
        found = found.astype(np.int64 if found.dtype.itemsize > 2 else np.int32)
    return found.astype(found.dtype.newbyteorder("="), "C", copy=False)


def ended(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """``values`` with 0 behind the end of each sequence; what does not fit is for ``checked``."""
    if values.ndim not in (2, 3) or lengths.shape != values.shape[:-1]:
        return values
    behind = np.arange(values.shape[-1]) >= lengths[..., None]
    return np.where(behind, values.dtype.type(0), values) if values[behind].any() else values
