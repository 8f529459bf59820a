"""The artifact: operations with their tensors and formats, and seeds. All that hardware ever reads.

A folder with ``manifest.json`` and ``arrays.npz``. Schema 2: the manifest lists the operations,
each with its wiring, options and the formats of its tensors, which are in the arrays under
``<block>.<operation>.<tensor>``; one sha256 is over everything but ``info`` and ``task``. A user's
own operation is named by its module and class; who loads it has imported that module.
"""

import hashlib
import io
import json
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np

from golden.base.files import write_all_atomic
from golden.base.qformat import FormatError, QFormat
from quant.formats import RandomFormat
from quant.integer import memory, ops, schema1
from quant.integer.head import Head
from quant.integer.operation import ArtifactError, Operation, Tensor
from quant.integer.program import Artifact, Program

__all__ = ["Artifact", "ArtifactError", "digest", "load", "save"]
SCHEMA = 2
KINDS = {cls.__name__: cls for module in (ops, memory) for cls in vars(module).values()
         if isinstance(cls, type) and issubclass(cls, Operation) and cls is not Operation}


def described(op: Operation) -> dict:
    """An operation as plain json, its tensors by their formats."""
    cls = type(op)
    own = KINDS.get(cls.__name__) is not cls
    found = {"operation": f"{cls.__module__}:{cls.__name__}" if own else cls.__name__}
    for f in fields(op):
        value = getattr(op, f.name)
        if value is not None and not f.metadata.get("training"):
            found[f.name] = (str(value.fmt) if isinstance(value, Tensor)
                             else str(value) if isinstance(value, QFormat) else value)
    return found


def _kind(name: str) -> type:
    """The class of an operation: one of ours, or of a user's ``package.module:Class``."""
    module, colon, own = name.partition(":")
    if not colon:
        if name not in KINDS:
            raise ArtifactError(f"operation {name} is unknown; known: {', '.join(KINDS)}, or one "
                                f"of your own as package.module:Class")
        return KINDS[name]
    # never imported from here: a data file must not choose what code runs
    cls = getattr(sys.modules.get(module), own, None)
    if not (isinstance(cls, type) and issubclass(cls, Operation)):
        raise ArtifactError(f"operation {name} is not loaded; import {module} first, for instance "
                            f"in the module of your --task")
    return cls


def restored(values: dict, array: Callable[[str], np.ndarray]) -> Operation:
    """Inverse of :func:`described`; ``array(name)`` gives a tensor's integers."""
    values = dict(values)
    cls = _kind(values.pop("operation"))
    types = {f.name: str(f.type) for f in fields(cls)}
    return cls(**{name: Tensor(array(name), QFormat.parse(value)) if "Tensor" in types[name]
                  else QFormat.parse(value) if "QFormat" in types[name] else value
                  for name, value in values.items()})


def structure(program: Program) -> dict:
    """Operations and formats of a program as plain json, without its integers and its head."""
    return {"sample": program.sample and str(program.sample),
            "first": [described(op) for op in program.first],
            "blocks": [[described(op) for op in ops] for ops in program.blocks],
            "decoder": {"w": str(program.decoder_w.fmt), "b": str(program.decoder_b.fmt)}}


def of_structure(m: dict, array: Callable[[str], np.ndarray]) -> dict:
    """Inverse of :func:`structure`, as arguments of a program; ``array`` by place and name."""
    def part(where, ops):
        return tuple(restored(op, lambda name, i=i: array(f"{where}.{i}.{name}"))
                     for i, op in enumerate(ops))

    return {"sample": m["sample"] and QFormat.parse(m["sample"]),
            "first": part("first", m["first"]),
            "blocks": tuple(part(j, ops) for j, ops in enumerate(m["blocks"]))} | {
        f"decoder_{x}": Tensor(array(f"decoder.{x}"), QFormat.parse(m["decoder"][x])) for x in "wb"}


def _arrays(art: Artifact) -> dict[str, np.ndarray]:
    out = {"decoder.w": art.decoder_w.raw, "decoder.b": art.decoder_b.raw}
    for place, op, _ in art.operations():
        out |= {f"{place}.{name}": tensor.raw for name, tensor in op.tensors.items()}
    if art.head:
        out |= art.head.arrays()
    return {name: np.asarray(raw, np.int64) for name, raw in out.items()}


def _manifest(art: Artifact) -> dict:
    head = {"head_formats": art.head.fmt.to_dict()} if art.head else {}
    return {"schema": SCHEMA, "n_classes": art.n_classes, "length": art.length, "vocab": art.vocab,
            "seed": art.seed, "random": art.random.to_dict(), **structure(art), **head}


def _sha256(manifest: dict, arrays: dict[str, np.ndarray]) -> str:
    h = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode())
    for name, raw in sorted(arrays.items()):
        h.update(f"{name} {raw.shape}".encode() + raw.tobytes())
    return h.hexdigest()


def digest(art: Artifact) -> str:
    """Short content hash of everything that decides behaviour, for caches and reports."""
    return _sha256(_manifest(art), _arrays(art))[:16]


def save(art: Artifact, folder: Path) -> Path:
    """Write a checked artifact; each file to a temporary name first. Returns the folder."""
    art.check()
    arrays, manifest, buffer = _arrays(art), _manifest(art), io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    manifest |= {"sha256": _sha256(manifest, arrays), "task": art.task, "info": art.info}
    return write_all_atomic(folder, {"arrays.npz": buffer.getvalue(),
                                     "manifest.json": json.dumps(manifest, indent=1) + "\n"})


def load(folder: Path) -> Artifact:
    """Read and check an artifact; ``ArtifactError`` in one line for anything wrong."""
    folder = Path(folder)
    m, packed = _read(folder)
    try:
        if m.get("schema") == 1:
            return schema1.artifact(m, packed, folder).check()
        if m.get("schema") != SCHEMA:
            raise ArtifactError(f"{folder} has schema {m.get('schema')}, this version reads schema "
                                f"1 and {SCHEMA}; update the project or export again")
        arrays = _unpacked(packed)
        content = {k: v for k, v in m.items() if k not in ("sha256", "task", "info")}
        if arrays is None or _sha256(content, arrays) != m["sha256"]:
            raise ArtifactError(f"{folder} does not match its manifest's sha256: truncated or "
                                f"edited; export again")
        return Artifact(
            **{name: m[name] for name in ("task", "n_classes", "length", "vocab", "seed", "info")},
            **of_structure(m, arrays.__getitem__), random=RandomFormat.from_dict(m["random"]),
            head=Head.of(m["head_formats"], arrays) if "head_formats" in m else None).check()
    except (FormatError, KeyError, TypeError, ValueError, AttributeError, IndexError,
            OSError) as error:
        raise ArtifactError(f"{folder}/manifest.json: {error}; export again") from None


def _unpacked(packed: bytes) -> dict[str, np.ndarray] | None:
    """The arrays of a file; None: it is damaged, or has others than int64."""
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error):
        return None
    return arrays if all(raw.dtype == np.int64 for raw in arrays.values()) else None


def _read(folder: Path) -> tuple[dict, bytes]:
    """The manifest, and the file of the arrays."""
    try:
        m = json.loads((folder / "manifest.json").read_text())
        packed = (folder / "arrays.npz").read_bytes()
    except FileNotFoundError as error:
        raise ArtifactError(f"{error.filename} does not exist; make the artifact with "
                            f"python -m quant.export") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{folder}/manifest.json is not JSON ({error}); export again") from None
    if not isinstance(m, dict):
        raise ArtifactError(f"{folder}/manifest.json is not a JSON object; export again")
    return m, packed
