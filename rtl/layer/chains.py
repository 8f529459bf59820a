"""The chains of a layer: in front of its states, behind them, and behind its mixers."""

from dataclasses import replace
from math import isqrt

from amaranth.lib import data

from quant.integer.memory import Fire
from rtl.layer import membrane, sampler_words     # noqa: F401  their cells
from rtl.layer.cells import CELLS                # noqa: F401  now of all kinds
from rtl.layer import fire, table                 # noqa: F401
from rtl.layer.chain import Chain
from rtl.layer.flow import Value, of
from rtl.parts.config import Geometry
from rtl.parts.streams import marks, x_word
from rtl.spec import LayerSpec

BACK = 2        # cycles from a word's transfer behind the mixers to its first cell


def front(spec: LayerSpec) -> Chain:
    """From x to what enters the states."""
    waits = [sampler_words.latency(wire.op.form) for wire in spec.cut.front
             if isinstance(wire.op, Fire)]
    start = max([1, *waits])
    return Chain(spec, "front", spec.cut.front, {spec.cut.i: of(spec.i_format, start)}, start,
                 "input_coefficients")


def entering(spec: LayerSpec, chain: Chain | None = None) -> Value:
    """What enters the states, or the middle if there are none: in a register, and with a slot."""
    chain = chain or front(spec)
    u = chain.values[spec.cut.u]
    return chain.flow.at(u, max(2, u.time + (not u.held)))


def drive(spec: LayerSpec) -> Value:
    """The states' y with its offset; ``time`` 0."""
    op, (u,) = spec.cut.states.op, spec.cut.states.formats
    f, n, b = spec.cut.y.f_bits, op.a_re.raw.shape[1], spec.cut.b and spec.cut.b.fmt
    up, up_b = f - op.h.f_bits, b and f - b.f_bits
    directs = [op.d, op.d1] if spec.geo.P > 1 else [op.d]
    sides = [a * c << f - d.fmt.f_bits - u.f_bits for d in directs
             for a in (d.fmt.lo, d.fmt.hi) for c in (u.lo, u.hi)]
    low, high = n * op.h.lo, n * op.h.hi
    if spec.geo.P > 1:      # A_bar turns a state: its corner comes to lie on an axis
        high = isqrt(2 * low * low) + 1
        low = -high
    lo, hi, made = (low << up) + min(sides), (high << up) + max(sides), spec.cut.states.made
    lo, hi = max(lo, made.lo), min(hi, made.hi)     # that holds them, as the artifact was checked
    if b:
        lo, hi = lo + (b.lo << up_b), hi + (b.hi << up_b)
    return Value(lo, hi, f, 0)


def middle(spec: LayerSpec, time: int) -> Chain:
    """From y, or without states what leaves the front, at a time, to what is sent."""
    if spec.cut.future:
        name, value = spec.cut.added.op.makes, of(spec.cut.added.made, 0)
    elif spec.cut.states:
        name, value = spec.cut.states.op.makes, drive(spec)
    else:
        name, value = spec.cut.u, entering(spec)
    return Chain(spec, "middle", spec.cut.middle, {name: replace(value, time=time, held=True)},
                 time, "output_coefficients")


def entering_word(spec: LayerSpec) -> data.StructLayout:
    """What comes into an engine: a word of ``i_format``, and what it takes along."""
    return data.StructLayout(x_word(spec.i_format, spec.geo).members | dict(spec.brings))


def sent_word(spec: LayerSpec) -> data.StructLayout:
    """A word's values for the mixers, and the spikes that entered the states if they are such.

    A value has the bits of its format, even where its cells know that it needs fewer: the mixers
    read it by its format. ``end`` marks the block's last word; there ``signature`` is the block's
    CRC, and in a sequence's last block ``saturations`` the sequence's count (both are without
    meaning elsewhere).
    """
    members = {name: member(of(spec.cut.formats[name], 0), spec.geo) for name in spec.cut.sent}
    if spec.spikes_enter:
        members["s_in"] = spec.geo.values
    members |= dict(spec.brings)
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


def member(value: Value, geo: Geometry):
    """Shape of one value of all neurons and steps of a word: bits side by side, or an array."""
    return geo.values if value.shape.width == 1 and not value.shape.signed else \
        data.ArrayLayout(value.shape, geo.values)
