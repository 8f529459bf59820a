"""The artifact of a network that passes a real-valued stream: Binary S4D or GSU (golden.gated).

The same two files as ``quant.integer.artifact``, with ``network: gated`` in the manifest. There is no
hardware for it yet; ``quant.gated_reference`` says what its integers mean.
"""

import hashlib
import io
import json
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from golden.base.files import write_all_atomic
from quant import rules
from quant.integer import artifact
from quant.integer.artifact import EDGE_ARRAYS, SCHEMA, ArtifactError
from quant.formats import BIT, THRESHOLD, EdgeFormats, FormatError, RandomFormat
from quant.gated_formats import GatedFormats, GatedNetworkFormats
from quant.rules import inside, need

NETWORK = "gated"
MIXERS = ("glu", "gsu")
RESIDUALS = ("none", "plain")
NORM_POSITIONS = ("pre", "post")


@dataclass(frozen=True)
class GatedLayer:
    """Integer tensors of one block; shapes and formats as in ``GatedFormats``.

    w and gate_w are (H_out, H_in); gate_shift is empty with mixer gsu; the table's entry j is its
    value at index raw ``j + index.lo``.
    """

    fmt: GatedFormats
    alpha: np.ndarray
    beta: np.ndarray
    a_re: np.ndarray
    a_im: np.ndarray
    g_re: np.ndarray
    g_im: np.ndarray
    d: np.ndarray
    w: np.ndarray
    shift: np.ndarray
    bias: np.ndarray
    gate_w: np.ndarray
    gate_shift: np.ndarray
    gate_bias: np.ndarray
    table: np.ndarray

    FORMAT_OF = {"a_re": "a_bar", "a_im": "a_bar", "g_re": "g", "g_im": "g", "d": "drive",
                 "gate_shift": "shift"}

    def format_of(self, tensor: str):
        return getattr(self.fmt, self.FORMAT_OF.get(tensor, tensor))


TENSORS = tuple(f.name for f in fields(GatedLayer) if f.name != "fmt")


@dataclass(frozen=True)
class GatedArtifact:
    """A whole network in integers."""

    task: str
    n_classes: int
    length: int                  # longest sequence, steps
    vocab: int                   # 0: samples
    mixer: str                   # glu: Binary S4D, spikes; gsu: GELU and ternary events
    residual: str                # none or plain
    norm_position: str           # pre: in front of the SSM; post: behind the residual sum
    fires_at_zero: int           # glu: H(0)
    threshold: int               # gsu: of ternary events, times max |z|, in THRESHOLD
    rounding: str                # of the state: stochastic or half_even
    seed: int                    # master seed of the rounding words
    random: RandomFormat
    edge: EdgeFormats
    layers: tuple[GatedLayer, ...]
    enc_w: np.ndarray            # (H,), or the embedding (vocab, H) in x's format
    enc_b: np.ndarray            # (H,), empty for tokens
    dec_w: np.ndarray            # (n_classes, H), the last norm folded in
    dec_b: np.ndarray            # (n_classes,)
    info: dict = field(default_factory=dict)

    head, inputs = None, 1       # there are no gated networks with two inputs

    @property
    def outputs(self) -> int:
        return self.n_classes

    @property
    def H(self) -> int:
        return self.layers[0].a_re.shape[0]

    @property
    def n(self) -> int:
        return self.layers[0].a_re.shape[1]

    @property
    def formats(self) -> GatedNetworkFormats:
        return GatedNetworkFormats(tuple(layer.fmt for layer in self.layers), self.edge,
                                   self.random, self.rounding)

    def check(self) -> "GatedArtifact":
        """Return self, or raise ``ArtifactError`` naming layer, tensor and rule."""
        rules.common(self)
        rules.choice("mixer", self.mixer, MIXERS)
        rules.choice("residual", self.residual, RESIDUALS)
        rules.choice("norm_position", self.norm_position, NORM_POSITIONS)
        inside("fires_at_zero", np.array(self.fires_at_zero), BIT, ())
        inside("threshold", np.array(self.threshold), THRESHOLD, ())
        for number, layer in enumerate(self.layers):
            self._check_layer(number, layer)
        self._check_edge()
        return self

    def _check_layer(self, number: int, layer: GatedLayer) -> None:
        f, H, n, gsu = layer.fmt, self.H, self.n, self.mixer == "gsu"
        need(f.x == self.layers[0].fmt.x, f"layer {number}: x must have one format in all layers")
        need(self.norm_position == "pre" or f.u == f.x,
             f"layer {number}: u {f.u} must be x {f.x} with the norm behind")
        sum_, used = (f.gate_bias, f.gate) if gsu else (f.gate_bias, f.index)
        need(sum_.f_bits >= used.f_bits,
             f"layer {number}: gate_bias {sum_} has fewer fraction bits than {used} of its sum")
        need(gsu or f.gate == f.table, f"layer {number}: gate {f.gate} must be table {f.table}")
        need(not gsu or f.y.f_bits >= max(f.index.f_bits, f.table.f_bits)
             and f.gate_bias.f_bits == f.y.f_bits,
             f"layer {number}: y {f.y} must have the fraction bits of gate_bias {f.gate_bias} and "
             f"at least those of index {f.index} and table {f.table}")
        shapes = {name: (H, n) for name in ("a_re", "a_im", "g_re", "g_im")} | {
            "w": (H, H), "gate_w": (H, H), "gate_shift": (0,) if gsu else (H,),
            "table": (1 << f.index.width,)}
        for tensor in TENSORS:
            inside(f"layer {number}, {tensor}", getattr(layer, tensor), layer.format_of(tensor),
                   shapes.get(tensor, (H,)))
        rules.stable(number, layer)

    def _check_edge(self) -> None:
        tokens, edge, x = self.vocab > 0, self.edge, self.layers[0].fmt.x
        need(tokens == (edge.sample is None),
             "the sample format must be there for samples and missing for tokens")
        H = self.H
        inside("enc_w", self.enc_w, x if tokens else edge.enc_w,
               (self.vocab, H) if tokens else (H,))
        inside("enc_b", self.enc_b, edge.enc_b, (0,) if tokens else (H,))
        inside("dec_w", self.dec_w, edge.dec_w, (self.n_classes, H))
        inside("dec_b", self.dec_b, edge.dec_b, (self.n_classes,))
        if not tokens:
            product = edge.enc_w.f_bits + edge.sample.f_bits
            need(product >= max(edge.enc_b.f_bits, x.f_bits),
                 f"enc_w {edge.enc_w} * sample {edge.sample} has fewer fraction bits than enc_b "
                 f"{edge.enc_b} or x {x}")
        need(edge.dec_b.f_bits == edge.dec_w.f_bits + x.f_bits,
             f"dec_b {edge.dec_b} must have the fraction bits of dec_w * x")


SCALARS = ("task", "n_classes", "length", "vocab", "mixer", "residual", "norm_position",
           "fires_at_zero", "threshold", "rounding", "seed")


def _arrays(art: GatedArtifact) -> dict[str, np.ndarray]:
    out = {name: getattr(art, name) for name in EDGE_ARRAYS}
    for number, layer in enumerate(art.layers):
        out |= {f"layer{number}.{name}": getattr(layer, name) for name in TENSORS}
    return {name: np.asarray(raw, np.int64) for name, raw in out.items()}


def save(art: GatedArtifact, folder: Path) -> Path:
    """Write a checked artifact; each file to a temporary name first. Returns the folder."""
    art.check()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **_arrays(art))
    manifest = {"schema": SCHEMA, "network": NETWORK} | {
        name: getattr(art, name) for name in SCALARS} | {
        "shape": {"layers": len(art.layers), "H": art.H, "n": art.n},
        "formats": art.formats.to_dict(), "info": art.info,
        "arrays_sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}
    text = json.dumps(manifest, indent=1) + "\n"
    return write_all_atomic(folder, {"arrays.npz": buffer.getvalue(),
                                     "manifest.json": text})


def load(folder: Path) -> GatedArtifact:
    """Read and check an artifact; ``ArtifactError`` in one line for anything wrong."""
    m, arrays = artifact.read(folder)
    if m.get("network") != NETWORK:
        raise ArtifactError(f"{folder} is no Binary S4D or GSU network; read it with "
                            f"quant.integer.artifact.load")
    try:
        formats = GatedNetworkFormats.from_dict(m["formats"])
        layers = tuple(GatedLayer(fmt, *(arrays[f"layer{number}.{name}"] for name in TENSORS))
                       for number, fmt in enumerate(formats.layers))
        art = GatedArtifact(**{name: m[name] for name in SCALARS}, random=formats.random,
                            edge=formats.edge, layers=layers, info=m["info"],
                            **{name: arrays[name] for name in EDGE_ARRAYS})
        for name in ("fires_at_zero", "threshold"):
            if type(m[name]) is not int:
                raise TypeError(f"{name} must be a whole number, not {m[name]!r}")
    except (FormatError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ArtifactError(f"{folder}/manifest.json: {error}; export again") from None
    return art.check()
