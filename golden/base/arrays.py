"""Files of arrays from anywhere: read without running code, in bounded memory, or refused."""

import io
import math
import os
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from golden.base.cli import UserError

KINDS = "biufSU"                # bool, integers, reals, texts: nothing that runs code
MEMBERS, HEADER = 1 << 16, 128  # arrays of a file, at most; bytes of an array's header
DIRECTORY = 1 << 23             # bytes of a zip's directory, at most
CHUNK = 1 << 20
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)     # as numpy packs
# What reading of damaged bytes may raise; zipfile a kind of RuntimeError for what it cannot unpack.
DAMAGE = (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, RuntimeError,
          OverflowError, SyntaxError, MemoryError, struct.error, tokenize.TokenError,
          zipfile.BadZipFile, zlib.error)


class ArraysError(UserError):
    """A file of arrays that cannot be used; one line that says which file and what is wrong."""


def read_npz(source: Path | bytes, limit: int, what: str = "",
             kinds: str = KINDS) -> dict[str, np.ndarray]:
    """Arrays of an ``.npz`` by name, each new and writable.

    source : a file or its content; limit : bytes of all arrays together, unpacked, checked against
    the headers before memory is taken; what : how messages name the file, by default its path;
    kinds : of dtypes that may be in it (``numpy.dtype.kind``). Raises :class:`ArraysError`, also
    for a file that is missing or unreadable.
    """
    what = what or str(source)
    try:
        with (io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")) as file:
            return _arrays(file, limit, what, kinds)
    except FileNotFoundError:
        raise ArraysError(f"{what} does not exist") from None
    except DAMAGE as error:
        reason = " ".join((getattr(error, "strerror", None) or str(error)).split())[:100]
        raise ArraysError(f"{what} is no npz file, or is truncated or edited "
                          f"({reason or type(error).__name__})") from None


def read_npy(content: bytes, what: str, kinds: str = KINDS) -> np.ndarray:
    """The array of an ``.npy``; ``what`` and errors as of :func:`read_npz`."""
    try:
        return _array(io.BytesIO(content), len(content), what, kinds)
    except DAMAGE as error:
        raise ArraysError(f"{what} is no npy file, or is truncated or edited "
                          f"({' '.join(str(error).split())[:100] or type(error).__name__})"
                          ) from None


def _arrays(file: IO[bytes], limit: int, what: str, kinds: str) -> dict[str, np.ndarray]:
    if _directory(file) > DIRECTORY:
        raise ArraysError(f"{what} has a directory that is too long")
    found = {}
    with zipfile.ZipFile(file) as packed:
        members = packed.infolist()
        total = sum(member.file_size for member in members)
        if len(members) > MEMBERS or total > limit + HEADER * len(members):
            raise ArraysError(f"{what} has {len(members):,} arrays of {total:,} bytes, at most "
                              f"{MEMBERS:,} of {limit:,} are allowed")
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in found:
                raise ArraysError(f"{what} has two arrays {name[:80]!r}")
            if member.compress_type not in PACKED:
                raise ArraysError(f"{what}: {name[:80]!r} is compressed in a way that is not known")
            with packed.open(member) as stream:
                found[name] = _array(stream, member.file_size, f"{what}: {name[:80]!r}", kinds)
    return found


def _directory(file: IO[bytes]) -> int:
    """Bytes of a zip's directory, as its end says; 0: there is no end, as zipfile will say."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - (1 << 16) - 98))
    tail = file.read()
    file.seek(0)
    at = tail.rfind(b"PK\x05\x06", 0, max(0, len(tail) - 18))     # of 22 bytes, 4 are its name
    if at < 0:
        return 0
    if tail[max(0, at - 20):at].startswith(b"PK\x06\x07") and at >= 76:     # of over 2 GB
        return struct.unpack_from("<Q", tail, at - 36)[0]
    return struct.unpack_from("<L", tail, at + 12)[0]


def _array(stream: IO[bytes], size: int, what: str, kinds: str) -> np.ndarray:
    """The array of an ``.npy`` of ``size`` bytes: its header must say just as many."""
    version = np.lib.format.read_magic(stream)
    header = {(1, 0): np.lib.format.read_array_header_1_0,
              (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if header is None:
        raise ArraysError(f"{what} has version {version} of numpy's format, not 1.0 or 2.0")
    shape, in_columns, dtype = header(stream)
    if dtype.kind not in kinds or dtype.hasobject or not dtype.itemsize:
        raise ArraysError(f"{what} has elements of type {str(dtype)[:80]}, which are not allowed")
    length = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or length != size - stream.tell():
        raise ArraysError(f"{what} has another size than its shape {str(shape)[:80]} says")
    flat = np.empty(math.prod(shape), dtype)
    view, at = flat.view(np.uint8).data if length else memoryview(b""), 0
    while at < length:
        part = stream.read(min(CHUNK, length - at))
        if not part:
            raise EOFError("it ends too early")
        view[at:at + len(part)] = part
        at += len(part)
    stream.read(1)      # at the end, where the checksum is compared
    return flat.reshape(shape, order="F" if in_columns else "C")
