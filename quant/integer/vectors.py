"""Golden vectors: what every rung of the verification ladder must reproduce, and their files.

A file is one ``.npz``: spikes as packed bits (behind those of s_out, where some are -1, the bits
that say so), signatures, logits, saturations, the sequences, and a manifest that says how they were
made.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from golden.base import forms
from golden.base.arrays import ArraysError, read_npz
from golden.base.cli import UserError
from golden.base.files import write_atomic
from quant.integer.artifact import Artifact, digest
from quant.integer.network import IntegerNetwork
from quant.integer.reference import Trace

SCHEMA = 2
MOST = 1 << 30      # bytes of all arrays
FACTS = {"schema": int, "command": str, "seed": int, "artifact": str, "layers": int, "H": int,
         "sequences": int, "sha256": str}
ARRAYS = ("values", "lengths", "indices", "s_in", "s_out", "signature", "logits", "saturations")


class VectorError(UserError):
    """A vector file that cannot be used; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Vectors:
    """Sequences and what the network must answer.

    values : (B, L) raw samples or tokens, 0 after the end; lengths : (B,); traces : B of
    :class:`quant.integer.reference.Trace`; seed : master seed; artifact : digest of the network;
    command : what made them; indices : (B,) numbers of the sequences in their data set; block :
    steps per update of the network's states, of which a signature is.
    """

    values: np.ndarray
    lengths: np.ndarray
    traces: list[Trace]
    seed: int
    artifact: str
    command: str
    indices: np.ndarray
    block: int = 1


def expected(art: Artifact, values: np.ndarray, lengths: np.ndarray | None = None,
             seed: int | None = None, threads: int | None = None) -> list[Trace]:
    """Every spike, signature and logit of B sequences; arguments as of ``IntegerNetwork``.

    Raises :class:`ArtifactError` as ``quant.integer.reference.traced``.
    """
    batch = IntegerNetwork(art, seed, threads).run(values, lengths, record=True)
    return [batch.trace(b) for b in range(len(values))]


def make(art: Artifact, values: np.ndarray, lengths: np.ndarray | None = None,
         seed: int | None = None, command: str = "", indices: np.ndarray | None = None) -> Vectors:
    """Vectors of some sequences; indices default to 0, 1, 2, ..."""
    values = np.asarray(values)
    lengths = np.full(len(values), values.shape[1]) if lengths is None else np.asarray(lengths)
    indices = np.arange(len(values)) if indices is None else np.asarray(indices)
    return Vectors(values, lengths, expected(art, values, lengths, seed),
                   art.seed if seed is None else seed, digest(art), command, indices,
                   art.block)


def _sha256(manifest: dict, arrays: dict[str, np.ndarray]) -> str:
    """Over everything but itself."""
    facts = {name: value for name, value in manifest.items() if name != "sha256"}
    h = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, raw in sorted(arrays.items()):
        h.update(f"{name} {raw.dtype.str} {raw.shape}".encode() + raw.tobytes())
    return h.hexdigest()


def save(vectors: Vectors, path: Path) -> Path:
    """Write a file, complete or not at all. Returns its path."""
    traces = vectors.traces
    spikes = [t.s_out for t in traces]
    if any((s < 0).any() for s in spikes):
        spikes += [s < 0 for s in spikes]
    arrays = {
        "values": np.asarray(vectors.values, np.int64),
        "lengths": np.asarray(vectors.lengths, np.int64),
        "indices": np.asarray(vectors.indices, np.int64),
        "s_in": np.concatenate([np.packbits(t.s_in) for t in traces]),
        "s_out": np.concatenate([np.packbits(s != 0) for s in spikes]),
        "signature": np.concatenate([t.signature for t in traces], axis=1),
        "logits": np.stack([t.logits for t in traces]),
        "saturations": np.stack([t.saturations for t in traces])}
    N, _, H = traces[0].s_out.shape
    manifest = {"schema": SCHEMA, "command": vectors.command, "seed": vectors.seed,
                "artifact": vectors.artifact, "layers": N, "H": H, "sequences": len(traces)}
    if vectors.block > 1:
        manifest["block"] = vectors.block
    manifest["sha256"] = _sha256(manifest, arrays)
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(manifest).encode(), np.uint8)
    np.savez_compressed(buffer, manifest=text, **arrays)
    return write_atomic(path, buffer.getvalue())


def load(path: Path, art: Artifact | None = None) -> Vectors:
    """Read and check a file; with ``art`` also that it was made from this very network."""
    again = "write it again with python -m quant.export"
    try:
        arrays = read_npz(Path(path), MOST, kinds="iu")
        m = forms.parsed(arrays.pop("manifest").tobytes())
        facts = FACTS | ({"block": int} if "block" in m else {})
        whole = {name: type(m[name]) for name in m} == facts and {*arrays} == {*ARRAYS}
    except ArraysError as error:
        raise VectorError(f"{error}; {again}") from None
    except (KeyError, ValueError, TypeError):
        whole = False
    if whole and m["schema"] != SCHEMA:
        raise VectorError(f"{path} has schema {m['schema']}, this version reads schema {SCHEMA}; "
                          f"{again}")
    if not whole or _sha256(m, arrays) != m["sha256"]:
        raise VectorError(f"{path} does not match its sha256: truncated or edited; {again}")
    if art is not None and m["artifact"] != digest(art):
        raise VectorError(f"{path} was made from artifact {m['artifact']}, not {digest(art)}; "
                          f"{again}")
    N, H, lengths, block = m["layers"], m["H"], arrays["lengths"], m.get("block", 1)

    sizes = -(-N * H * lengths // 8)        # bytes of a trace's spikes

    def each(array, sizes):
        return np.split(array, np.cumsum(sizes)[:-1], axis=-1)

    def unpacked(packed):
        if not packed.size:
            return [np.zeros((N, L, 0), np.int8) for L in lengths]
        return [np.unpackbits(part, count=N * L * H).reshape(N, L, H).astype(np.int8)
                for L, part in zip(lengths, each(packed, sizes))]

    fired, negative = np.split(arrays["s_out"], [sizes.sum()])
    s_in, s_out = unpacked(arrays["s_in"]), unpacked(fired)
    if negative.size:
        s_out = [s - 2 * below for s, below in zip(s_out, unpacked(negative))]
    traces = [Trace(*spikes, signature, logits, int(np.argmax(logits)), over)
              for *spikes, signature, logits, over in zip(
                  s_in, s_out, each(arrays["signature"], -(-lengths // block)), arrays["logits"],
                  arrays["saturations"])]
    return Vectors(arrays["values"], lengths, traces, m["seed"], m["artifact"], m["command"],
                   arrays["indices"], block)
