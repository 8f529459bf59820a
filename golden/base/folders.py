"""Folders: one process's alone, replaced as a whole, and nothing left behind by a kill.

What is being made has a hidden name, ``.<name>.<random>.new``, and its maker holds a lock on it as
long as it lives. Who makes something in the same folder next removes those that nobody holds.
"""

import contextlib
import ctypes
import fcntl
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from golden.base.cli import UserError

LEFT = ".*." + 8 * "[0-9a-f]" + ".new"
HIDDEN = re.compile(r"\..+\.[0-9a-f]{8}\.new")
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
    """One process at a time: making and sweeping of hidden names in ``folder``.

    What is being made is its maker's alone, who holds the lock on it already.
    """
    if HIDDEN.fullmatch(folder.name):
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        _held(handle, wait=True)
        yield
    finally:
        os.close(handle)


def _held(handle: int, wait: bool = False) -> bool:
    """Whether this process has the lock of an open file now; False where there are no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def sweep(folder: Path) -> None:
    """Remove hidden files and folders in ``folder`` that a killed maker left; held ones stay."""
    for path in folder.glob(LEFT):
        with contextlib.suppress(OSError):      # another process's business
            handle = os.open(path, os.O_RDONLY)
            try:
                if not _held(handle):
                    continue
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(handle)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of writing that name no file, as of a full disk, or a hidden one name this one."""
    try:
        yield
    except OSError as error:
        parts = Path(os.fsdecode(error.filename or "")).parts
        if error.errno is not None and (not parts or any(map(HIDDEN.fullmatch, parts))):
            error.filename = str(path)
        raise


@contextlib.contextmanager
def fresh(folder: Path, name: str) -> Iterator[Path]:
    """A new hidden folder in ``folder`` for making ``name``; it is gone at the end.

    ``folder`` is made. What earlier makers left in it when they were killed is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _turn(folder):
        sweep(folder)
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
    with _named(path), _turn(path.parent):
        sweep(path.parent)
        file = open(path.with_name(_hidden(path.name)), "xb")
        _held(file.fileno())
    try:
        with _named(path), file:
            yield file
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file.name)


def replace(folder: Path, fill: Callable[[Path], object], own: Collection[str]) -> Path:
    """Put what ``fill(new folder)`` writes in the place of ``folder``, at once; returns it.

    Whoever looks, also after a kill, finds the old files or the new ones, never some of each. Names
    in ``own`` belong to the old result and go with it; every other file in the folder stays. Raises
    :class:`UserError` where the current folder is in it, which would then be a removed one.
    """
    folder = Path(os.path.realpath(folder))
    if Path.cwd().is_relative_to(folder):
        raise UserError(f"{folder} has the current folder in it and so cannot change as a whole; "
                        f"choose another one, or call this from elsewhere")
    with _named(folder), fresh(folder.parent, folder.name) as new:
        fill(new)
        with _turn(folder.parent):      # no two at once, so that each finds the other's result
            if not folder.exists():
                os.rename(new, folder)
                return folder
            for path in folder.iterdir():
                if path.name not in own and not (new / path.name).exists():
                    _linked(path, new / path.name)
            _exchange(new, folder)
    return folder


def contents(folder: Path, limits: dict[str, int]) -> dict[str, bytes]:
    """Files of a folder, all of one moment, also where :func:`replace` changes it meanwhile.

    ``limits``: the most bytes of each file, by name. Raises ``OSError`` as ``open`` does, its
    ``filename`` the whole path, and :class:`UserError` for a file that is longer or no file.
    """
    while True:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return {name: _content(handle, folder / name, limit) for name, limit in limits.items()}
        except FileNotFoundError:
            if os.path.samestat(os.fstat(handle), os.stat(folder)):
                raise
        finally:
            os.close(handle)


def _content(folder: int, path: Path, limit: int) -> bytes:
    """One file of an open folder."""
    try:
        handle = os.open(path.name, os.O_RDONLY | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        error.filename = str(path)
        raise
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise UserError(f"{path} is not a file")
        if found.st_size > limit:
            raise UserError(f"{path} has {found.st_size:,} bytes, at most {limit:,} are allowed")
        with open(handle, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(handle)


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
