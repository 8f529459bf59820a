"""Files of ``torch.save``: read in bounded memory and without running code, and sealed by a hash.

``torch.load``, even with ``weights_only``, compares no checksum, takes memory for what a file only
claims and says little about what it refuses. So this project reads such a file itself: its pickle
names tensors, which lie in the zip as they are, and nothing in it is imported or called
(``golden.base.pickled``). The other way round ``torch.load(..., weights_only=True)`` reads every
file that is written here.

A sealed file has a key ``sha256``: a hash over everything else in it.
"""

import functools
import hashlib
import json
import math
import struct
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch

from golden.base import cli, pickled
from golden.base.arrays import DAMAGE
from golden.base.pickled import Foreign

LARGEST = 1 << 31       # bytes of a file: the largest network with its optimiser (model.config)
DIRECTORY = 1 << 23     # of a zip's directory: some 100,000 tensors
PICKLE = 1 << 21        # of the pickle, which holds everything but the tensors' numbers
DEPTH, VALUES = 32, 200_000     # of containers in one another; of everything that is in them
SEAL = "sha256"
TYPES = {f"torch.{name}Storage": getattr(torch, dtype) for name, dtype in {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
    "Bool": "bool", "ComplexFloat": "complex64", "ComplexDouble": "complex128"}.items()}
TENSOR, PARAMETER = "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"
OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."      # how files of PyTorch before 1.6 begin
ADVICE = {      # by a part of the name: what it is, and what to write instead
    "multiarray.scalar": ("a number of NumPy", "write float(x) or int(x)"),
    "multiarray._reconstruct": ("an array of NumPy", "write torch.from_numpy(x)"),
    "_rebuild_sparse": ("a sparse tensor", "write x.to_dense()"),
    "_rebuild_qtensor": ("a quantised tensor", "write x.dequantize()"),
    "_rebuild_meta": ("a tensor without numbers (meta)", "write one that has them"),
    "_rebuild": ("a special kind of tensor", "write a plain one")}
NUMPY = {"f2": "float16", "f4": "float32", "f8": "float64", "i4": "int32", "i8": "int64",
         "b1": "bool", "u1": "uint8", "u8": "uint64"}


class StoredError(cli.UserError):
    """What is wrong with a file; the caller puts its path in front."""


@dataclass(frozen=True)
class _Storage:
    """Numbers in the zip that tensors are made of."""

    key: str
    dtype: torch.dtype
    count: int


def read(path: Path) -> object:
    """What a file holds: tensors on the CPU, None, bools, numbers, texts, tuples, lists and dicts.

    Anything else is a :class:`golden.base.pickled.Foreign`. Raises :class:`StoredError` for what is
    no such file, is damaged, or is larger than the constants here allow.
    """
    try:
        with open(path, "rb") as file:
            _look(file)
            with zipfile.ZipFile(file) as archive:
                return _Reader(archive, file.seek(0, 2)).content()
    except DAMAGE as error:
        reason = " ".join((getattr(error, "strerror", None) or str(error)).split())[:100]
        raise StoredError(f"it is truncated, damaged or no file of torch.save "
                          f"({reason or type(error).__name__})") from None


def _look(file: BinaryIO) -> None:
    """Refuse what is no zip archive, or one that is too large, by its first and last bytes."""
    begin, size = file.read(len(OLD)), file.seek(0, 2)
    if begin == OLD:
        raise StoredError("it has the form of PyTorch before 1.6: write it again with "
                          "torch.save(torch.load(FILE, weights_only=True), NEW)")
    if not begin.startswith(b"PK\x03\x04"):
        raise StoredError("it is no zip archive, as torch.save writes")
    if size > LARGEST:
        raise StoredError(f"it has {size:,} bytes, at most {LARGEST:,} are allowed")
    file.seek(max(0, size - 98))
    tail = file.read().rjust(98, b"\0")
    if not tail[-22:].startswith(b"PK\x05\x06"):
        raise StoredError("it has no end: it is truncated, or longer than it was")
    length, = struct.unpack_from("<L", tail, 88)
    if tail[-42:].startswith(b"PK\x06\x07"):
        if not tail.startswith(b"PK\x06\x06"):
            raise StoredError("its end is damaged")
        length, = struct.unpack_from("<Q", tail, 40)
    if length > min(size, DIRECTORY):
        raise StoredError(f"its directory has {length:,} bytes, at most "
                          f"{min(size, DIRECTORY):,} are possible")


class _Reader:
    """One file: what its pickle describes, with the tensors."""

    def __init__(self, archive: zipfile.ZipFile, size: int):
        members = archive.infolist()
        self.archive, self.numbers, self.values = archive, {}, 0
        self.members = {info.filename.partition("/")[2]: info for info in members}
        if len(self.members) != len(members):
            raise StoredError("two of its parts have one name")
        for name, info in self.members.items():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise StoredError(f"its part {name[:60]!r} is compressed, torch.save compresses "
                                  f"nothing")
        total = sum(info.file_size for info in members)
        if total > size:
            raise StoredError(f"its parts claim {total:,} bytes, it has {size:,}")

    def content(self) -> object:
        if "data.pkl" not in self.members or "constants.pkl" in self.members:
            raise StoredError("torch.save did not write it: it has no data.pkl, or is a "
                              "TorchScript archive")
        if self.members["data.pkl"].file_size > PICKLE:
            raise StoredError(f"its pickle has more than {PICKLE:,} bytes")
        if "byteorder" in self.members and self.archive.read(
                self.members["byteorder"]) != b"little":
            raise StoredError("its numbers are not in the byte order little")
        return self.built(pickled.read(self.archive.read(self.members["data.pkl"]), self.storage))

    def storage(self, name: object) -> object:
        """What stands for numbers of the zip; a ``Foreign`` for those of another kind."""
        _, kind, key, _, count = name
        if not isinstance(kind, Foreign) or kind.name not in TYPES:
            return kind
        if not isinstance(key, str):        # as text it might be huge
            raise StoredError("a tensor's data has a name that is no text")
        dtype, member = TYPES[kind.name], self.members.get(f"data/{key}")
        if member is None or type(count) is not int or member.file_size != count * dtype.itemsize:
            raise StoredError(f"a tensor's data {key[:20]!r} must have "
                              f"{count if type(count) is int else named(count)} "
                              f"numbers of {dtype}, in the file are "
                              f"{member.file_size if member else 0:,} bytes")
        return _Storage(key, dtype, count)

    def built(self, value: object, depth: int = 0) -> object:
        """``value`` with tensors for what describes them."""
        self.values += 1
        if depth > DEPTH or self.values > VALUES:
            raise StoredError(f"it holds more than {VALUES:,} values, or more than {DEPTH} lists "
                              f"and dicts in one another")
        if type(value) is dict:
            return {key: self.built(each, depth + 1) for key, each in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self.built(each, depth + 1) for each in value)
        if isinstance(value, Foreign):
            return self.tensor(value)
        return Foreign("torch.storage") if isinstance(value, _Storage) else value

    def tensor(self, value: Foreign) -> object:
        """A plain tensor for what describes one."""
        given = value.arguments
        if value.name == PARAMETER and given and isinstance(given[0], Foreign):
            return self.tensor(given[0]) if given[0].name == TENSOR else value
        if value.name != TENSOR or len(given) != 6 or not isinstance(given[0], _Storage):
            return value
        storage, offset, size, stride = given[:4]
        if not (type(size) is type(stride) is tuple and len(size) == len(stride) <= 16
                and all(type(n) is int and n >= 0 for n in (offset, *size, *stride))):
            raise StoredError("the shape of a tensor is not one")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride)) if all(size) else -1
        if max(last + 1, math.prod(size)) > storage.count:
            raise StoredError(f"a tensor claims the shape {str(size)[:60]}, but has "
                              f"{storage.count:,} numbers (write an expanded one with .clone())")
        return self.flat(storage).as_strided(size, stride, offset)

    def flat(self, storage: _Storage) -> torch.Tensor:
        if storage not in self.numbers:
            content = bytearray(self.archive.read(self.members[f"data/{storage.key}"]))
            self.numbers[storage] = (torch.frombuffer(content, dtype=storage.dtype) if content
                                     else torch.empty(0, dtype=storage.dtype))
        return self.numbers[storage]


def place(where: list) -> str:
    """A place in a content, as a user writes it: ``info['lr'][0]``."""
    first, *rest = where or ["it"]
    return str(first)[:80] + "".join(f"[{str(key)[:80]!r}]" if isinstance(key, str) else f"[{key}]"
                                     for key in rest)


def named(value: object) -> str:
    """What a value is, and for what no file may hold what to write instead."""
    if isinstance(value, torch.Tensor):
        return f"a tensor ({value.dtype}, {value.layout})"
    if not isinstance(value, Foreign):
        return "None" if value is None else f"a {type(value).__name__}"
    for part, (kind, instead) in ADVICE.items():
        if part in value.name:
            dtype = next((a.arguments[0] for a in value.arguments if isinstance(a, Foreign)
                          and a.name == "numpy.dtype" and a.arguments), "")
            known = dtype in NUMPY if isinstance(dtype, str) else False
            return f"{'numpy.' + NUMPY[dtype] if known else kind}: {instead}"
    return f"Python's {value.name[:80]}"


def described(value: object, where: list) -> Iterator[tuple[list, str, object]]:
    """(place, kind, text or tensor) of all that is in a content, in an order of its own.

    Raises :class:`StoredError` for what no file may hold.
    """
    kind = type(value)
    if len(where) > DEPTH:
        raise StoredError(f"{place(where[:3])} holds more than {DEPTH} lists and dicts in one "
                          f"another")
    if isinstance(value, dict):
        yield where, "dict", len(value)
        odd = [key for key in value if type(key) not in (str, int)]
        if odd:
            raise StoredError(f"{place(where)} has a key that is no text and no whole number")
        for key in sorted(value, key=lambda key: (type(key) is int, key)):
            yield from described(value[key], [*where, key])
    elif kind in (list, tuple):
        yield where, kind.__name__, len(value)
        for k, each in enumerate(value):
            yield from described(each, [*where, k])
    elif isinstance(value, torch.Tensor) and value.layout == torch.strided and (
            value.dtype in TYPES.values() and not value.is_meta):
        yield where, "tensor", value
    elif value is None or kind in (bool, float, str) or kind is int and abs(value) < 1 << 63:
        yield where, kind.__name__, value
    else:
        raise StoredError(f"{place(where)} is {named(value)}; only tensors, numbers below 2**63, "
                          f"texts, None, lists and dicts are allowed there")


def digest(content: dict) -> str:
    """sha256 over everything but the seal: tensors by place, type, shape and bytes, the rest as
    JSON."""
    h = hashlib.sha256()
    for where, kind, value in described({k: v for k, v in content.items() if k != SEAL}, []):
        tensor = kind == "tensor"
        text = [str(value.dtype), list(value.shape)] if tensor else value
        h.update(json.dumps([where, kind, text]).encode() + b"\n")
        if tensor:
            flat = value.detach().cpu().contiguous().reshape(-1)
            h.update(flat.view(torch.uint8).numpy() if flat.numel() else b"")
    return h.hexdigest()


def sealed(content: dict) -> dict:
    """The content with its hash; raises :class:`StoredError` for what no file may hold."""
    return content | {SEAL: digest(content)}


def unsealed(content: dict, path: Path) -> dict:
    """The content without its hash, which must be right; one line on stderr if there is none.

    Raises :class:`StoredError` if it is wrong, and for what no file may hold.
    """
    found = digest(content)
    if SEAL not in content:
        _warn(path)
    elif content[SEAL] != found:
        raise StoredError("its sha256 is not that of its content: it is damaged, or was edited; "
                          "take another copy")
    return {key: value for key, value in content.items() if key != SEAL}


@functools.cache
def _warn(path: Path) -> None:
    print(f"{path} has no sha256, so nothing guards it against damage and edits; add one: "
          f"python -m golden.checkpoint seal {path}", file=sys.stderr)
