"""Files that are either complete or not there."""

import os
from pathlib import Path


def write_all_atomic(folder: Path, contents: dict[str, bytes]) -> Path:
    """Write files of one folder under temporary names, then rename them in order; makes the folder.

    A full disk raises ``OSError`` before the first renaming and leaves what was there before.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    partial = {name: folder / f"{name}.partial" for name in contents}
    try:
        for name, content in contents.items():
            partial[name].write_bytes(content)
        for name in contents:
            os.replace(partial[name], folder / name)
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)
    return folder


def write_atomic(path: Path, content: bytes) -> Path:
    """:func:`write_all_atomic` for one file; returns its path."""
    path = Path(path)
    write_all_atomic(path.parent, {path.name: content})
    return path
