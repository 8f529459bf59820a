"""Folders and archives of many small files, packed arrays, and decoded clips kept in the cache."""

import math
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from golden.base.arrays import DAMAGE, read_npz
from golden.tasks import data
from golden.tasks.sources import (PIECE, UNPACKED, Unpacked, content, reading, too_large,
                                  unpacked)

FILE = 1 << 26      # bytes of a file in a folder or an archive, at most
VERSION = 1         # of what is decoded: part of the cache's file names


def files(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(name, how to read it) of each file in a folder, in order, or in a packed archive.

    A file of an archive must be read before the next one is asked for.
    """
    if path.is_dir():
        for found in sorted(path.rglob("*")):
            if found.is_file():
                yield found.relative_to(path).as_posix(), lambda found=found: content(found, FILE)
        return
    with Unpacked(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if member.isfile():
                yield (member.name.removeprefix("./"),
                       lambda member=member: _member(archive, member, path))
        while stream.read(PIECE):           # its checksum stands at its very end
            pass


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    if member.size > FILE:
        raise too_large(path)
    return archive.extractfile(member).read()


def arrays(path: Path, *names: str) -> list[np.ndarray]:
    """Arrays of an npz packed by xz. Raises ``DataError`` for a file that is none or lacks one."""
    with reading(path, KeyError):
        stored = read_npz(unpacked(path), UNPACKED, "the npz in it")
        return [stored[name] for name in names]


def state(path: Path) -> str:
    """A short text that changes when the file or the folder ``path`` does."""
    with reading(path):
        if path.is_dir():
            sizes = "\n".join(f"{found.relative_to(path)} {found.stat().st_size}"
                              for found in sorted(path.rglob("*")))
            return f"{path.name}-{zlib.crc32(sizes.encode()):08x}"
        known = path.stat()
        return f"{path.name}-{known.st_size}-{known.st_mtime_ns}"


def shuffled(n: int) -> np.ndarray:
    """The order of a split's n clips, always the same: files have class behind class."""
    return np.random.default_rng(42).permutation(n)


def kept(name: str, make: Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]],
         classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What ``make()`` gives: sound (n, L), lengths (n,), labels (n,); decoded once.

    Kept as the file ``name`` of the cache, not packed, so that any number of processes share one
    copy of the sound in memory. A file that is missing is made, and one that is damaged is made
    again, which is said.
    """
    path = data.cache_folder() / name
    try:
        return mapped(path, classes)
    except FileNotFoundError:
        pass
    except DAMAGE as error:
        data.anew(path, error)
    sound, lengths, labels = make()

    def write(file):
        for array in (lengths, labels, sound):
            np.save(file, array)
    data.write_atomically(path, write)
    return mapped(path, classes)


def mapped(path: Path, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of a file that :func:`kept` wrote; the sound is read where it is looked at.

    Raises one of ``golden.base.arrays.DAMAGE`` if the file is not whole or not such a file.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        counts = []
        for _ in range(2):
            shape, dtype = _header(file)
            if dtype != np.int64 or len(shape) != 1 or 8 * shape[0] > size:
                raise ValueError(f"an array {dtype} {shape}")
            counts.append(np.frombuffer(file.read(8 * shape[0]), np.int64).copy())
        shape, dtype = _header(file)
        if (dtype.kind, len(shape)) != ("i", 2) or math.prod(shape) * dtype.itemsize != (
                size - file.tell()):
            raise ValueError(f"sound {dtype} {shape}")
        sound = np.memmap(path, dtype, "c", file.tell(), shape)     # changes stay in memory
    lengths, labels = counts
    if not len(lengths) == len(labels) == len(sound):
        raise ValueError("arrays of different lengths")
    if lengths.min() < 1 or lengths.max() > shape[1] or labels.min() < 0 or labels.max() >= classes:
        raise ValueError("lengths or labels that cannot be")
    return np.asarray(sound), lengths, labels


def _header(file) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the array that begins here, as ``numpy.save`` writes it."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("another version of numpy's format")
    shape, in_columns, dtype = np.lib.format.read_array_header_1_0(file)
    if in_columns or min(shape, default=0) < 0:
        raise ValueError(f"an array {shape}")
    return shape, dtype
