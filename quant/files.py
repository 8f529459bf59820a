"""Files that are either complete or not there."""

import os
from pathlib import Path


def write_atomic(path: Path, content: bytes) -> Path:
    """Write under a temporary name in the same folder, then rename; makes the folder.

    A full disk raises ``OSError`` and leaves what was there before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path
