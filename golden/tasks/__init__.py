"""Tasks behind one interface, by name, or a user's own by its class (docs/own-task.md)."""

import importlib
import inspect
import sys
from pathlib import Path

from golden.tasks.base import (SPLITS, Split, Task, TaskError, checked, inputs_of,
                               subset_accuracies, subsets_of)
from golden.base.names import slug
from golden.base.qformat import QFormat

__all__ = ["SPLITS", "Split", "TASKS", "Task", "TaskError", "checked", "inputs_of", "make_task",
           "slug", "spec", "subset_accuracies", "subsets_of"]
TASKS = {       # the class of each, imported when it is needed
    "psmnist": "golden.tasks.psmnist:PermutedMNIST",
    "smnist": "golden.tasks.psmnist:SequentialMNIST",
    "digits": "golden.tasks.digits:Digits",
    "listops": "golden.tasks.listops:ListOps",
    "text": "golden.tasks.text:Text",
    "retrieval": "golden.tasks.retrieval:Retrieval",
    "image": "golden.tasks.image:Image",
    "pathfinder": "golden.tasks.pathfinder:Pathfinder",
    "pathx": "golden.tasks.pathfinder:PathX",
    "sc10": "golden.tasks.speech:SC10",
    "sc35": "golden.tasks.speech:SC35",
    "sc4": "golden.tasks.speech:SC4",
    "sc10small": "golden.tasks.speech:SC10Small",
    "fsdd": "golden.tasks.fsdd:FSDD",
}
MEMBERS = ("name", "n_classes", "length", "vocab", "sample_format", "load")


def make_task(name: str) -> Task:
    """Task by name: ``psmnist``, a variant ``psmnist:seed1``, or a class ``package.module:Class``.

    Raises :class:`TaskError` for a name that is none of these, or a class that is no task.
    """
    head, colon, rest = name.partition(":")
    if head in TASKS:
        module, _, cls = TASKS[head].partition(":")
        cls = getattr(importlib.import_module(module), cls)
        if not colon:
            return cls()
        if not inspect.signature(cls).parameters:
            raise TaskError(f"task {name!r} is unknown: {head} has no variants")
        return cls(rest)
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
    if inputs_of(task) not in (1, 2):
        raise TaskError(f"task {name!r}: inputs must be 1 or 2, not {task.inputs!r}")
    if not isinstance(task.name, str) or not task.name:
        raise TaskError(f"task {name!r}: name must be a text that is not empty")
    if not callable(task.load):
        raise TaskError(f"task {name!r}: load must be a method load(split, data_dir)")
    sampled = isinstance(task.sample_format, QFormat)
    if sampled == (task.vocab > 0) or not (sampled or task.sample_format is None):
        raise TaskError(f"task {name!r}: either vocab is positive and sample_format None (tokens), "
                        f"or vocab is 0 and sample_format a quant.formats.UQ or SQ (samples)")
    if sampled and task.sample_format.signed and task.sample_format.i_bits != 1:
        raise TaskError(f"task {name!r}: signed samples have one integer bit, the sign, so that "
                        f"the network sees -1 to 1: SQ(1, f), not {task.sample_format}")


def spec(task: Task) -> str:
    """The name that makes this task again with :func:`make_task`."""
    own = f"{type(task).__module__}:{type(task).__qualname__}"
    return task.name if own in TASKS.values() else own
