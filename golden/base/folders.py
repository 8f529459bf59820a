"""Folders: one process's alone, replaced as a whole, and nothing left behind by a kill.

What is being made has a hidden name, ``.<name>.<random>.new``, and its maker holds a lock on it as
long as it lives. Who makes the same thing next removes those that nobody holds.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from golden.base.cli import UserError

_AT_FDCWD, _EXCHANGE = -100, 2      # of renameat2(2)


class Busy(UserError):
    """Another process has what this one wants to write."""


@contextlib.contextmanager
def lock(path: Path, wait: bool = False) -> Iterator[None]:
    """Make ``path`` this process's own; the folder it lies in is made.

    The lock is on a file beside it, ``<path>.lock``, and ends with the process at the latest.
    Raises :class:`Busy` at once if another one has it, unless it shall ``wait``.
    """
    path = Path(os.path.abspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.parent / f"{path.name}.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise Busy(f"{path} belongs to another run that has not ended: wait for it, or end "
                       f"it") from None
        yield


def _hidden(name: str) -> str:
    return f".{name}.{uuid.uuid4().hex[:8]}.new"


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """One process at a time: making and sweeping of hidden names in ``folder``."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        _held(handle, wait=True)
        yield
    finally:
        os.close(handle)


def _held(handle: int, wait: bool = False) -> bool:
    """Whether this process has the lock of an open file now; True where there are no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def sweep(folder: Path, pattern: str) -> None:
    """Remove files and folders below ``folder`` that a killed process left; held ones stay."""
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):      # another process's business
            handle = os.open(path, os.O_RDONLY)
            try:
                if not _held(handle):
                    continue
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(handle)


@contextlib.contextmanager
def fresh(folder: Path, name: str) -> Iterator[Path]:
    """A new hidden folder in ``folder`` for making ``name``; it is gone at the end.

    ``folder`` is made. What an earlier maker of the same name left when it was killed is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _turn(folder):
        sweep(folder, f".{name}.*.new")
        path = folder / _hidden(name)
        path.mkdir()
        handle = os.open(path, os.O_RDONLY)
        _held(handle)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


@contextlib.contextmanager
def fresh_file(path: Path) -> Iterator[BinaryIO]:
    """A new hidden file, open for bytes, for making ``path``; as :func:`fresh`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _turn(path.parent):
        sweep(path.parent, f".{path.name}.*.new")
        file = open(path.with_name(_hidden(path.name)), "xb")
        _held(file.fileno())
    try:
        with file:
            yield file
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file.name)


def replace(folder: Path, fill: Callable[[Path], object], own: Collection[str]) -> Path:
    """Put what ``fill(new folder)`` writes in the place of ``folder``, at once; returns it.

    Whoever looks, also after a kill, finds the old files or the new ones, never some of each. Names
    in ``own`` belong to the old result and go with it; every other file in the folder stays.
    """
    folder = Path(os.path.abspath(folder))
    with fresh(folder.parent, folder.name) as new:
        fill(new)
        if not folder.exists():
            os.rename(new, folder)
            return folder
        for path in folder.iterdir():
            if path.name not in own and not (new / path.name).exists():
                _linked(path, new / path.name)
        _exchange(new, folder)
    return folder


def _linked(source: Path, target: Path) -> None:
    """The same file under a second name, or a copy where there is no such thing."""
    def link(one, other):
        try:
            os.link(one, other, follow_symlinks=False)
        except OSError:
            shutil.copy2(one, other, follow_symlinks=False)
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True, copy_function=link)
    else:
        link(source, target)


def _exchange(one: Path, other: Path) -> None:
    """Swap the names of two folders: in one step where the system can, else in three."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call and not call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE):
        return
    away = one.with_name(f"{one.name}.away")
    os.rename(other, away)
    os.rename(one, other)
    os.rename(away, one)
