"""Artifacts of schema 1: two kinds of network, each with a layout of its own, as operations.

The sha256 in such a file is over the arrays alone. So every key must be there, of its own type, and
what the manifest says twice, or says of the arrays, must agree.
"""

import hashlib
from reprlib import repr as shown

import numpy as np

from golden.base.qformat import QFormat
from quant.formats import (STREAMS, THRESHOLD, EdgeFormats, LayerFormats, RandomFormat)
from quant.integer.head import TENSORS, Head
from quant.integer.memory import States
from quant.integer.operation import Operation, Tensor, need
from quant.integer.ops import Add, Limit, Mix, Product, Scale, Step, Table, Ternary
from quant.integer.program import Artifact
from quant.integer.record import keys
from quant.integer.spiking import (ACTS, NO_DIRECTIONS, RESIDUALS, Layer, Spiking, encoder_pattern,
                                   filled)

FACTS = ("task", "n_classes", "length", "vocab", "seed", "info")
BOTH = ("schema", *FACTS, "shape", "rounding", "residual", "arrays_sha256")
OF_SAMPLERS = (*BOTH, "act", "sampling", "random", "edge_formats", "layer_formats")
OF_STREAM = (*BOTH, "network", "mixer", "norm_position", "fires_at_zero", "threshold", "formats")
STREAM = {"network": ("gated",), "mixer": ("glu", "gsu"), "residual": ("none", "plain"),
          "norm_position": ("pre", "post"), "fires_at_zero": (0, 1),
          "threshold": tuple(range(THRESHOLD.hi + 1))}
STREAM_FORMATS = ("x", "u", "a_bar", "g", "h", "drive", "alpha", "beta", "w", "shift", "bias", "n",
                  "gate_w", "gate_bias", "gate", "index", "table", "y")
STREAM_TENSORS = ("a_re", "a_im", "g_re", "g_im", "d", "alpha", "beta", "w", "shift", "bias",
                  "gate_w", "gate_shift", "gate_bias", "table")
EDGE = ("enc_w", "enc_b", "dec_w", "dec_b")


def sha256(packed: bytes) -> str:
    """Of the file of the arrays, as the manifest has it."""
    return hashlib.sha256(packed).hexdigest()


def artifact(m: dict, arrays: dict[str, np.ndarray]) -> Artifact:
    """The network of a manifest of schema 1 and of its arrays, not yet checked."""
    of_stream = "network" in m
    keys(m, OF_STREAM if of_stream else OF_SAMPLERS, "the manifest",
         () if of_stream else ("head_formats",))
    allowed = STREAM if of_stream else {"act": ACTS, "residual": RESIDUALS}
    for name, values in allowed.items():
        need(type(m[name]) is type(values[0]) and m[name] in values,
             f"{name} must be one of {', '.join(map(str, values[:10]))}, not {shown(m[name])}")
    formats = (keys(m["formats"], ("edge", "random", "rounding", "layers"), "formats") if of_stream
               else {"edge": m["edge_formats"], "random": m["random"],
                     "rounding": m["rounding"], "layers": m["layer_formats"]})
    need(formats["rounding"] == m["rounding"], f"rounding is {shown(m['rounding'])} and "
                                               f"{shown(formats['rounding'])}")
    need(isinstance(formats["layers"], list) and formats["layers"] and isinstance(m["info"], dict),
         "the formats of layers must be a list, info an object")
    edge = EdgeFormats.from_dict(formats["edge"])
    head = Head.of(m["head_formats"], arrays) if "head_formats" in m else None
    _check_arrays(m, arrays, formats["layers"], of_stream)
    parts = (_stream if of_stream else _spiking)(m, arrays, edge, formats["layers"])
    return Artifact(**{name: m[name] for name in FACTS}, permutation=m["info"].get("permutation"),
                    sample=edge.sample, random=RandomFormat.from_dict(formats["random"]), **parts,
                    head=head)


def _check_arrays(m: dict, arrays: dict, layers: list, of_stream: bool) -> None:
    """Just the tensors that the manifest speaks of, as many and as large as its shape says."""
    keys(m["shape"], ("layers", "H", "n"), "shape")
    if of_stream:
        names = [STREAM_TENSORS] * len(layers)
    else:
        later = ("a", "gain", *States.OF_BLOCK)
        usual = [name for name in (*Layer.FORMAT_OF, "negate") if name not in later]
        names = [(*usual, *(name for name in ("a", "gain") if name in formats))
                 for formats in layers if isinstance(formats, dict)]
    wanted = {f"layer{j}.{name}" for j, of_layer in enumerate(names) for name in of_layer}
    wanted |= {*EDGE, *(f"head.{name}" for name in TENSORS if "head_formats" in m),
               *(["directions"] if m.get("sampling") == "sobol" else [])}
    keys(arrays, tuple(wanted), "the arrays")
    found = {"layers": len(layers), "H": arrays["dec_w"].shape[-1:],
             "n": arrays["layer0.a_re"].shape[-1:]}
    found |= {name: size[0] for name, size in found.items() if isinstance(size, tuple) and size}
    need(m["shape"] == found, f"shape is {shown(m['shape'])}, but the arrays have {found}")
    for j in range(0 if of_stream else len(layers)):
        streams = [bool(arrays[f"layer{j}.{name}"].size) for name in ("alpha", "beta")]
        need(streams == 2 * [m["residual"] in STREAMS],
             f"layer {j}: residual is {m['residual']}, but alpha and beta are "
             f"{'there' if any(streams) else 'empty'}")
        need(np.isin(arrays[f"layer{j}.negate"], (0, 1)).all(), f"layer {j}: negate must be 0 or 1")


def _tensors(arrays: dict, j: int) -> dict[str, np.ndarray]:
    begin = f"layer{j}."
    return {name[len(begin):]: raw for name, raw in arrays.items() if name.startswith(begin)}


def _spiking(m: dict, arrays: dict, edge: EdgeFormats, layers: list) -> dict:
    layers = tuple(Layer(LayerFormats.from_dict(formats), **_tensors(arrays, j))
                   for j, formats in enumerate(layers))
    return Spiking(m["act"], m["residual"], m["rounding"], m["sampling"], edge, layers,
                   *(arrays[name] for name in EDGE),
                   arrays.get("directions", NO_DIRECTIONS)).parts()


def _stream(m: dict, arrays: dict, edge: EdgeFormats, layers: list) -> dict:
    """Operations and decoder of Binary S4D or the gated spiking unit."""
    layers = [{k: QFormat.parse(v) for k, v in keys(f, STREAM_FORMATS, f"layer {j}").items()}
              for j, f in enumerate(layers)]
    x = layers[0]["x"]
    named = {"x": x, "enc_w": Tensor(arrays["enc_w"], x if m["vocab"] else edge.enc_w),
             "enc_b": Tensor(arrays["enc_b"], edge.enc_b)}
    return {"first": filled(encoder_pattern(m["vocab"] != 0, True), named),
            "blocks": tuple(_stream_layer(m, j, _tensors(arrays, j), formats)
                            for j, formats in enumerate(layers)),
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
