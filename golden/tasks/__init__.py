"""Tasks behind one interface, by name, or a user's own by its class (docs/own-task.md)."""

import importlib
import sys
from pathlib import Path

from golden.tasks.base import SPLITS, Split, Task, TaskError, checked
from golden.tasks.digits import Digits
from golden.tasks.listops import ListOps
from golden.tasks.psmnist import PermutedMNIST
from quant.formats import QFormat

__all__ = ["SPLITS", "Split", "TASKS", "Task", "TaskError", "checked", "make_task", "slug", "spec"]
TASKS = {"digits": Digits, "psmnist": PermutedMNIST, "listops": ListOps}
MEMBERS = ("name", "n_classes", "length", "vocab", "sample_format", "load")


def make_task(name: str) -> Task:
    """Task by name: ``psmnist``, a variant ``psmnist:seed1``, or a class ``package.module:Class``.

    Raises :class:`TaskError` for a name that is none of these, or a class that is no task.
    """
    head, colon, rest = name.partition(":")
    if head in TASKS:
        if not colon:
            return TASKS[head]()
        if head == "listops":
            raise TaskError(f"task {name!r} is unknown: listops has no variants")
        return TASKS[head](rest)
    if not colon:
        raise TaskError(f"task {name!r} is unknown; known: {', '.join(TASKS)}, or your own as "
                        f"package.module:Class")
    return _own_task(name, head, rest)


def _own_task(name: str, module_name: str, class_name: str) -> Task:
    """A user's class, made without arguments, its members checked."""
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and module_name.startswith(error.name):
            raise TaskError(f"task {name!r}: no module {error.name} to import; run from the "
                            f"folder that contains it, or set PYTHONPATH") from None
        raise TaskError(f"task {name!r}: module {module_name} needs module {error.name}, "
                        f"which is not installed") from None
    except Exception as error:      # whatever a user's module may raise
        raise TaskError(f"task {name!r}: importing {module_name} raised "
                        f"{type(error).__name__}: {error}") from None
    made = getattr(module, class_name, None)
    if not isinstance(made, type):
        raise TaskError(f"task {name!r}: module {module_name} has no class {class_name!r}")
    try:
        task = made()
    except Exception as error:
        raise TaskError(f"task {name!r}: {class_name}() raised {type(error).__name__}: "
                        f"{error}") from None
    check(task, name)
    return task


def check(task: Task, name: str) -> None:
    """Raise :class:`TaskError` naming what ``task`` lacks or has wrong."""
    missing = [member for member in MEMBERS if not hasattr(task, member)]
    if missing:
        raise TaskError(f"task {name!r} lacks {', '.join(missing)}; see docs/own-task.md")
    for member, least in (("n_classes", 2), ("length", 1), ("vocab", 0)):
        value = getattr(task, member)
        if not isinstance(value, int) or value < least:
            raise TaskError(f"task {name!r}: {member} must be an integer of at least {least}, "
                            f"not {value!r}")
    if not isinstance(task.name, str) or not task.name:
        raise TaskError(f"task {name!r}: name must be a text that is not empty")
    if not callable(task.load):
        raise TaskError(f"task {name!r}: load must be a method load(split, data_dir)")
    sampled = isinstance(task.sample_format, QFormat)
    if sampled == (task.vocab > 0) or not (sampled or task.sample_format is None):
        raise TaskError(f"task {name!r}: either vocab is positive and sample_format None (tokens), "
                        f"or vocab is 0 and sample_format a quant.formats.UQ (samples)")


def spec(task: Task) -> str:
    """The name that makes this task again with :func:`make_task`."""
    if type(task) in TASKS.values():
        return task.name
    return f"{type(task).__module__}:{type(task).__qualname__}"


def slug(name: str, net: str = "") -> str:
    """A task's name as a file name; with the name of one of its networks, where it has several."""
    return ".".join("".join(c if c.isalnum() or c in "._-" else "-" for c in part)
                    for part in (name, net) if part)
