"""What is attacked: files, how they are harmed, how they are read, and what was read as facts."""

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import numpy as np

from bench.attack.edits import Rng

KINDS = {       # of files, and the module that has their targets
    "artifact": "bench.attack.artifact", "checkpoint": "bench.attack.checkpoint",
    "released": "bench.attack.released", "data": "bench.attack.data",
    "kept": "bench.attack.kept"}


@dataclass(frozen=True)
class Harm:
    """What was done to the files, in words.

    free : the changed file may mean what it says: another answer is right then. Without it an
    answer must be the old one.
    """

    words: str
    free: bool = False


@dataclass(frozen=True)
class Target:
    """Some files of one reader.

    name : of the reader, for people; make(folder) writes the files into an empty folder;
    harm(rng, folder) changes them; read(folder) reads them as the commands do and returns
    everything that decides an answer, as nested dicts, lists, arrays and dataclasses.
    """

    name: str
    make: Callable[[Path], object]
    harm: Callable[[Rng, Path], Harm]
    read: Callable[[Path], object]


def targets(kind: str) -> list[Target]:
    """All targets of a kind, always in the same order."""
    return importlib.import_module(KINDS[kind]).targets()


def facts(value, at: str = "") -> dict[str, str]:
    """Everything in a nested value, by its place: text that differs if the value does."""
    kind = type(value).__name__
    if is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    elif isinstance(value, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]
        return {at: f"{value.dtype.str} {value.shape} {digest}"}
    else:
        text = repr(value)
        return {at: text if len(text) < 200 else
                f"{text[:100]} ... {hashlib.sha256(text.encode()).hexdigest()[:16]}"}
    found = {f"{at}.": kind}
    for key, item in inner:
        found |= facts(item, f"{at}.{key}" if at else str(key))
    return found


def difference(old: dict[str, str], new: dict[str, str]) -> str:
    """The first places in which facts differ, and how many do; "": none."""
    places = [at for at in (old | new) if old.get(at) != new.get(at)]
    if not places:
        return ""
    first = places[0]
    return (f"{first} was {old.get(first, 'not there')}, is {new.get(first, 'not there')}"
            + f"; {len(places)} differ" * (len(places) > 1))
