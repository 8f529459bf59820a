"""Files that are either complete or not there: everything this project writes for later."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from golden.base import folders

SOURCES = (".py", ".cpp", ".h", ".toml")            # what decides a result
Content = bytes | str | Callable[[BinaryIO], Any]   # a function writes to the open file


def write_all_atomic(folder: Path, contents: dict[str, Content]) -> Path:
    """Write files of one folder under hidden names, then rename them in order; makes folders.

    A full disk raises ``OSError`` before the first renaming and leaves what was there before. Two
    processes that write the same file each write a whole one. For files that must never be seen
    without each other there is ``folders.replace``. Returns the folder.
    """
    folder = Path(folder)
    with contextlib.ExitStack() as stack:
        hidden = {}
        for name, content in contents.items():
            file = hidden[name] = stack.enter_context(folders.fresh_file(folder / name))
            _put(file, content)
            file.flush()
            os.fsync(file.fileno())     # a new name must not point to what is not there yet
        for name, file in hidden.items():
            os.replace(file.name, folder / name)
    return folder


def _put(file: BinaryIO, content: Content) -> None:
    if callable(content):
        content(file)
    else:
        file.write(content.encode() if isinstance(content, str) else content)


def write_atomic(path: Path, content: Content) -> Path:
    """:func:`write_all_atomic` for one file; returns its path.

    Where a link lies there, the file that it points to is written. What is no file, such as a pipe
    or /dev/null, is written to and never replaced.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        with open(path, "wb") as file:
            _put(file, content)
        return path
    real = Path(os.path.realpath(path)) if path.is_symlink() else path
    write_all_atomic(real.parent, {real.name: content})
    return path


def source_digest(*places: Path) -> str:
    """sha256 of the names and texts of some source files, and of all below some folders."""
    h = hashlib.sha256()
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.suffix in SOURCES:
                name = path.relative_to(place.parent).as_posix().encode()
                text = path.read_bytes()
                h.update(b"%d %d " % (len(name), len(text)) + name + text)
    return h.hexdigest()


def write_json(path: Path, value) -> Path:
    """:func:`write_atomic` of a value as JSON."""
    return write_atomic(path, json.dumps(value, indent=1) + "\n")
