"""P-SpikeSSM's blocks, recognised: what hardware and the compiled network make of the operations.

One block, in the order of its operations (in brackets what a network may lack):

    [p_in = alpha x + beta,]  s_in = Fire(p_in),  y = States(s_in),
    y = y + b   or   p_out = a GELU(y) + b,       s_out = Fire,
    z = +-act(Mix(s_out)),  [z = x + z,]  [z = round(gain z),]  z = z + addend,  [z = z + x,]
    x = Clamp(z), or of a real-valued stream Limit(z)

:func:`pattern` is that list; :func:`operations` fills a :class:`Layer` in, :func:`recognise` reads
one off.
"""

from dataclasses import dataclass, field, fields, replace
from functools import reduce
from itertools import zip_longest

import numpy as np

from golden.base.qformat import FormatError, QFormat, wider
from quant.formats import STREAMS, TERNARY, EdgeFormats, LayerFormats
from quant.integer.memory import Fire, States
from quant.integer.operation import ArtifactError, Operation, Tensor
from quant.integer.ops import Add, Clamp, Curve, Embed, Limit, Mix, Round, Scale

ABSENT = np.zeros(0, np.int64)
NO_DIRECTIONS = np.zeros((0, 0), np.int64)
RESIDUALS = ("none", "clampfuse", "plain", "replace")
ACTS = ("relu", "identity", "gelu")


@dataclass(frozen=True)
class Layer:
    """Integer tensors of one block; shapes and formats as in :class:`quant.formats.LayerFormats`.

    w is (H_out, H_in); negate is 0 or 1 per row: the activation's sign after the folded norm.
    alpha and beta exist with a residual of ``STREAMS`` only, a with a GELU before the output
    sampler, gain with a norm that does not fold into w, those of ``States.OF_BLOCK`` with two steps
    per update; else they are empty.
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
    alpha: np.ndarray = field(default_factory=lambda: ABSENT)
    beta: np.ndarray = field(default_factory=lambda: ABSENT)
    a: np.ndarray = field(default_factory=lambda: ABSENT)
    gain: np.ndarray = field(default_factory=lambda: ABSENT)
    a2_re: np.ndarray = field(default_factory=lambda: ABSENT)
    a2_im: np.ndarray = field(default_factory=lambda: ABSENT)
    g1_re: np.ndarray = field(default_factory=lambda: ABSENT)
    g1_im: np.ndarray = field(default_factory=lambda: ABSENT)
    d1: np.ndarray = field(default_factory=lambda: ABSENT)

    FORMAT_OF = {"a_re": "a_bar", "a_im": "a_bar", "g_re": "g", "g_im": "g", "d": "drive",
                 "b": "drive", "w": "w", "shift": "shift", "bias": "bias", "addend": "addend",
                 "alpha": "alpha", "beta": "beta", "a": "a", "gain": "gain", "a2_re": "a_bar",
                 "a2_im": "a_bar", "g1_re": "g", "g1_im": "g", "d1": "drive"}

    @property
    def block(self) -> int:
        """Steps per update of the states, 1 or 2."""
        return 2 if self.a2_re.size else 1

    def tensor(self, name: str) -> Tensor:
        return Tensor(getattr(self, name), getattr(self.fmt, self.FORMAT_OF[name]))


@dataclass(frozen=True)
class Spiking:
    """A whole recognised network."""

    act: str                     # relu, identity or gelu
    residual: str                # none, clampfuse, plain, or replace: the stream becomes z
    rounding: str                # of the state: stochastic or half_even
    sampling: str                # form of the samplers, see quant.integer.sampling
    edge: EdgeFormats
    layers: tuple[Layer, ...]
    enc_w: np.ndarray            # (H,), or the embedding (vocab, H) in p's (a stream's: x's) format
    enc_b: np.ndarray            # (H,), empty for tokens
    dec_w: np.ndarray            # (outputs, H): a row for each class, or for each feature
    dec_b: np.ndarray            # (outputs,)
    directions: np.ndarray = field(default_factory=lambda: NO_DIRECTIONS)   # of sobol, k bits each

    @property
    def streams(self) -> bool:
        """Whether a real-valued x flows between blocks; else the next probability does."""
        return self.residual in STREAMS

    @property
    def x_format(self) -> QFormat:
        fmt = self.layers[-1].fmt
        return fmt.x if self.streams else fmt.p

    def parts(self) -> dict:
        """``first``, ``blocks`` and the decoder of ``quant.integer.program.Artifact``."""
        edge, named = self.edge, {
            "x": self.layers[0].fmt.x, "p_bits": self.layers[0].fmt.p.f_bits,
            "enc_w": Tensor(self.enc_w, self.edge.enc_w if self.edge.sample else self.x_format),
            "enc_b": Tensor(self.enc_b, self.edge.enc_b)}
        return {"first": filled(encoder_pattern(edge.sample is None, self.streams), named),
                "blocks": tuple(operations(layer, j, self) for j, layer in enumerate(self.layers)),
                "decoder_w": Tensor(self.dec_w, edge.dec_w),
                "decoder_b": Tensor(self.dec_b, edge.dec_b)}


class Of(str):
    """Stands in a pattern for what a network has under this name: a tensor, format or number."""


def encoder_pattern(tokens: bool, streams: bool) -> list[Operation]:
    """The operations in front of the blocks."""
    if tokens:
        return [Embed("v -> x", Of("enc_w"))]
    scale, limit = Scale("v -> x", Of("enc_w"), Of("enc_b")), Limit("x -> x", Of("x"))
    return [scale, limit] if streams else [scale, Round("x -> x", Of("p_bits")), Clamp("x -> x")]


def pattern(j: int, act: str, residual: str, rounding: str, sampling: str, gelu_out: bool,
            gain: bool, block: int = 1) -> list[Operation]:
    """The operations of layer j, with a GELU before its output sampler, with a norm's gain, with
    ``block`` steps per update."""
    streams = residual in STREAMS
    rows = [Of("row_in"), Of("row_out")] if sampling == "sobol" else [None, None]
    states = map(Of, ("a_re", "a_im", "g_re", "g_im", "d", "h"))
    of_block = map(Of, States.OF_BLOCK) if block == 2 else ()
    found = [Scale("x -> p_in", Of("alpha"), Of("beta"))] if streams else []
    found += [Fire(f"{'p_in' if streams else 'x'} -> s_in", sampling, 2 * j, rows[0]),
              States("s_in -> y", *states, rounding, j, *of_block)]
    found += ([Curve("y -> v", "gelu"), Scale("v -> p_out", Of("a"), Of("b"))] if gelu_out else
              [Scale("y -> y", None, Of("b"))])
    found.append(Fire(f"{'p_out' if gelu_out else 'y'} -> s_out", sampling, 2 * j + 1, rows[1]))
    return found + ending(act, residual, gain)


def ending(act: str, residual: str, gain: bool) -> list[Operation]:
    """The operations of a layer from the output spikes to its x."""
    found = [Mix("s_out -> z", Of("w"), Of("bias"), Of("shift"))]
    found += [Curve("z -> z", act)] if act != "identity" else []
    found.append(Scale("z -> z", Of("sign")))
    found += [Add("x z -> z")] if residual == "plain" else []
    found += [Scale("z -> z", Of("gain")), Round("z -> z", Of("p_bits"))] if gain else []
    found.append(Scale("z -> z", None, Of("addend")))
    found += [Add("z x -> z")] if residual == "clampfuse" else []
    return [*found, Limit("z -> x", Of("x")) if residual in STREAMS else Clamp("z -> x")]


def filled(wanted: list[Operation], named: dict) -> tuple[Operation, ...]:
    """The operations of a pattern with what a network has under its names."""
    return tuple(replace(op, **{name: named[value] for name, value in vars(op).items()
                                if isinstance(value, Of)}) for op in wanted)


def matched(ops: tuple[Operation, ...], wanted: list[Operation], where: str) -> dict:
    """Inverse of :func:`filled`; ``ArtifactError`` names the first operation of another kind."""
    named = {}
    for op, want in zip_longest(ops, wanted):
        wrong = "" if type(op) is type(want) and op.wiring == want.wiring else (
            f"it ends where hardware needs {want}" if op is None else
            f"{op} comes after the last operation that hardware has" if want is None else
            f"found {op}, but hardware needs {want} here")
        for f in fields(op) if not wrong else ():
            has, as_wanted = getattr(op, f.name), getattr(want, f.name)
            if isinstance(as_wanted, Of) and has is not None:
                named[as_wanted] = has
            elif not f.metadata.get("training") and has != as_wanted:
                shown = ["a tensor" if isinstance(value, (Tensor, Of)) else value
                         for value in (has, as_wanted)]
                wrong = wrong or f"{op} has {f.name} = {shown[0]}, not {shown[1]}"
        if wrong:
            raise ArtifactError(f"{where}: {wrong}; hardware has only the operations of "
                                f"P-SpikeSSM's blocks, in their order. In integers this "
                                f"network runs with python -m quant.evaluate")
    return named


def operations(layer: Layer, j: int, net: Spiking) -> tuple[Operation, ...]:
    """The operations of layer j of a network."""
    f = layer.fmt
    named = {name: layer.tensor(name) for name, fmt in layer.FORMAT_OF.items()
             if getattr(f, fmt) and (layer.block == 2 or name not in States.OF_BLOCK)}
    for name, row in zip(("row_in", "row_out"), net.directions[2 * j:2 * j + 2]):
        named[name] = Tensor(row, QFormat(0, int(row.max()).bit_length() or 1, False))
    named |= {"h": f.h, "x": f.x, "p_bits": f.p.f_bits,
              "sign": Tensor(1 - 2 * layer.negate, TERNARY)}
    return filled(pattern(j, net.act, net.residual, net.rounding, net.sampling, bool(f.a),
                          bool(f.gain), layer.block), named)


def _layer(ops: tuple[Operation, ...], number: int) -> tuple[Layer, dict, list[np.ndarray]]:
    """A layer, its network's options as it shows them, and its samplers' direction numbers."""
    seen = {(type(op), op.wiring): op for op in reversed(ops)}
    first = {type(op): op for op in reversed(ops)}
    act, where = seen.get((Curve, "z -> z")), f"layer {number}"
    scales = [op for op in ops if isinstance(op, Scale) and op.wiring == "z -> z" and not op.b]
    joins = "plain" if (Add, "x z -> z") in seen else "replace"
    if (Scale, "x -> p_in") not in seen:
        joins = "clampfuse" if (Add, "z x -> z") in seen else "none"
    options = {"act": act.kind if act else "identity", "residual": joins,
               "rounding": getattr(first.get(States), "rounding", ""),
               "sampling": getattr(first.get(Fire), "form", ""),
               "gelu_out": (Curve, "y -> v") in seen, "gain": len(scales) > 1,
               "block": getattr(first.get(States), "block", 1)}
    named = matched(ops, pattern(number, **options), where)
    f, sign = named["bias"].fmt.f_bits, named["sign"]
    if sign.fmt != TERNARY or (abs(sign.raw) != 1).any() or named.get("p_bits", f) != f:
        raise ArtifactError(f"{where}: {scales[0]} must be a sign (1 or -1), and a gain "
                            f"must be rounded to {f} bits")
    tensors = {name: named[name] for name in Layer.FORMAT_OF if name in named}
    formats = {Layer.FORMAT_OF[name]: t.fmt for name, t in tensors.items()}
    x = named.get("x") or replace(LayerFormats().x, i_bits=2, f_bits=f)
    try:
        formats["drive"] = reduce(wider, [named[name].fmt for name in ("d", "d1", "b")
                                          if name in named])
        fmt = LayerFormats(h=named["h"], p=QFormat(1, f, False), x=x, **formats)
    except FormatError as error:
        raise ArtifactError(f"{where}: {error}; in integers this network runs with "
                            f"python -m quant.evaluate") from None
    layer = Layer(fmt, negate=(sign.raw < 0).astype(np.int64),
                  **{name: t.raw for name, t in tensors.items()})
    return layer, options, [named[row].raw for row in ("row_in", "row_out") if row in named]


def recognise(art) -> Spiking:
    """The network of an artifact; raises ``ArtifactError`` naming the first other operation."""
    found = [_layer(ops, number) for number, ops in enumerate(art.blocks)]
    options = found[0][1]
    for number, (_, own, _) in enumerate(found):
        if own != options:
            raise ArtifactError(f"layer {number} has {own}, but layer 0 has {options}; hardware "
                                f"needs layers of one kind")
    layers = tuple(layer for layer, _, _ in found)
    f, streams, usual = layers[0].fmt, options["residual"] in STREAMS, EdgeFormats()
    named = matched(art.first, filled(encoder_pattern(art.sample is None, streams), {
        "x": f.x, "p_bits": f.p.f_bits, "enc_w": Of("enc_w"), "enc_b": Of("enc_b")}), "encoder")
    enc_w, enc_b = named["enc_w"], named.get("enc_b", Tensor(ABSENT, usual.enc_b))
    edge = EdgeFormats(art.sample, enc_w.fmt if art.sample else usual.enc_w, enc_b.fmt,
                       art.decoder_w.fmt, art.decoder_b.fmt)
    rows = [row for *_, pair in found for row in pair]
    of_network = {name: options[name] for name in ("act", "residual", "rounding", "sampling")}
    return Spiking(**of_network, edge=edge, layers=layers, enc_w=enc_w.raw, enc_b=enc_b.raw,
                   dec_w=art.decoder_w.raw, dec_b=art.decoder_b.raw,
                   directions=np.stack(rows) if rows else NO_DIRECTIONS)
