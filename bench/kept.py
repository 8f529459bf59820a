"""Results of a long measurement, kept in a JSON file so that a run that was stopped goes on.

All rows of a file were made by the same sources, libraries, networks and data: after a change of
any the file is put aside, and everything is measured again. Each row has its commit.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from golden.base import cli, forms, made
from golden.base.files import write_json

MADE = {"by": str, "commits": dict, "sum": str}


def of_files(paths: Iterable[Path]) -> str:
    """Short hash of the content of some files, for a key."""
    h = hashlib.sha256()
    for path in sorted(paths):
        h.update(hashlib.sha256(path.read_bytes()).digest())
    return h.hexdigest()[:16]


def of_data(task, data_dir, *splits: str) -> str:
    """Short hash of whole splits of a task's data, for a key."""
    h = hashlib.sha256()
    for name in splits:
        split = task.load(name, data_dir)
        for array in (split.values, split.lengths, split.labels):
            h.update(repr((array.shape, array.dtype.str)).encode())
            h.update(np.ascontiguousarray(array))
    return h.hexdigest()[:16]


def by(*key: str) -> str:
    """16 hex digits of all that makes a measurement here: ``made``, and more of its own."""
    return hashlib.sha256(json.dumps([made.by("experiment"), *key]).encode()).hexdigest()[:16]


def place(path: Path, name: str) -> Path:
    """Beside ``path``: what is trained for a measurement, by the present sources."""
    return path.with_name(f"{made.sources('experiment')[:8]}.{name}")


def opened(path: Path, settings: dict, part: str, show: bool, *key: str) -> dict:
    """What ``path`` holds, or ``settings`` with nothing in ``part`` yet; ``key`` as for :func:`by`.

    A file of another key, or one that is damaged or was edited, is put aside. Raises ``UserError``
    if it was measured under other settings; with ``show``, which measures nothing and takes any
    settings and key, if there is no such file or it was edited.
    """
    if not path.exists() and show:
        raise cli.UserError(f"{path} does not exist; run without --show first")
    found = forms.kept(path, lambda value: isinstance(value, dict) and type(value.get(part)) is dict
                       and set(settings) < set(value))
    stamp = found and found.get("made")
    whole = forms.has(stamp, MADE) and stamp["sum"] == _sum(found)
    if show:
        if not found or stamp is not None and not whole:
            raise cli.UserError(f"{path} is damaged or was edited; measure again without --show")
        return found
    for name, value in settings.items() if found else ():
        if found[name] != value:
            raise cli.UserError(f"{path} was made with {found[name]} {name}, not {value}; "
                                f"give another --json")
    now = by(*key)
    if whole and stamp["by"] == now:
        return found
    if path.exists():
        aside = path.with_name(f"{path.stem}.before-{of_files([path])[:8]}.json")
        path.rename(aside)
        why = "is damaged or was edited" if stamp and not whole or not found else (
            "was made by other sources, libraries, networks, data or options")
        print(f"{path} {why}: it is now {aside.name}, and everything is measured again",
              file=sys.stderr)
    return settings | {part: {}, "made": {"by": now, "commits": {}, "sum": ""}}


def fill(path: Path, result: dict, rows: dict, names: Iterable[str],
         measure: Callable[[str], object], of: str = "") -> None:
    """Measure what ``rows``, a part of ``result``, lacks; the file is written after each.

    ``of`` says whose rows they are where ``result`` has several parts.
    """
    commit = made.commit()
    for name in names:
        if name not in rows:
            rows[name] = measure(name)
            result["made"]["commits"][f"{of} {name}".strip()] = commit
            result["made"]["sum"] = _sum(result)
            write_json(path, result)


def _sum(result: dict) -> str:
    """Over everything but itself."""
    result = result | {"made": result["made"] | {"sum": ""}}
    return hashlib.sha256(json.dumps(result, sort_keys=True).encode()).hexdigest()[:16]
