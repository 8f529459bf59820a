"""Results of a long measurement, kept in a JSON file so that a run that was stopped goes on."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from golden.base import cli
from golden.base.files import write_json


def opened(path: Path, settings: dict, part: str, show: bool) -> dict:
    """What ``path`` holds, or ``settings`` with nothing in ``part`` yet.

    Raises ``UserError`` if it was measured under other settings, or with ``show``, which measures
    nothing and takes any settings, if there is no such file.
    """
    if not path.exists():
        if show:
            raise cli.UserError(f"{path} does not exist; run without --show first")
        return settings | {part: {}}
    result = json.loads(path.read_text())
    for name, value in settings.items():
        if result[name] != value and not show:
            raise cli.UserError(f"{path} was made with {result[name]} {name}, not {value}; "
                                f"give another --json")
    return result


def fill(path: Path, result: dict, rows: dict, names: Iterable[str],
         measure: Callable[[str], object]) -> None:
    """Measure what ``rows``, a part of ``result``, lacks; the file is written after each."""
    for name in names:
        if name not in rows:
            rows[name] = measure(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, result)
