"""Fine-tuned files of before there were operations: their formats, and their tensors' names."""

from dataclasses import replace

import numpy as np

from quant.formats import EdgeFormats, LayerFormats, QFormat
from quant.integer import schema1
from quant.integer.head_tensors import HeadFormats
from quant.integer.memory import Fire, States
from quant.integer.operation import Tensor
from quant.integer.ops import Add, Embed, Mix, Scale
from quant.integer.program import Program
from quant.integer.spiking import Layer, Spiking
from quant.tune import convert


def formatted(program: Program, formats: dict) -> Program:
    """A folded network with the formats of such a file."""
    edge, nothing = EdgeFormats.from_dict(formats["edge"]), np.zeros(0, np.int64)
    tokens = isinstance(program.first[0], Embed)
    if any(isinstance(op, Fire) for op in program.blocks[0]):
        net = _spiking_like(program, formats, edge)
        if tokens:
            net = replace(net, edge=replace(edge, sample=None))
        like = net.parts()
    else:
        kinds = {type(op) for op in program.blocks[0]}
        manifest = {"vocab": int(tokens), "rounding": formats["rounding"],
                    "formats": {"layers": formats["layers"]}, "threshold": 0, "fires_at_zero": 1,
                    "mixer": "gsu" if any(t.__name__ == "Ternary" for t in kinds) else "glu",
                    "norm_position": "pre" if "u" in {op.makes for op in program.blocks[0]}
                    else "post", "residual": "plain" if Add in kinds else "none"}
        arrays = {name: nothing for name in ("enc_w", "enc_b", "dec_w", "dec_b")} | {
            f"layer{j}.{name}": nothing for j in range(len(program.blocks)) for name in (
                "alpha", "beta", "a_re", "a_im", "g_re", "g_im", "d", "w", "shift", "bias",
                "gate_w", "gate_shift", "gate_bias", "table")}
        like = schema1.stream(manifest, arrays, edge)
    like = _in_order(Program(vocab=program.vocab, sample=edge.sample, **like), program)
    made = convert.in_formats_of(program, like, lambda name, t, fmt: Tensor(t.raw, fmt))
    return replace(made, head=program.head and replace(
        program.head, fmt=HeadFormats.from_dict(formats["head"])))


def _spiking_like(program: Program, formats: dict, edge: EdgeFormats) -> Spiking:
    """A network of the program's operations and of the file's formats, without numbers."""
    ops, nothing = program.blocks[0], np.zeros(0, np.int64)
    layers = tuple(Layer(LayerFormats.from_dict(texts), *[nothing] * 15)
                   for texts in formats["layers"])
    stream = ops[0].wiring == "x -> p_in"
    joins = [op.wiring for op in ops if isinstance(op, Add)]
    residual = (("plain" if joins else "replace") if stream else
                "clampfuse" if joins else "none")
    act = next((op.kind for op in ops if type(op).__name__ == "Curve" and op.makes == "z"),
               "identity")
    return Spiking(act, residual, formats["rounding"], "bernoulli", edge, layers, *[nothing] * 4)


def _in_order(like: Program, program: Program) -> Program:
    """The operations of ``like`` in the order of the program's, by what they are and make."""
    def key(op):
        return type(op).__name__, op.wiring

    blocks = []
    for ops, others in zip(program.blocks, like.blocks):
        left, found = list(others), []
        for op in ops:
            at = next((i for i, other in enumerate(left) if key(other) == key(op)), None)
            found += [] if at is None else [left.pop(at)]
        blocks.append(tuple(found))
    return replace(like, blocks=tuple(blocks))


def state(values: dict, net) -> dict:
    """A file's tensors under the model's names of today, from either form."""
    own = net.state_dict()
    if not set(values) - set(own):
        return values
    today = {}
    for j, block in enumerate(net.blocks):
        for i, module in enumerate(block):
            for name, old in _old_names(module.op).items():
                today[f"blocks.{j}.{old}"] = f"blocks.{j}.{i}.{name}"
    today |= {"embedding": "first.0.table", "encoder.weight": "first.0.linear.weight",
              "enc_b": "first.0.b"}
    found = {}
    for name, tensor in values.items():
        new = today.get(name, name)
        if new in own:
            found[new] = tensor
    return found


def _old_names(op) -> dict[str, str]:
    """Name of each of an operation's tensors: its own, and the one in a block of before."""
    if isinstance(op, States):
        return {name: name for name in ("log_decay", "angle", "g_re", "g_im", "d")}
    if isinstance(op, Mix):
        gate = op.makes == "gate"
        return {"linear.weight": "gate.weight" if gate else "mixer.weight",
                "bias": "gate_bias" if gate else "bias"}
    if isinstance(op, Scale):
        if op.makes in ("p_in", "u", "x"):
            return {"a": "alpha", "b": "beta"}
        if op.makes in ("p_out", "y"):
            return {"a": "a", "b": "b"}
        return {"b": "addend"} if op.b else {"a": "sign" if op.a.fmt == QFormat(2, 0, True)
                                             else "gain"}
    return {"table": "table"} if type(op).__name__ == "Table" else {}
