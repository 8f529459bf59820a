"""Where data lies: a local folder when told, and a cache for what is downloaded or generated."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from golden.base.arrays import ArraysError, read_npz
from golden.base.cli import UserError
from golden.base.files import write_atomic

ENV = "SPIKESSM_DATA"           # folder with data files, as --data-dir
CACHE_ENV = "SPIKESSM_CACHE"    # where downloaded and generated files are kept


class DataError(UserError):
    """A data file is missing or not what it should be; the message says what to do."""


def folder(data_dir: str | os.PathLike | None) -> Path | None:
    """The local data folder: the option, else $SPIKESSM_DATA, else None."""
    chosen = data_dir or os.environ.get(ENV)
    if chosen and not Path(chosen).is_dir():
        source = "--data-dir" if data_dir else f"${ENV}"
        raise DataError(f"the data folder {chosen} (from {source}) does not exist; make it, or "
                        f"name another")
    return Path(chosen) if chosen else None


def cache_folder() -> Path:
    """Where downloaded and generated data is kept: $SPIKESSM_CACHE, else the user's cache."""
    import pooch
    return Path(os.environ.get(CACHE_ENV) or pooch.os_cache("spikessm"))


ANOTHER_CACHE = f"make room, or set ${CACHE_ENV} to another folder"


def cannot_write(path: Path, error: OSError, advice: str = ANOTHER_CACHE) -> DataError:
    """The error to raise where a file, by default of the cache, cannot be written."""
    return DataError(f"cannot write {path} ({error.strerror or error}); {advice}")


def write_atomically(path: Path, write: Callable, advice: str = ANOTHER_CACHE) -> None:
    """Call ``write`` with an open binary file that becomes ``path`` once it is complete.

    Raises :class:`DataError` if the folder cannot be written; leaves nothing behind then.
    """
    try:
        write_atomic(path, write)
    except OSError as error:
        raise cannot_write(path, error, advice) from None


def anew(path: Path, reason: object) -> None:
    """Say that a file of the cache is made again."""
    said = " ".join(str(reason).removeprefix(str(path)).split())
    print(f"{path} is damaged or of something else ({said[:100]}): it is made again",
          file=sys.stderr)


def cached(name: str, make: Callable[[], dict[str, np.ndarray]],
           fits: Callable[[dict[str, np.ndarray]], bool] = lambda arrays: True,
           limit: int = 1 << 28) -> dict[str, np.ndarray]:
    """The arrays of a file ``name`` (.npz) in the cache folder, ``limit`` bytes at most.

    If the file is not there, ``make()`` makes the arrays and they are written; so too, after a line
    that says so, if it is damaged or holds what ``fits`` refuses. Processes that do so at the same
    time each write a whole file.
    """
    path = cache_folder() / name
    if path.exists():
        try:
            arrays = read_npz(path, limit)
            if fits(arrays):
                return arrays
            anew(path, "it holds something else")
        except (ArraysError, KeyError, TypeError, ValueError) as error:
            anew(path, error)
    arrays = make()
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))
    return arrays
