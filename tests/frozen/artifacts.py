"""What the record asks of artifacts, their networks and hardware.

When the project's API moves, this changes, and the record does not. What a function returns has
today's names and meanings. Integers are numpy arrays or ints, real numbers float64.
"""

import json
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from amaranth.back import rtlil as backend

from quant.integer import artifact, head, reference, vectors
from quant.integer.artifact import Artifact
from quant.integer.membrane import Integrate
from quant.integer.memory import Fire, States
from quant.integer.network import IntegerNetwork
from quant.tune import convert, ranges
from quant.tune.draws import LfsrDraws
from quant.tune.qat import QuantNetwork
from rtl import cycles
from rtl.core import Core
from rtl.parts.config import HardwareConfig
from rtl.plan import plan

HERE = Path(__file__).resolve().parent


def artifact_names() -> list[str]:
    """Of all frozen artifacts."""
    with zipfile.ZipFile(HERE / "artifacts.zip") as file:
        return list(dict.fromkeys(name.split("/")[0] for name in file.namelist()))


def load_artifact(name: str) -> Artifact:
    """A frozen artifact, through the loader for files."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(HERE / "artifacts.zip") as file:
        for part in ("manifest.json", "arrays.npz"):
            file.extract(f"{name}/{part}", folder)
        found = artifact.load(Path(folder) / name)
        manifest = json.loads((Path(folder) / name / "manifest.json").read_text())
    return replace(found, info={"manifest": manifest})


def is_spiking(art) -> bool:
    """Whether it is a P-SpikeSSM network, whose Trace has spikes and a signature."""
    return any(isinstance(op, Fire) for op in art.blocks[0])


def is_newer(art) -> bool:
    """Whether networks of its kind were refused when the record was made."""
    return any(isinstance(op, Integrate) for op in art.blocks[0])


def has_head(art) -> bool:
    return art.head is not None


def limits(art) -> tuple[int, int, int]:
    """Lowest and highest raw sample or token, and the longest sequence."""
    if art.vocab:
        return 0, art.vocab - 1, art.length
    return art.sample.lo, art.sample.hi, art.length


def _stream_layer(ops) -> dict:
    """Operations of Binary S4D or GSU by what they were: norm, states, value, gate, table."""
    found = {}
    for op in ops:
        kind = type(op).__name__
        if kind == "Scale":
            found["norm"] = op
        elif kind == "Mix":
            found[op.makes] = op
        elif kind in ("States", "Table", "Ternary", "Step"):
            found[kind] = op
        elif kind == "Limit":
            found.setdefault("limits", {}).setdefault((op.makes, op.counted), op)
        elif kind == "Add":
            found["add"] = op
    return found


def tensors(art) -> dict[str, np.ndarray]:
    """All integers by name: ``enc_w``, ``layer0.a_re``, ``head.w1``, ``directions``, ..."""
    found = {"dec_w": art.decoder_w.raw, "dec_b": art.decoder_b.raw}
    first = art.first[0].tensors
    found |= {"enc_w": first["table"].raw} if art.vocab else {
        "enc_w": first["a"].raw, "enc_b": first["b"].raw}
    if art.head:
        found |= art.head.arrays()
    if is_spiking(art):
        net = art.spiking
        found["directions"] = net.directions
        for j, layer in enumerate(net.layers):
            found |= {f"layer{j}.{name}": raw for name, raw in vars(layer).items() if name != "fmt"}
    else:
        for j, ops in enumerate(art.blocks):
            of = _stream_layer(ops)
            layer = {"alpha": of["norm"].a, "beta": of["norm"].b, "w": of["n"].w,
                     "shift": of["n"].shift, "bias": of["n"].bias, "gate_w": of["gate"].w,
                     "gate_shift": of["gate"].shift, "gate_bias": of["gate"].bias,
                     "table": of["Table"].table} | of["States"].tensors
            found |= {f"layer{j}.{name}": t.raw for name, t in layer.items() if t is not None}
    return {name: np.asarray(raw, np.int64) for name, raw in found.items() if raw.size}


def scalars(art) -> dict:
    """Everything of the manifest that decides behaviour and is no format."""
    found = {name: getattr(art, name) for name in ("n_classes", "length", "vocab", "seed")}
    if is_spiking(art):
        net = art.spiking
        return found | {name: getattr(net, name) for name in ("residual", "rounding", "act",
                                                              "sampling")}
    of = _stream_layer(art.blocks[0])
    gsu = "Ternary" in of
    return found | {
        "residual": "plain" if "add" in of else "none", "rounding": of["States"].rounding,
        "mixer": "gsu" if gsu else "glu",
        "norm_position": "pre" if of["norm"].makes == "u" else "post",
        # what a neuron has not is as the file of schema 1 says
        "fires_at_zero": art.info.get("manifest", {}).get("fires_at_zero", 1) if gsu
        else int(of["Step"].fires_at_zero),
        "threshold": int(of["Ternary"].threshold.raw) if gsu
        else art.info.get("manifest", {}).get("threshold", 38)}


def formats(art) -> dict:
    """Number formats as text, and the generator's numbers.

    Those of tensors that a network has not were in files of schema 1, and are taken from there.
    """
    found, m = _formats(art), art.info.get("manifest")
    if m is None:
        return found
    of = m.get("formats", {"layers": m.get("layer_formats"), "edge": m.get("edge_formats")})
    unused = ["y"] if "network" in m else ["x"] * (m["residual"] in ("none", "clampfuse"))
    for layer, written in zip(found["layers"], of["layers"]):
        layer |= {name: fmt for name, fmt in written.items() if name in unused and (
            name == "x" or name not in layer)}
        if "network" not in m and m["residual"] in ("none", "clampfuse"):
            layer |= {name: written[name] for name in ("alpha", "beta")}
    found["edge"] = of["edge"] | found["edge"]
    return found


def _formats(art) -> dict:
    head_formats = {"head": art.head.fmt.to_dict()} if art.head else {}
    rounding = next(op.rounding for op in art.blocks[0] if isinstance(op, States))
    common = {"random": art.random.to_dict(), "rounding": rounding}
    edge = {"sample": art.sample and str(art.sample),
            "dec_w": str(art.decoder_w.fmt), "dec_b": str(art.decoder_b.fmt)}
    if not art.vocab:
        edge |= {"enc_w": str(art.first[0].a.fmt), "enc_b": str(art.first[0].b.fmt)}
    if is_spiking(art):
        return {"layers": [layer.fmt.to_dict() for layer in art.spiking.layers],
                "edge": edge} | common | head_formats
    layers = []
    for ops in art.blocks:
        of = _stream_layer(ops)
        states, limits_ = of["States"], of["limits"]
        layer = {"alpha": of["norm"].a.fmt, "beta": of["norm"].b.fmt, "a_bar": states.a_re.fmt,
                 "g": states.g_re.fmt, "h": states.h, "drive": states.d.fmt, "w": of["n"].w.fmt,
                 "shift": of["n"].shift.fmt, "bias": of["n"].bias.fmt, "gate_w": of["gate"].w.fmt,
                 "gate_bias": of["gate"].bias.fmt, "n": limits_["n", True].to,
                 "gate": (limits_["gate", True].to if ("gate", True) in limits_
                          else of["Table"].table.fmt),
                 "index": of["Table"].index, "table": of["Table"].table.fmt,
                 "x": limits_["x", True].to,
                 "u": limits_["u", True].to if ("u", True) in limits_ else limits_["x", True].to}
        if ("y_in", True) in limits_:
            layer["y"] = limits_["y_in", True].to
        layers.append({name: str(fmt) for name, fmt in layer.items()})
    return {"layers": layers, "edge": edge} | common


def trace(art, values: np.ndarray) -> dict:
    """What the reference says of one sequence."""
    if is_spiking(art):
        return vars(reference.run(art, values))
    found = reference.execute(art, values)
    v = found.values
    over = [found.over.get({"y": "y_in"}.get(name, name), np.zeros(len(art.blocks) + 1, np.int64))
            for name in ("u", "h", "y", "n", "gate", "x")]
    u = v["u"] if "u" in v else np.stack([encoded(art, values), *v["x"][:-1]])
    return {"u": u, "h_re": found.h_re, "h_im": found.h_im, "y": v["y"], "s": v["s_out"],
            "n": v["n"], "gate": v["gate"], "x": v["x"], "logits": found.logits,
            "label": found.label, "saturations": np.stack(over, 1)}


def encoded(art, values: np.ndarray) -> np.ndarray:
    """The first block's input (L, H)."""
    run = reference.Running(art.first, {"v": art.input_format}, None)
    return np.stack([run(v=np.array([v])) for v in values])


def fast(art, values: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Logits, labels, saturations and spikes of the fast integer network, on one thread."""
    batch = IntegerNetwork(art, threads=1).run(values, lengths)
    saturations = batch.saturations
    if not is_spiking(art):
        none = np.zeros_like(next(iter(batch.over.values())))
        saturations = np.stack([batch.over.get({"y": "y_in"}.get(name, name), none)
                                for name in ("u", "h", "y", "n", "gate", "x")], 2)
    return {"logits": batch.logits, "labels": batch.labels, "saturations": saturations,
            "spikes": batch.spikes}


def golden_vectors(art, values: np.ndarray, lengths: np.ndarray) -> list[dict]:
    """The traces of a vector file."""
    return [vars(t) for t in vectors.make(art, values, lengths).traces]


def answers(art, logits: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
    """What a head says of pairs of sequences."""
    return vars(head.answers(art, logits, lengths))


def proven(art) -> list:
    """Lowest and highest of the states' proven ranges by layer; of real inputs the magnitude."""
    found = [ranges.proven(op, inputs[0], art.length) for _, op, inputs in art.operations()
             if isinstance(op, States)]
    return [[float(low.min()), float(high.max())] if is_spiking(art) else float(high.max())
            for low, high in found]


def lanes(art) -> list[int]:
    """Every number of lanes that fits; raises for an artifact that hardware refuses."""
    return plan(art, HardwareConfig(1)).geo.allowed()


def hardware(art, count: int, lengths: list[int]) -> tuple[list[tuple[int, int]], dict]:
    """Writes of the memory image, and what is predicted of the cycles."""
    hw = HardwareConfig(count)
    found = cycles.predict(art, hw, lengths)
    return plan(art, hw).writes(), {
        "results": found.results, "cycles_per_step": float(found.cycles_per_step),
        "roofline": found.roofline}


def rtlil(art, count: int) -> str:
    """The core in Amaranth's output format, of which yosys makes the Verilog."""
    return backend.convert(Core(art, HardwareConfig(count)), name="core", emit_src=False)


def model(art) -> torch.nn.Module:
    """The quantisation-aware model of an artifact's integers, float64."""
    return QuantNetwork(convert.to_program(art)).double()


def values_of(art, raw: torch.Tensor) -> torch.Tensor:
    """Raw samples as the model takes them, float64; tokens as they are."""
    return raw if art.vocab else raw.double() * 2.0 ** -art.sample.f_bits


def recurrence(net, art, values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Logits of the recurrent form with the artifact's own random words."""
    with torch.no_grad():
        return net(values, lengths, form="recurrence", draws=LfsrDraws(art))


def logit_bits(art) -> int:
    """Fraction bits of the reference's logits, or of the head's."""
    return (art.head.fmt.b2 if has_head(art) else art.decoder_b.fmt).f_bits
