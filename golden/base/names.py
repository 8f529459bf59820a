"""Names that come from data: which may name a task, and what becomes of any in a file's name."""

import re

LONGEST = 200           # characters of a task's name
# Such as digits, digits:seed3, package.module:Class
TASK = re.compile(r"\w+([.-]\w+)*(:[\w<>]+([.-][\w<>]+)*)?")


def is_task(name: object) -> bool:
    """Whether a value out of a file may name a task: no separator, no dots in a row, one line."""
    return isinstance(name, str) and len(name) <= LONGEST and bool(TASK.fullmatch(name))


def slug(name: str, net: str = "") -> str:
    """A task's name as a file name; with the name of one of its networks, where it has several.

    Whatever the names are, it is one visible file in the folder it is put into: never hidden, never
    ``..``, without a separator.
    """
    plain = ".".join("".join(c if c.isalnum() or c in "._-" else "-" for c in part)
                     for part in (name, net) if part)[:LONGEST]
    shown = plain.lstrip(".")
    return "-" * (len(plain) - len(shown)) + shown or "-"
