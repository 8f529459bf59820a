"""The artifact: integers, number formats and seeds. The only thing the hardware side ever reads.

A folder with ``manifest.json`` (formats, shapes, options, seeds, sha256) and ``arrays.npz``.
"""

import hashlib
import io
import json
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from golden.base.files import write_all_atomic
from quant import rules
from quant.integer import sampling
from quant.formats import BIT, STREAMS, EdgeFormats, FormatError, LayerFormats, RandomFormat
from quant.integer.head_tensors import TENSORS, Head, HeadFormats
from quant.rules import ArtifactError, inside, need

SCHEMA = 1
RESIDUALS = ("none", "clampfuse", "plain", "replace")
ACTS = ("relu", "identity", "gelu")
ABSENT = np.zeros(0, np.int64)
NO_DIRECTIONS = np.zeros((0, 0), np.int64)


@dataclass(frozen=True)
class Layer:
    """Integer tensors of one block; shapes and formats as in :class:`quant.formats.LayerFormats`.

    w is (H_out, H_in); negate is 0 or 1 per row: the activation's sign after the folded norm.
    alpha and beta exist with a residual of ``STREAMS`` only, a with a GELU before the output
    sampler, gain with a norm that does not fold into w; else they are empty.
    """

    fmt: LayerFormats
    a_re: np.ndarray
    a_im: np.ndarray
    g_re: np.ndarray
    g_im: np.ndarray
    d: np.ndarray
    b: np.ndarray
    w: np.ndarray
    shift: np.ndarray
    negate: np.ndarray
    bias: np.ndarray
    addend: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray
    a: np.ndarray = field(default_factory=lambda: ABSENT)
    gain: np.ndarray = field(default_factory=lambda: ABSENT)

    FORMAT_OF = {"a_re": "a_bar", "a_im": "a_bar", "g_re": "g", "g_im": "g", "d": "drive",
                 "b": "drive", "w": "w", "shift": "shift", "bias": "bias", "addend": "addend",
                 "alpha": "alpha", "beta": "beta", "a": "a", "gain": "gain"}


@dataclass(frozen=True)
class Artifact:
    """A whole network in integers."""

    task: str
    n_classes: int
    length: int                  # longest sequence, steps; wider sums are sized by it
    vocab: int                   # 0: samples
    act: str                     # relu, identity or gelu
    residual: str                # none, clampfuse, plain, or replace: the stream becomes z
    rounding: str                # of the state: stochastic or half_even
    seed: int                    # default master seed of the random words
    random: RandomFormat
    edge: EdgeFormats
    layers: tuple[Layer, ...]
    enc_w: np.ndarray            # (H,), or the embedding (vocab, H) in p's (plain: x's) format
    enc_b: np.ndarray            # (H,), empty for tokens
    dec_w: np.ndarray            # (outputs, H): a row for each class, or for each feature
    dec_b: np.ndarray            # (outputs,)
    info: dict = field(default_factory=dict)    # permutation, accuracies, versions, ranges
    sampling: str = "bernoulli"     # form of the samplers, see quant.integer.sampling
    directions: np.ndarray = field(default_factory=lambda: NO_DIRECTIONS)   # of sobol, k bits each
    head: Head | None = None        # of two inputs' features, see quant.integer.head

    @property
    def H(self) -> int:
        return self.layers[0].a_re.shape[0]

    @property
    def n(self) -> int:
        return self.layers[0].a_re.shape[1]

    @property
    def inputs(self) -> int:
        """Sequences that make one example."""
        return 1 if self.head is None else 2

    @property
    def outputs(self) -> int:
        """Sums that the hardware gives out: the classes' logits, or the features of a head."""
        return len(self.dec_w)

    @property
    def streams(self) -> bool:
        """Whether a real-valued x flows between blocks; else the next probability does."""
        return self.residual in STREAMS

    @property
    def x_format(self):
        """Format of what flows between blocks and the decoder sums: x of a stream, else p."""
        fmt = self.layers[-1].fmt
        return fmt.x if self.streams else fmt.p

    def check(self) -> "Artifact":
        """Return self, or raise ``ArtifactError`` naming layer, tensor and rule."""
        rules.common(self)
        rules.choice("residual", self.residual, RESIDUALS)
        rules.choice("act", self.act, ACTS)
        H, n = self.H, self.n
        sampling.check(self)
        for number, layer in enumerate(self.layers):
            f = layer.fmt
            need(f.p == self.layers[0].fmt.p and f.x == self.layers[0].fmt.x,
                 f"layer {number}: p and x must have one format in all layers")
            need(f.g.f_bits <= f.a_bar.f_bits + f.h.f_bits,
                 f"layer {number}: g {f.g} has more fraction bits than a_bar * h")
            shapes = {"w": (H, H)} | {k: (H, n) for k in ("a_re", "a_im", "g_re", "g_im")}
            used = {"alpha": self.streams, "beta": self.streams, "a": f.a, "gain": f.gain}
            for name in ("a", "gain"):
                need((getattr(f, name) is None) == (getattr(self.layers[0].fmt, name) is None),
                     f"layer {number}: {name} must be there in all layers or in none")
            for tensor in (t.name for t in fields(Layer) if t.name != "fmt"):
                shape = shapes.get(tensor, (H,)) if used.get(tensor, True) else (0,)
                fmt = BIT if tensor == "negate" else getattr(f, Layer.FORMAT_OF[tensor])
                inside(f"layer {number}, {tensor}", getattr(layer, tensor), fmt, shape)
            rules.stable(number, layer)
        tokens, outputs = self.vocab > 0, self.outputs if self.head else self.n_classes
        need(tokens == (self.edge.sample is None),
             "the sample format must be there for samples and missing for tokens")
        inside("enc_w", self.enc_w, self.x_format if tokens else self.edge.enc_w,
               (self.vocab, H) if tokens else (H,))
        inside("enc_b", self.enc_b, self.edge.enc_b, (0,) if tokens else (H,))
        inside("dec_w", self.dec_w, self.edge.dec_w, (outputs, H))
        inside("dec_b", self.dec_b, self.edge.dec_b, (outputs,))
        if not tokens:
            need(self.edge.enc_b.f_bits <= self.edge.enc_w.f_bits + self.edge.sample.f_bits,
                 f"enc_b {self.edge.enc_b} has more fraction bits than the product of "
                 f"{self.edge.enc_w} and {self.edge.sample}")
        need(self.edge.dec_b.f_bits == self.edge.dec_w.f_bits + self.x_format.f_bits,
             f"dec_b {self.edge.dec_b} must have the fraction bits of dec_w * the decoder's sum")
        if self.head:
            self.head.check(self)
        return self


REQUIRED = tuple(f.name for f in fields(Layer) if f.name not in ("fmt", "a", "gain"))
EDGE_ARRAYS = ("enc_w", "enc_b", "dec_w", "dec_b")


def _arrays(art: Artifact) -> dict[str, np.ndarray]:
    out = {name: getattr(art, name) for name in EDGE_ARRAYS}
    if art.directions.size:
        out["directions"] = art.directions
    for number, layer in enumerate(art.layers):
        out |= {f"layer{number}.{f.name}": getattr(layer, f.name) for f in fields(Layer)
                if f.name != "fmt" and (f.name in REQUIRED or getattr(layer, f.name).size)}
    if art.head:
        out |= {f"head.{name}": getattr(art.head, name) for name in TENSORS}
    return {name: np.asarray(raw, np.int64) for name, raw in out.items()}


def _manifest(art: Artifact, arrays: bytes) -> dict:
    head = {"head_formats": art.head.fmt.to_dict()} if art.head else {}
    return {"schema": SCHEMA, "task": art.task, "n_classes": art.n_classes, "length": art.length,
            "vocab": art.vocab, "act": art.act, "residual": art.residual,
            "rounding": art.rounding, "sampling": art.sampling, "seed": art.seed,
            "shape": {"layers": len(art.layers), "H": art.H, "n": art.n},
            "random": art.random.to_dict(), "edge_formats": art.edge.to_dict(),
            "layer_formats": [layer.fmt.to_dict() for layer in art.layers], **head,
            "info": art.info,
            "arrays_sha256": hashlib.sha256(arrays).hexdigest()}


def save(art: Artifact, folder: Path) -> Path:
    """Write a checked artifact; each file to a temporary name first. Returns the folder."""
    art.check()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **_arrays(art))
    manifest = json.dumps(_manifest(art, buffer.getvalue()), indent=1) + "\n"
    return write_all_atomic(folder, {"arrays.npz": buffer.getvalue(),
                                     "manifest.json": manifest})


def read(folder: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Manifest and arrays of any artifact, whole and of this schema; else ``ArtifactError``."""
    folder = Path(folder)
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
    if m.get("schema") != SCHEMA:
        raise ArtifactError(f"{folder} has schema {m.get('schema')}, this version reads schema "
                            f"{SCHEMA}; update the project or export again")
    if hashlib.sha256(packed).hexdigest() != m.get("arrays_sha256"):
        raise ArtifactError(f"{folder}/arrays.npz does not match the manifest's sha256: "
                            f"truncated or edited; export again")
    return m, np.load(io.BytesIO(packed))


def load(folder: Path) -> Artifact:
    """Read and check an artifact; ``ArtifactError`` in one line for anything wrong."""
    folder = Path(folder)
    m, arrays = read(folder)
    if "network" in m:
        raise ArtifactError(f"{folder} is a network with a real-valued stream (mixer "
                            f"{m.get('mixer')}), which there is no hardware for yet; run it with "
                            f"python -m quant.evaluate, or export a P-SpikeSSM network")
    try:
        layers = tuple(
            Layer(LayerFormats.from_dict(formats),
                  **{f.name: arrays[f"layer{number}.{f.name}"] for f in fields(Layer)
                     if f.name in REQUIRED or f"layer{number}.{f.name}" in arrays})
            for number, formats in enumerate(m["layer_formats"]))
        head = None
        if "head_formats" in m:
            head = Head(HeadFormats.from_dict(m["head_formats"]),
                        *(arrays[f"head.{name}"] for name in TENSORS))
        art = Artifact(m["task"], m["n_classes"], m["length"], m["vocab"], m["act"],
                       m["residual"], m["rounding"], m["seed"],
                       RandomFormat.from_dict(m["random"]),
                       EdgeFormats.from_dict(m["edge_formats"]), layers,
                       *(arrays[name] for name in EDGE_ARRAYS), info=m["info"],
                       sampling=m["sampling"],
                       directions=arrays.get("directions", NO_DIRECTIONS), head=head)
        said = m["shape"]
    except (FormatError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ArtifactError(f"{folder}/manifest.json: {error}; export again") from None
    have = {"layers": len(art.check().layers), "H": art.H, "n": art.n}
    if said != have:
        raise ArtifactError(f"{folder}/manifest.json: shape {said} is not the arrays' {have}; "
                            f"export again")
    return art


def digest(art: Artifact) -> str:
    """Short content hash of everything that decides behaviour, for caches and reports."""
    h = hashlib.sha256()
    for name, raw in sorted(_arrays(art).items()):
        h.update(name.encode() + str(raw.shape).encode() + raw.tobytes())
    manifest = _manifest(art, b"")
    for key in ("info", "arrays_sha256", "task"):
        manifest.pop(key)
    h.update(json.dumps(manifest, sort_keys=True).encode())
    return h.hexdigest()[:16]
