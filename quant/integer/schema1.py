"""Artifacts of schema 1: two kinds of network, each with a layout of its own, as operations."""

import hashlib
import io
from pathlib import Path

import numpy as np

from golden.base.qformat import QFormat
from quant.formats import THRESHOLD, EdgeFormats, LayerFormats, RandomFormat
from quant.integer.head import Head
from quant.integer.memory import States
from quant.integer.operation import ArtifactError, Operation, Tensor, need
from quant.integer.ops import Add, Limit, Mix, Product, Scale, Step, Table, Ternary
from quant.integer.program import Artifact
from quant.integer.spiking import (ACTS, NO_DIRECTIONS, RESIDUALS, Layer, Spiking, encoder_pattern,
                                   filled)

STREAM = {"network": ("gated",), "mixer": ("glu", "gsu"), "residual": ("none", "plain"),
          "norm_position": ("pre", "post"), "fires_at_zero": (0, 1)}


def artifact(m: dict, packed: bytes, folder: Path) -> Artifact:
    """The network of a manifest of schema 1 and of its array file, not yet checked."""
    if hashlib.sha256(packed).hexdigest() != m.get("arrays_sha256"):
        raise ArtifactError(f"{folder}/arrays.npz does not match the manifest's sha256: truncated "
                            f"or edited; export again")
    with np.load(io.BytesIO(packed), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    of_stream = "network" in m
    allowed = STREAM if of_stream else {"act": ACTS, "residual": RESIDUALS}
    for name, values in allowed.items():
        need(m[name] in values, f"{folder}/manifest.json: {name} must be one of "
                                f"{', '.join(map(str, values))}, not {m[name]!r}")
    formats = m["formats"] if of_stream else {"edge": m["edge_formats"], "random": m["random"]}
    edge = EdgeFormats.from_dict(formats["edge"])
    head = Head.of(m["head_formats"], arrays) if "head_formats" in m else None
    parts = (stream if of_stream else _spiking)(m, arrays, edge)
    return Artifact(**{name: m[name] for name in ("task", "n_classes", "length", "vocab", "seed",
                                                  "info")},
                    sample=edge.sample, random=RandomFormat.from_dict(formats["random"]), **parts,
                    head=head)


def _tensors(arrays: dict, j: int) -> dict[str, np.ndarray]:
    begin = f"layer{j}."
    return {name[len(begin):]: raw for name, raw in arrays.items() if name.startswith(begin)}


def _spiking(m: dict, arrays: dict, edge: EdgeFormats) -> dict:
    layers = tuple(Layer(LayerFormats.from_dict(formats), **_tensors(arrays, j))
                   for j, formats in enumerate(m["layer_formats"]))
    return Spiking(m["act"], m["residual"], m["rounding"], m["sampling"], edge, layers,
                   *(arrays[name] for name in ("enc_w", "enc_b", "dec_w", "dec_b")),
                   arrays.get("directions", NO_DIRECTIONS)).parts()


def stream(m: dict, arrays: dict, edge: EdgeFormats) -> dict:
    """Operations and decoder of Binary S4D or the gated spiking unit."""
    layers = m["formats"]["layers"]
    x = QFormat.parse(layers[0]["x"])
    named = {"x": x, "enc_w": Tensor(arrays["enc_w"], x if m["vocab"] else edge.enc_w),
             "enc_b": Tensor(arrays["enc_b"], edge.enc_b)}
    return {"first": filled(encoder_pattern(m["vocab"] > 0, True), named),
            "blocks": tuple(_stream_layer(m, j, _tensors(arrays, j),
                                          {k: QFormat.parse(v) for k, v in layers[j].items()})
                            for j in range(len(layers))),
            "decoder_w": Tensor(arrays["dec_w"], edge.dec_w),
            "decoder_b": Tensor(arrays["dec_b"], edge.dec_b)}


def _stream_layer(m: dict, j: int, raw: dict, f: dict[str, QFormat]) -> tuple[Operation, ...]:
    """Binary S4D (mixer glu) or the gated spiking unit (gsu)."""
    formats = {"a_re": "a_bar", "a_im": "a_bar", "g_re": "g", "g_im": "g", "d": "drive",
               "gate_shift": "shift"}
    t = {name: Tensor(values, f[formats.get(name, name)]) for name, values in raw.items()}
    pre, gsu = m["norm_position"] == "pre", m["mixer"] == "gsu"
    norm = ((Scale("x -> u", t["alpha"], t["beta"]), Limit("u -> u", f["u"])) if pre else
            (Scale("x -> x", t["alpha"], t["beta"]), Limit("x -> x", f["x"])))
    states = States("u -> y" if pre else "x -> y",
                    *(t[name] for name in ("a_re", "a_im", "g_re", "g_im", "d")), f["h"],
                    m["rounding"], j)
    if gsu:
        threshold = Tensor(np.array(m["threshold"]), THRESHOLD)
        neuron = (Limit("y -> y_in", f["y"]), Table("y_in -> a", "gelu", f["index"], t["table"]),
                  Ternary("a -> s_out", threshold))
        gate = Mix("a -> gate", t["gate_w"], t["gate_bias"]), Limit("gate -> gate", f["gate"])
    else:
        neuron = (Step("y -> s_out", bool(m["fires_at_zero"])),)
        gate = (Mix("s_out -> gate", t["gate_w"], t["gate_bias"], t["gate_shift"]),
                Limit("gate -> gate", f["index"], counted=False),
                Table("gate -> gate", "sigmoid", f["index"], t["table"]))
    value = Mix("s_out -> n", t["w"], t["bias"], t["shift"]), Limit("n -> n", f["n"])
    end = (Product("n gate -> z"), *((Add("z x -> z"),) if m["residual"] == "plain" else ()),
           Limit("z -> x", f["x"]))
    return (*(norm if pre else ()), states, *neuron, *gate, *value, *end,
            *(() if pre else norm))
