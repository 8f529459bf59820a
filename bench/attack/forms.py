"""Changes of a data file by its form: what is inside of a packed one, sound, pictures, archives."""

import gzip
import io
import lzma
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np

from bench.attack import arrays, edits
from bench.attack.arrays import HUGE, bomb
from bench.attack.edits import Rng, pick

WAV = {4: "<I", 16: "<I", 20: "<H", 22: "<H", 24: "<I", 28: "<I", 32: "<H", 34: "<H", 40: "<I"}
NUMBERS = (0, 1, 2, 3, 8, 24, 0x7FFF, 0xFFFF, 0xFFFE, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000)


def _gz(content: bytes) -> bytes:
    """Packed, always the same bytes."""
    return gzip.compress(content, 1, mtime=0)


def _of_wav(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    """A number of the header changed."""
    at = pick(rng, list(WAV))
    size = struct.calcsize(WAV[at])
    value = pick(rng, NUMBERS) & (1 << 8 * size) - 1
    return (raw[:at] + struct.pack(WAV[at], value) + raw[at + size:],
            f"the number at byte {at} became {value}")


def _of_png(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    """Another size or kind of picture, with the right checksum of the header."""
    header = bytearray(raw[12:29])
    sides = struct.pack(">II", pick(rng, (0, 1, 31, 33, 20_000, 2**31 - 1)),
                        pick(rng, (1, 32, 20_000, 2**31 - 1)))
    header[4:12] = sides
    if rng.random() < 0.3:
        header[12:17] = rng.bytes(5)
    found = raw[:12] + bytes(header) + struct.pack(">I", zlib.crc32(header)) + raw[33:]
    return found, f"the header says {bytes(header[4:]).hex()}"


def _of_npy(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    array, words = arrays.of_array(rng, np.load(io.BytesIO(raw), allow_pickle=False))
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue(), words


def _of_npys(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    """Arrays behind each other in a file, one of them changed."""
    stream, found = io.BytesIO(raw), []
    while stream.tell() < len(raw):
        found.append(np.load(stream, allow_pickle=False))
    k, out = int(rng.integers(len(found))), io.BytesIO()
    found[k], words = arrays.of_array(rng, found[k])
    for array in found:
        np.save(out, array)
    return out.getvalue(), f"array {k}: {words}"


def _of_tar(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    """A packed archive with another member."""
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        members = [(info, archive.extractfile(info).read()) for info in archive if info.isfile()]
    k = int(rng.integers(len(members)))
    info, content = members[k]
    kind = pick(rng, ("inside", "inside", "gone", "twice", "name", "link", "device", "bomb",
                      "claim"))
    words = f"{info.name}: {kind}"
    if kind == "inside":
        content, inner = _by_name(rng, info.name, content)
        words = f"{info.name}: {inner}"
    elif kind == "name":
        info.name = pick(rng, ("../../x", "/tmp/x", info.name + "x", "x" * 90,
                               info.name.replace("_", "-").replace("/", "_")))
    elif kind == "link":
        info.type, info.linkname = pick(rng, (tarfile.SYMTYPE, tarfile.LNKTYPE)), "../../x"
    elif kind == "device":
        info.type = pick(rng, (tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE))
    members[k:k + 1] = {"gone": [], "twice": [members[k]] * 2}.get(kind, [(info, content)])
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member, data in members:
            if kind == "claim" and member is info:
                member.size = HUGE
                out.write(member.tobuf())
                archive.offset = out.tell()
                continue
            member.size = len(data) if member.isfile() else 0
            archive.addfile(member, io.BytesIO(data) if member.isfile() else None)
    if kind == "bomb":
        info.size = HUGE
        return _gz(info.tobuf()) + bomb("gz") + _gz(out.getvalue()), words
    return _gz(out.getvalue()), words


def _packed(rng: Rng, name: str, raw: bytes, kind: str) -> tuple[bytes, str]:
    """Something else inside of a gzip or xz file, or gigabytes of zeros."""
    if rng.random() < 0.04:
        return bomb(kind), f"{HUGE >> 30} GB of zeros"
    if rng.random() < 0.04:
        return raw + bomb(kind), f"{HUGE >> 30} GB of zeros behind it"
    whole, pack = (gzip.decompress, _gz) if kind == "gz" else (lzma.decompress, lzma.compress)
    inner, words = _by_name(rng, name.rsplit(".", 1)[0], whole(raw))
    return pack(inner), f"inside, {words}"


def _by_name(rng: Rng, name: str, raw: bytes) -> tuple[bytes, str]:
    """Any change of the content of a file; its name says its form."""
    if rng.random() < 0.4 or not raw:
        return edits.of_bytes(rng, raw)
    form = "tar.gz" if name.endswith((".tar.gz", "lra_release.gz")) else name.rsplit(".", 1)[-1]
    if form in ("gz", "xz"):
        return _packed(rng, name, raw, form)
    if form == "npy" and not raw.startswith(b"\x93NUMPY"):
        form = "txt"
    if "ubyte" in name and rng.random() < 0.5:
        at = int(rng.integers(8 if "labels" in name else 16))
        return (raw[:at] + rng.bytes(1) + raw[at + 1:], f"byte {at} of the header at random")
    change = {"tsv": edits.of_lines, "txt": edits.of_lines, "npz": arrays.of_npz, "wav": _of_wav,
              "png": _of_png, "npy": _of_npy, "tar.gz": _of_tar}.get(form)
    if change is None and raw.startswith(b"\x93NUMPY"):
        change = _of_npys
    return (change or edits.of_bytes)(rng, raw)


def of_file(rng: Rng, path: Path) -> str:
    """Change a file, or put something else in its place; says what."""
    if rng.random() < 0.03:
        return edits.elsewhere(rng, path)
    return edits.changed(path, lambda rng, raw: _by_name(rng, path.name, raw), rng)
