"""Tasks behind one interface, by name, or a user's own by its class (docs/own-task.md)."""

import importlib
import inspect

from golden.tasks import own
from golden.tasks.base import (SPLITS, Split, Task, TaskError, checked, inputs_of,
                               subset_accuracies, subsets_of, whole)
from golden.base.names import slug

__all__ = ["SPLITS", "Split", "TASKS", "Task", "TaskError", "checked", "inputs_of", "make_task",
           "slug", "spec", "subset_accuracies", "subsets_of", "whole"]
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
    return own.make(name, head, rest)


def spec(task: Task) -> str:
    """The name that makes this task again with :func:`make_task`."""
    found = getattr(task, "spec", f"{type(task).__module__}:{type(task).__qualname__}")
    return task.name if found in TASKS.values() else found
