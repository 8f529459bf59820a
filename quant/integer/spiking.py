"""P-SpikeSSM's blocks, recognised: what hardware and the compiled network make of the operations.

One block, in the order of its operations (in brackets what a network may lack):

    [p_in = alpha x + beta,]  s_in = Fire(p_in),  y = States(s_in),
    y = y + b   or   p_out = a GELU(y) + b,       s_out = Fire,
    z = +-act(Mix(s_out)),  [z = x + z,]  [z = round(gain z),]  z = z + addend,  [z = z + x,]
    x = Clamp(z), or of a real-valued stream Limit(z)

:func:`operations` writes a :class:`Layer` as such a list, :func:`recognise` reads one.
"""

from dataclasses import dataclass, field, replace

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
    alpha: np.ndarray = field(default_factory=lambda: ABSENT)
    beta: np.ndarray = field(default_factory=lambda: ABSENT)
    a: np.ndarray = field(default_factory=lambda: ABSENT)
    gain: np.ndarray = field(default_factory=lambda: ABSENT)

    FORMAT_OF = {"a_re": "a_bar", "a_im": "a_bar", "g_re": "g", "g_im": "g", "d": "drive",
                 "b": "drive", "w": "w", "shift": "shift", "bias": "bias", "addend": "addend",
                 "alpha": "alpha", "beta": "beta", "a": "a", "gain": "gain"}

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
        edge, f0 = self.edge, self.layers[0].fmt
        if edge.sample is None:
            first = (Embed("v -> x", Tensor(self.enc_w, self.x_format)),)
        else:
            scale = Scale("v -> x", Tensor(self.enc_w, edge.enc_w), Tensor(self.enc_b, edge.enc_b))
            end = ((Limit("x -> x", f0.x),) if self.streams else
                   (Round("x -> x", f0.p.f_bits), Clamp("x -> x")))
            first = (scale, *end)
        return {"first": first,
                "blocks": tuple(operations(layer, j, self) for j, layer in enumerate(self.layers)),
                "decoder_w": Tensor(self.dec_w, edge.dec_w),
                "decoder_b": Tensor(self.dec_b, edge.dec_b)}


def operations(layer: Layer, j: int, net: Spiking) -> tuple[Operation, ...]:
    """The operations of layer j of a network."""
    f, get, streams = layer.fmt, layer.tensor, net.streams
    sign = Tensor(1 - 2 * layer.negate, TERNARY)

    def fire(wiring, number):
        row = net.directions[number] if net.sampling == "sobol" else None
        k = None if row is None else QFormat(0, int(row.max()).bit_length() or 1, False)
        return Fire(wiring, net.sampling, number, None if row is None else Tensor(row, k))

    found = [Scale("x -> p_in", get("alpha"), get("beta"))] if streams else []
    found += [fire("p_in -> s_in" if streams else "x -> s_in", 2 * j),
              States("s_in -> y", *(get(name) for name in ("a_re", "a_im", "g_re", "g_im", "d")),
                     f.h, net.rounding, j)]
    if f.a:
        found += [Curve("y -> v", "gelu"), Scale("v -> p_out", get("a"), get("b")),
                  fire("p_out -> s_out", 2 * j + 1)]
    else:
        found += [Scale("y -> y", None, get("b")), fire("y -> s_out", 2 * j + 1)]
    found.append(Mix("s_out -> z", get("w"), get("bias"), get("shift")))
    if net.act != "identity":
        found.append(Curve("z -> z", net.act))
    found.append(Scale("z -> z", sign))
    if net.residual == "plain":
        found.append(Add("x z -> z"))
    if f.gain:
        found += [Scale("z -> z", get("gain")), Round("z -> z", f.p.f_bits)]
    found.append(Scale("z -> z", None, get("addend")))
    if net.residual == "clampfuse":
        found.append(Add("z x -> z"))
    found.append(Limit("z -> x", f.x) if streams else Clamp("z -> x"))
    return tuple(found)


class _Reader:
    """Operations of a layer taken one after the other."""

    def __init__(self, ops: tuple[Operation, ...], where: str):
        self.left, self.where = list(ops), where

    def fits(self, cls: type, /, **options) -> bool:
        """Whether the next one is of a class, with these options; of a tensor: whether it is there.
        """
        op = self.left[0] if self.left else None
        return type(op) is cls and all(
            (name in op.tensors) == want if name in ("a", "b", "shift")
            else getattr(op, name) == want for name, want in options.items())

    def take(self, cls: type, /, **options) -> Operation:
        """The next one; raises :class:`ArtifactError` naming it where it is another."""
        if not self.fits(cls, **options):
            found = f"{self.left[0]}" if self.left else "nothing"
            raise ArtifactError(
                f"{self.where}: {found} stands where a {cls.__name__} with "
                f"{', '.join(f'{k} = {v}' for k, v in options.items()) or 'any options'} would; "
                f"hardware has only the operations of P-SpikeSSM's blocks, in their order, yet: run "
                f"this network with python -m quant.evaluate")
        return self.left.pop(0)

    def maybe(self, cls: type, /, **options) -> Operation | None:
        return self.take(cls, **options) if self.fits(cls, **options) else None

    def end(self) -> None:
        if self.left:
            raise ArtifactError(f"{self.where}: {self.left[0]} stands behind what hardware has; "
                                f"run this network with python -m quant.evaluate")


def _layer(ops: tuple[Operation, ...], number: int) -> tuple[Layer, dict, tuple[Fire, Fire]]:
    """A layer, its network's options as it shows them, and its samplers."""
    r = _Reader(ops, f"layer {number}")
    affine = r.maybe(Scale, wiring="x -> p_in", a=True, b=True)
    fire_in = r.take(Fire, wiring=f"{'p_in' if affine else 'x'} -> s_in", number=2 * number)
    states = r.take(States, wiring="s_in -> y", layer=number)
    gelu = r.maybe(Curve, wiring="y -> v", kind="gelu")
    out = (r.take(Scale, wiring="v -> p_out", a=True, b=True) if gelu
           else r.take(Scale, wiring="y -> y", a=False, b=True))
    fire_out = r.take(Fire, wiring=f"{'p_out' if gelu else 'y'} -> s_out", number=2 * number + 1,
                      form=fire_in.form)
    mix = r.take(Mix, wiring="s_out -> z", shift=True)
    curve = r.maybe(Curve, wiring="z -> z")
    sign = r.take(Scale, wiring="z -> z", a=True, b=False)
    joined = r.maybe(Add, wiring="x z -> z")
    gain = r.maybe(Scale, wiring="z -> z", a=True, b=False)
    rounded = r.take(Round, wiring="z -> z") if gain else None
    addend = r.take(Scale, wiring="z -> z", a=False, b=True)
    clamped = r.maybe(Add, wiring="z x -> z") if not affine else None
    end = (r.take(Limit, wiring="z -> x", counted=True) if affine else
           r.take(Clamp, wiring="z -> x"))
    r.end()
    f = mix.bias.fmt.f_bits
    if abs(sign.a.raw).min(initial=1) != 1 or (rounded and rounded.bits != f):
        raise ArtifactError(f"layer {number}: {sign} must be a sign, a gain be rounded to {f} bits")
    tensors = {"a_re": states.a_re, "a_im": states.a_im, "g_re": states.g_re, "g_im": states.g_im,
               "d": states.d, "b": out.b, "w": mix.w, "shift": mix.shift, "bias": mix.bias,
               "addend": addend.b} | (
        {"alpha": affine.a, "beta": affine.b} if affine else {}) | (
        {"a": out.a} if gelu else {}) | ({"gain": gain.a} if gain else {})
    formats = {Layer.FORMAT_OF[name]: t.fmt for name, t in tensors.items()}
    p = QFormat(1, f, False)
    x = end.to if affine else replace(LayerFormats().x, i_bits=2, f_bits=f)
    try:
        formats["drive"] = wider(states.d.fmt, out.b.fmt)
        fmt = LayerFormats(h=states.h, p=p, x=x, **formats)
    except FormatError as error:
        raise ArtifactError(f"layer {number}: {error}; run this network with "
                            f"python -m quant.evaluate") from None
    layer = Layer(fmt, negate=(sign.a.raw < 0).astype(np.int64),
                  **{name: t.raw for name, t in tensors.items()})
    residual = (("plain" if joined else "replace") if affine else
                "clampfuse" if clamped else "none")
    if joined and not affine:
        raise ArtifactError(f"layer {number}: {joined} belongs to a real-valued stream")
    return layer, {"act": curve.kind if curve else "identity", "residual": residual,
                   "rounding": states.rounding, "sampling": fire_in.form,
                   "gelu_out": bool(gelu), "gain": bool(gain)}, (fire_in, fire_out)


def recognise(art) -> Spiking:
    """The network of an artifact; raises ``ArtifactError`` naming the first other operation."""
    found = [_layer(ops, number) for number, ops in enumerate(art.blocks)]
    options = found[0][1]
    for number, (_, own, _) in enumerate(found):
        if own != options:
            raise ArtifactError(f"layer {number} has {own}, layer 0 {options}: hardware needs one "
                                f"kind of layer")
    options = {name: value for name, value in options.items() if name not in ("gelu_out", "gain")}
    layers = tuple(layer for layer, _, _ in found)
    streams = options["residual"] in STREAMS
    r = _Reader(art.first, "encoder")
    table = r.maybe(Embed, wiring="v -> x")
    if table:
        enc_w, enc_b = table.table, Tensor(ABSENT, EdgeFormats().enc_b)
    else:
        scale = r.take(Scale, wiring="v -> x", a=True, b=True)
        enc_w, enc_b = scale.a, scale.b
        if streams:
            r.take(Limit, wiring="x -> x", counted=True, to=layers[0].fmt.x)
        else:
            r.take(Round, wiring="x -> x", bits=layers[0].fmt.p.f_bits)
            r.take(Clamp, wiring="x -> x")
    r.end()
    edge = EdgeFormats(art.sample, EdgeFormats().enc_w if table else enc_w.fmt, enc_b.fmt,
                       art.decoder_w.fmt, art.decoder_b.fmt)
    rows = [fire.directions.raw for *_, fires in found for fire in fires if fire.directions]
    return Spiking(**options, edge=edge, layers=layers, enc_w=enc_w.raw, enc_b=enc_b.raw,
                   dec_w=art.decoder_w.raw, dec_b=art.decoder_b.raw,
                   directions=np.stack(rows) if rows else NO_DIRECTIONS)
