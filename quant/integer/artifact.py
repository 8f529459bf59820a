"""The artifact: operations with their tensors and formats, and seeds. All that hardware ever reads.

A folder with ``manifest.json`` and ``arrays.npz``. Schema 3: the manifest lists the operations,
each with its wiring, options and the formats of its tensors, which are in the arrays under
``<block>.<operation>.<tensor>``; ``block`` is there where the states are updated once in two steps,
and is 2. One sha256 is over everything: whoever changes a word or a number
makes a folder that is refused. Files of schema 1 and 2 are read with a warning, see
``quant.upgrade``.
"""

import hashlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from golden.base import folders, forms
from golden.base.arrays import ArraysError, read_npz
from golden.base.cli import UserError
from golden.base.files import write_all_atomic
from golden.base.qformat import FormatError
from quant.formats import RandomFormat
from quant.integer import schema1
from quant.integer.head import Head
from quant.integer.operation import ArtifactError, need
from quant.integer.program import Artifact
from quant.integer.record import STRUCTURE, keys, of_structure, structure

__all__ = ["Artifact", "ArtifactError", "digest", "load", "manifest", "save"]
SCHEMA = 3
BEHAVIOUR = 2           # form of what digest() hashes: that of the manifest of schema 2
FACTS = ("n_classes", "length", "vocab", "seed")
KEYS = ("schema", "task", "permutation", *FACTS, "random", *STRUCTURE, "info", "sha256")
KEYS_2 = tuple(key for key in KEYS if key != "permutation")
MANIFEST, ARRAYS, VECTORS = "manifest.json", "arrays.npz", "vectors.npz"
MOST = {MANIFEST: 1 << 24, ARRAYS: 1 << 28}     # bytes, also of the arrays when they are unpacked
AGAIN = "truncated or edited; export again"


def _arrays(art: Artifact) -> dict[str, np.ndarray]:
    out = {"decoder.w": art.decoder_w.raw, "decoder.b": art.decoder_b.raw}
    for place, op, _ in art.operations():
        out |= {f"{place}.{name}": tensor.raw for name, tensor in op.tensors.items()}
    if art.head:
        out |= art.head.arrays()
    return {name: np.asarray(raw, np.int64) for name, raw in out.items()}


def _behaviour(art: Artifact) -> dict:
    """What decides the answers, without the integers."""
    head = {"head_formats": art.head.fmt.to_dict()} if art.head else {}
    return {"schema": BEHAVIOUR, **{name: getattr(art, name) for name in FACTS},
            "random": art.random.to_dict(), **structure(art), **head}


def _sha256(content: dict, arrays: dict[str, np.ndarray]) -> str:
    h = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name, raw in sorted(arrays.items()):
        h.update(f"{name} {raw.shape}".encode() + raw.tobytes())
    return h.hexdigest()


def digest(art: Artifact) -> str:
    """Short content hash of everything that decides behaviour, for caches and reports."""
    return _sha256(_behaviour(art), _arrays(art))[:16]


def save(art: Artifact, folder: Path, also: Callable[[Path], object] = lambda new: None) -> Path:
    """Write a checked artifact in place of another one, at once; returns the folder.

    ``also(new folder)`` writes what belongs to it; vectors of the one before go with it.
    """
    art.check()
    arrays, buffer = _arrays(art), io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    content = _behaviour(art) | {"schema": SCHEMA, "task": art.task, "permutation": art.permutation,
                                 "info": json.loads(json.dumps(art.info))}
    content |= {"sha256": _sha256(content, arrays)}

    def fill(new: Path) -> None:
        write_all_atomic(new, {ARRAYS: buffer.getvalue(),
                               MANIFEST: json.dumps(content, indent=1) + "\n"})
        also(new)
    return folders.replace(folder, fill, (MANIFEST, ARRAYS, VECTORS))


def load(folder: Path) -> Artifact:
    """Read and check an artifact; ``ArtifactError`` in one line for anything wrong."""
    folder = Path(folder)
    m, arrays = _read(folder)
    if m["schema"] != SCHEMA:
        print(f"warning: {folder} has the form of an earlier version, in which nothing shows that "
              f"its manifest was edited; write it anew: python -m quant.upgrade --artifact "
              f"{folder}", file=sys.stderr)
    try:
        if m["schema"] == 1:
            return schema1.artifact(m, arrays).check()
        keys(m, KEYS if m["schema"] == SCHEMA else KEYS_2, "the manifest",
             ("head_formats", "block"))
        need(isinstance(m["info"], dict), "info must be an object")
        head = Head.of(m["head_formats"], arrays) if "head_formats" in m else None
        art = Artifact(
            task=m["task"], permutation=m.get("permutation", m["info"].get("permutation")),
            info=m["info"], **{name: m[name] for name in FACTS},
            **of_structure(m, arrays.__getitem__), random=RandomFormat.from_dict(m["random"]),
            head=head).check()
        unused = sorted(set(arrays) - set(_arrays(art)))
        need(not unused, f"no operation has the array {unused and unused[0][:80]}")
        return art
    except (ArtifactError, FormatError) as error:
        raise ArtifactError(f"{folder}/{MANIFEST}: {error}; export again") from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError,
            RecursionError) as error:       # of a user's own operation
        raise ArtifactError(f"{folder}/{MANIFEST} describes no network ({type(error).__name__}: "
                            f"{' '.join(str(error).split())[:100]}); export again") from None


def manifest(folder: Path) -> dict:
    """The manifest of a folder, checked to be of a known form and not to be edited."""
    return _read(Path(folder))[0]


def _read(folder: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """The manifest and the arrays, of one moment, with their sha256 checked."""
    try:
        text, packed = folders.contents(folder, MOST).values()
    except FileNotFoundError as error:
        missing = error.filename if folder.is_dir() else folder / MANIFEST
        raise ArtifactError(f"{missing} does not exist; make the artifact with "
                            f"python -m quant.export") from None
    except OSError as error:
        raise ArtifactError(f"cannot read {error.filename}: {error.strerror}") from None
    except UserError as error:
        raise ArtifactError(f"{error}; export again") from None
    try:
        m = forms.parsed(text)
    except ValueError as error:
        raise ArtifactError(f"{folder}/{MANIFEST} is not JSON ({' '.join(str(error).split())[:100]}"
                            f"); export again") from None
    if not isinstance(m, dict):
        raise ArtifactError(f"{folder}/{MANIFEST} is not a JSON object; export again")
    schema = m.get("schema")
    if type(schema) is not int or not 1 <= schema <= SCHEMA:
        raise ArtifactError(f"{folder} has schema {str(schema)[:40]}, this version reads schema 1 "
                            f"to {SCHEMA}; update the project or export again")
    try:
        arrays = read_npz(packed, MOST[ARRAYS], f"{folder}/{ARRAYS}", "i")
    except ArraysError as error:
        raise ArtifactError(f"{error}; export again") from None
    if any(raw.dtype != np.int64 for raw in arrays.values()) or (
            schema1.sha256(packed) != m.get("arrays_sha256") if schema == 1 else
            _sha256({k: v for k, v in m.items() if k not in UNGUARDED[schema]}, arrays)
            != m.get("sha256")):
        raise ArtifactError(f"{folder} does not match its manifest's sha256: {AGAIN}")
    return m, arrays


UNGUARDED = {2: ("sha256", "task", "info"), SCHEMA: ("sha256",)}
