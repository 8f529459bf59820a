"""Artifacts: manifest and arrays, and golden vectors made from them."""

import functools
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.attack import arrays, edits
from bench.attack.edits import Rng, pick
from bench.attack.target import Harm, Target
from golden.base.qformat import QFormat
from quant.integer import artifact, vectors
from quant.integer.program import Artifact
from quant.integer.reference import execute
from quant.integer.synthetic import random_artifact

STEPS = 12
OLD = Path(__file__).resolve().parents[2] / "tests" / "frozen" / "artifacts.zip"   # schema 1
NETWORKS = {
    "samples": {"n_layers": 2, "H": 4, "n": 2},
    "tokens, Sobol, two inputs": {"n_layers": 1, "H": 4, "n": 2, "vocab": 7, "residual": "plain",
                                  "sampling": "sobol", "features": 3},
    "GELU": {"n_layers": 2, "H": 3, "n": 2, "act": "gelu", "gelu_out": True, "gain": True}}


@functools.cache
def network(name: str) -> Artifact:
    """A small network; its facts are those that an export writes."""
    seed = list(NETWORKS).index(name)
    made = random_artifact(seed, n_classes=3, length=64, stress=0.1, **NETWORKS[name])
    return replace(made, task="digits", info={
        "permutation": "seed0", "accuracy": {"float": 0.9, "integer": 0.875}, "lanes": [1, 2]})


def sequences(art: Artifact) -> np.ndarray:
    """A few raw sequences (B, STEPS) for an artifact."""
    rng = np.random.default_rng(0)
    low, high = (art.sample.lo, art.sample.hi) if art.sample else (0, art.vocab - 1)
    return rng.integers(low, high + 1, (2, STEPS))


def read(folder: Path) -> list:
    """Everything that an artifact says, and what it answers to a few sequences."""
    art = artifact.load(folder)
    return [art, [execute(art, row).logits for row in sequences(art)]]


def _swapped(rng: Rng, folder: Path, other: Artifact) -> str:
    """One file of another network in place of this one's."""
    path, name = folder / "other", pick(rng, ("manifest.json", "arrays.npz"))
    artifact.save(other, path)
    (path / name).replace(folder / name)
    return f"{name} of another network"


def harmed(rng: Rng, folder: Path, other: Artifact | None = None) -> Harm:
    """Any harm to the two files."""
    manifest, packed = folder / "manifest.json", folder / "arrays.npz"
    kind = rng.random()
    if kind < 0.5:
        words = edits.changed(manifest, _formats if rng.random() < 0.15 else edits.of_json, rng)
    elif kind < 0.6:
        words = edits.changed(manifest, edits.of_bytes, rng)
    elif kind < 0.75:
        words = edits.changed(packed, arrays.of_npz, rng)
    elif kind < 0.95 or other is None:
        words = edits.changed(packed, edits.of_bytes, rng)
    elif kind < 0.97:
        words = edits.elsewhere(rng, pick(rng, (manifest, packed)))
    else:
        words = _swapped(rng, folder, other)
    return Harm(words)


def _formats(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    """Another number format somewhere in a manifest."""
    text = raw.decode()
    places = [k for k in range(len(text)) if text.startswith(("SQ(", "UQ("), k)]
    at = pick(rng, places)
    end = text.index(")", at) + 1
    old = QFormat.parse(text[at:end])
    new = pick(rng, (f"SQ({old.i_bits + 1},{old.f_bits})", f"UQ({old.i_bits},{old.f_bits})",
                     f"SQ({old.i_bits},{old.f_bits - 1})", f"SQ({old.i_bits},{10**6})", "SQ(0,0)",
                     f"SQ({old.i_bits}, {old.f_bits})", "SQ(-1,4)", "SQ(1,7", f"SQ({'9' * 5000},1)",
                     text[at:end].lower()))
    return (text[:at] + new + text[end:]).encode(), f"{old} at byte {at} became {new[:20]}"


def _vectors(name: str) -> Target:
    art = network(name)

    def make(folder: Path) -> None:
        values = sequences(art)
        vectors.save(vectors.make(art, values, np.array([STEPS, STEPS - 3]), command="attack"),
                     folder / "vectors.npz")

    def harm(rng: Rng, folder: Path) -> Harm:
        change = pick(rng, (edits.of_bytes, arrays.of_npz))
        return Harm(edits.changed(folder / "vectors.npz", change, rng))
    return Target("vectors", make, harm, lambda folder: vectors.load(folder / "vectors.npz", art))


def _old(name: str) -> Target:
    """An artifact of schema 1, from the files that the tests keep."""
    def make(folder: Path) -> None:
        with zipfile.ZipFile(OLD) as archive:
            for file in ("manifest.json", "arrays.npz"):
                (folder / file).write_bytes(archive.read(f"{name}/{file}"))
    return Target("artifact of schema 1", make, harmed, read)


def olds() -> list[str]:
    """A few of the kept artifacts of schema 1, the smallest."""
    if not OLD.exists():
        return []
    with zipfile.ZipFile(OLD) as archive:
        sizes = {info.filename.split("/")[0]: info.file_size for info in archive.infolist()
                 if info.filename.endswith("/arrays.npz")}
    return sorted(sizes, key=sizes.get)[:1]


def targets() -> list[Target]:
    found = []
    for k, name in enumerate(NETWORKS):
        other = network(list(NETWORKS)[k - 1])
        found.append(Target(f"artifact ({name})",
                            lambda folder, name=name: artifact.save(network(name), folder),
                            lambda rng, folder, other=other: harmed(rng, folder, other), read))
    return found + [_vectors("samples")] + [_old(name) for name in olds()]
