"""Changes of numpy arrays, of the zip files in which they lie, and files that unpack to gigabytes.
"""

import functools
import gzip
import io
import lzma
import zipfile
import zlib

import numpy as np

from bench.attack.edits import Rng, pick

HUGE = 3 << 30          # bytes that a small file claims to hold, or holds
PIECE = 1 << 26
TYPES = ("int8", "int16", "int32", "int64", "uint8", "uint64", ">i8", "float16", "float32",
         "float64", "complex128", "bool", "str", "object", "datetime64[s]")


def of_array(rng: Rng, old: np.ndarray) -> tuple[np.ndarray, str]:
    """One array changed: a number, its type or its shape."""
    kind = pick(rng, ("number", "number", "type", "flat", "axis", "turned", "row gone",
                      "rows", "empty", "scalar", "filled"))
    new = old.copy()
    if kind == "number" and old.size:
        at = int(rng.integers(old.size))
        new.reshape(-1)[at:at + 1].view(np.uint8)[...] ^= np.uint8(1 << rng.integers(8))
        return new, f"number {at} changed"
    if kind == "filled" and old.dtype.kind in "iufb":
        value = pick(rng, (0, 1, 255, -1) if old.dtype.kind != "f" else (0, -1, 1e30, np.nan))
        return np.full(old.shape, value).astype(old.dtype), f"all {value}"
    if kind == "type":
        name = pick(rng, TYPES)
        with np.errstate(all="ignore"):
            try:
                return old.astype(name), f"as {name}"
            except (ValueError, TypeError):
                return np.zeros(old.shape, np.int32), "zeros of int32"
    made = {"flat": old.reshape(-1), "turned": old.T, "empty": old.reshape(-1)[:0],
            "scalar": np.zeros((), old.dtype)}
    if old.ndim:
        made |= {"row gone": old[:-1], "rows": np.concatenate([old, old])}
    return made.get(kind, old[None]), kind if kind in made else "an axis more"


def of_arrays(rng: Rng, arrays: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of a file, one of them changed, missing, renamed or too many."""
    found, name = dict(arrays), pick(rng, list(arrays))
    kind = pick(rng, ("array", "array", "array", "array", "gone", "renamed", "swapped", "more"))
    if kind == "array":
        found[name], words = of_array(rng, found[name])
        return found, f"{name}: {words}"
    if kind == "gone":
        del found[name]
        return found, f"{name} removed"
    if kind == "renamed":
        new = pick(rng, (f"{name}2", name.upper() + "_", "../x", "x" * 200))
        found[new] = found.pop(name)
        return found, f"{name} renamed {new[:20]}"
    if kind == "swapped":
        other = pick(rng, list(arrays))
        found[name], found[other] = found[other], found[name]
        return found, f"{name} and {other} swapped"
    found["more"] = np.arange(3)
    return found, "an array more"


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    """An npz file of arrays."""
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def unpacked(raw: bytes) -> dict[str, np.ndarray]:
    """The arrays of an npz file."""
    with np.load(io.BytesIO(raw), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def of_npz(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    """An npz file with other arrays, packed anew, or with a member that no writer makes."""
    if rng.random() < 0.6:
        arrays, words = of_arrays(rng, unpacked(raw))
        return packed(arrays), f"packed anew, {words}"
    return _odd(rng, raw)


def _header(text: str) -> bytes:
    """The begin of a npy file that says ``text`` of its array."""
    padded = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


def _odd(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name, out = pick(rng, list(members)), io.BytesIO()
    kind = pick(rng, ("bomb", "claim", "header", "twice", "text", "empty", "bz2", "lzma", "folder",
                      "note"))
    shape = f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({HUGE >> 3},), }}"
    method = {"bz2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}.get(kind, zipfile.ZIP_DEFLATED)
    if kind == "claim":
        members[name] = _header(shape) + bytes(64)
    elif kind == "header":
        members[name] = _header(pick(rng, ("(" * 5000, "{'descr': 'O'}", "1", "{}", shape.replace(
            "<i8", "<M8[foo]"), shape.replace("(", "(-"), shape.replace("(", "(0, "))))
    elif kind in ("text", "empty"):
        members[name] = b"text" * (kind == "text")
    with zipfile.ZipFile(out, "w", method) as archive:
        for member, content in members.items():
            if (kind, member) != ("bomb", name):
                archive.writestr(member, content)
        if kind == "twice":
            archive.NameToInfo.clear()
            archive.writestr(name, members[name][:-8] + bytes(8))
        elif kind == "folder":
            archive.mkdir("folder")
        elif kind == "note":
            archive.comment = b"x" * 1000
    found = out.getvalue()
    return (with_bomb(found, name, _header(shape)) if kind == "bomb" else found,
            f"{name}: {kind}" + f" of {HUGE >> 30} GB" * (kind in ("bomb", "claim")))


@functools.cache
def deflated(head: bytes) -> tuple[bytes, int, int]:
    """``head`` and HUGE zeros behind it, deflated; their checksum and size."""
    def piece(data: bytes, last: bool = False) -> bytes:
        squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
        return squeeze.compress(data) + squeeze.flush(zlib.Z_FINISH if last else zlib.Z_FULL_FLUSH)

    zeros, crc = bytes(PIECE), zlib.crc32(head)
    for _ in range(HUGE // PIECE):
        crc = zlib.crc32(zeros, crc)
    return (piece(head) + piece(zeros) * (HUGE // PIECE) + piece(b"", True), crc,
            len(head) + HUGE)


def with_bomb(raw: bytes, name: str, head: bytes) -> bytes:
    """A zip file with a member more: ``head`` and gigabytes of zeros, with the right checksum."""
    content, crc, size = deflated(head)
    out = io.BytesIO(raw)
    with zipfile.ZipFile(out, "a") as archive:
        info = zipfile.ZipInfo(name)
        info.header_offset, info.compress_type = archive.start_dir, zipfile.ZIP_DEFLATED
        info.CRC, info.file_size, info.compress_size = crc, size, len(content)
        archive.fp.seek(archive.start_dir)
        archive.fp.write(info.FileHeader(False) + content)
        archive.start_dir = archive.fp.tell()
        archive.filelist.append(info)
        archive.NameToInfo[name] = info
        archive._didModify = True
    return out.getvalue()


@functools.cache
def bomb(kind: str) -> bytes:
    """Gigabytes of zeros as a gzip or an xz file: many whole ones behind each other."""
    zeros = bytes(PIECE)
    one = gzip.compress(zeros, 9, mtime=0) if kind == "gz" else lzma.compress(zeros, preset=0)
    return one * (HUGE // PIECE)
