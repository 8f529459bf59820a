"""Folders and archives of many small files, packed arrays, and decoded clips kept in the cache."""

import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from golden.tasks import data
from golden.tasks.sources import PIECE, reading

VERSION = 1         # of what is decoded: part of the cache's file names


def files(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(name, how to read it) of each file in a folder, in order, or in a packed archive.

    A file of an archive must be read before the next one is asked for.
    """
    if path.is_dir():
        for found in sorted(path.rglob("*")):
            if found.is_file():
                yield found.relative_to(path).as_posix(), found.read_bytes
        return
    with gzip.open(path) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as archive:
        for member in archive:
            if member.isfile():
                yield (member.name.removeprefix("./"),
                       lambda member=member: archive.extractfile(member).read())
        while unpacked.read(PIECE):         # its checksum stands at its very end
            pass


def arrays(path: Path, *names: str) -> list[np.ndarray]:
    """Arrays of an npz packed by xz. Raises ``DataError`` for a file that is none or lacks one."""
    with (reading(path, KeyError, ValueError, TypeError, AttributeError),
          np.load(io.BytesIO(lzma.decompress(path.read_bytes()))) as stored):
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


def kept(name: str, make: Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]]
         ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What ``make()`` gives: sound (n, L), lengths (n,), labels (n,); decoded once.

    Kept as the file ``name`` of the cache, not packed, so that any number of processes share one
    copy of the sound in memory. A file that is missing or damaged is made anew.
    """
    path = data.cache_folder() / name
    try:
        return mapped(path)
    except (OSError, ValueError, EOFError):
        pass
    sound, lengths, labels = make()

    def write(file):
        for array in (lengths, labels, sound):
            np.save(file, array)
    data.write_atomically(path, write)
    return mapped(path)


def mapped(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of a file that :func:`kept` wrote; the sound is read where it is looked at.

    Raises ``OSError``, ``ValueError`` or ``EOFError`` if the file is not whole.
    """
    with open(path, "rb") as file:
        lengths, labels = np.load(file), np.load(file)
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        sound = np.memmap(path, dtype, "c", file.tell(), shape)     # changes stay in memory
    if not len(lengths) == len(labels) == len(sound):
        raise ValueError("arrays of different lengths")
    return np.asarray(sound), lengths, labels
