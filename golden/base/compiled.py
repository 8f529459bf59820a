"""Where numba keeps the functions that it compiled, for code that belongs to somebody else."""

import os
from pathlib import Path

from golden.base.options import ROOT, build


def keep() -> None:
    """Give numba the folder ``build/numba`` where it would find none and end with an error.

    It takes the one beside the code, else the user's cache. To be called before it is imported.
    """
    own = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if not any(map(_writable, (ROOT / "golden", own))):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(build("numba").absolute()))


def _writable(folder: Path) -> bool:
    """Whether this process can make files in a folder, which it may have to make first."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
