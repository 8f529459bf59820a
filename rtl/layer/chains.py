"""The chains of a layer: in front of its states, behind them, and behind its mixers."""

from dataclasses import replace

from amaranth.lib import data

from quant.integer.memory import Fire
from rtl.layer import membrane, sampler_words     # noqa: F401  their cells
from rtl.layer.cells import CELLS                # noqa: F401  now of all kinds
from rtl.layer import fire, table                 # noqa: F401
from rtl.layer.chain import Chain
from rtl.layer.flow import Value, of
from rtl.parts.streams import marks
from rtl.spec import LayerSpec

BACK = 2        # cycles from a word's transfer behind the mixers to its first cell


def front(spec: LayerSpec) -> Chain:
    """From x to what enters the states."""
    waits = [sampler_words.latency(wire.op.form) for wire in spec.cut.front
             if isinstance(wire.op, Fire)]
    start = max([1, *waits])
    return Chain(spec, "front", spec.cut.front, {"x": of(spec.x_format, start)}, start,
                 "input_coefficients")


def entering(spec: LayerSpec, chain: Chain | None = None) -> Value:
    """What enters the states, or the middle if there are none: in a register, and with a slot."""
    chain = chain or front(spec)
    u = chain.values[spec.cut.u]
    return chain.flow.at(u, max(2, u.time + (not u.held)))


def drive(spec: LayerSpec) -> Value:
    """The states' y with its offset; ``time`` 0."""
    op, (u,) = spec.cut.states.op, spec.cut.states.formats
    f, n = spec.cut.y.f_bits, op.a_re.raw.shape[1]
    d, b = op.d.fmt, spec.cut.b and spec.cut.b.fmt
    ends = [a * c for a in (d.lo, d.hi) for c in (u.lo, u.hi)]
    up, up_d, up_b = f - op.h.f_bits, f - d.f_bits - u.f_bits, b and f - b.f_bits
    lo, hi = (n * (end << up) + (side << up_d) for end, side in
              ((op.h.lo, min(ends)), (op.h.hi, max(ends))))
    if b:
        lo, hi = lo + (b.lo << up_b), hi + (b.hi << up_b)
    return Value(lo, hi, f, 0)


def middle(spec: LayerSpec, time: int) -> Chain:
    """From y, or without states what leaves the front, at a time, to what is sent."""
    if spec.cut.states:
        name, value = spec.cut.states.op.makes, drive(spec)
    else:
        name, value = spec.cut.u, entering(spec)
    return Chain(spec, "middle", spec.cut.middle, {name: replace(value, time=time, held=True)},
                 time, "output_coefficients")


def sent_word(spec: LayerSpec) -> data.StructLayout:
    """G neurons' values for the mixers, and the spikes that entered the states if they are such.

    ``end`` marks the step's last word; there ``signature`` is the step's CRC, and on a sequence's
    last step ``saturations`` the sequence's count (both are without meaning elsewhere).
    """
    values = middle(spec, 1).values
    members = {name: member(values[name], spec.geo.G) for name in spec.cut.sent}
    if spec.spikes_enter:
        members["s_in"] = spec.geo.G
    return data.StructLayout(members | marks(spec.geo) | {"end": 1, "signature": 32,
                                                          "saturations": 32})


def back(spec: LayerSpec, totals: dict[str, Value]) -> Chain:
    """From the mixers' sums and x to the next x."""
    inputs = {name: Value(v.lo, v.hi, v.f_bits, BACK) for name, v in totals.items()}
    if spec.cut.adds_x:
        inputs["x"] = of(spec.x_format, 0)
    return Chain(spec, "back", spec.cut.mixes + spec.cut.back, inputs, BACK, "fuse")


def flows(spec: LayerSpec, totals: dict[str, Value]) -> list:
    """How a layer's chains run: what they need."""
    return [front(spec).flow, middle(spec, 1).flow, back(spec, totals).flow]


def member(value: Value, G: int):
    """Shape of one value of G neurons in a word: bits side by side, or an array."""
    return G if value.shape.width == 1 and not value.shape.signed else \
        data.ArrayLayout(value.shape, G)
