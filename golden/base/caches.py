"""Where libraries keep what they compiled, for users who have no folder for it."""

import os
from pathlib import Path

from golden.base.options import build


def keep() -> None:
    """Make ``build/cache`` the user's cache where the usual one cannot be written.

    numba, wasmtime and YoWASP would end with an error there. To be called before they are imported.
    """
    usual = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if not writable(usual):
        os.environ["XDG_CACHE_HOME"] = str(build("cache").absolute())


def writable(folder: Path) -> bool:
    """Whether this process can make files in a folder, which it may have to make first."""
    there = next((path for path in (folder, *folder.parents) if os.path.exists(path)), Path("/"))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
