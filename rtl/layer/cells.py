"""Cells: the operations that compute each neuron for itself, as hardware in a chain.

A cell takes values of a word's G neurons and makes one. What it does before the next register is a
rule on bits (:meth:`rtl.layer.flow.Flow.made`); a register follows where the next cell asks for
one. ``CELLS`` has one for each kind of operation; a new kind adds its own there.
"""

from dataclasses import dataclass, replace

import numpy as np
from amaranth import Mux

from golden.base.qformat import QFormat
from quant.formats import TERNARY
from quant.integer import ops
from quant.integer.operation import Tensor
from rtl.cut import Wired
from rtl.layer import tables
from rtl.layer.flow import Flow, Value, rounded
from rtl.parts.arith import clamp_to_one, saturate
from rtl.parts.config import HardwareError
from rtl.parts.memory import Region


@dataclass(frozen=True)
class Field:
    """A parameter of each neuron: raw integers (H,), in a chain's row of ``width`` bits."""

    raw: np.ndarray
    width: int
    signed: bool
    f_bits: int = 0
    control: bool = False       # shifts and signs, in front of numbers in a row

    @classmethod
    def of(cls, tensor: Tensor) -> "Field":
        return cls(tensor.raw, tensor.fmt.width, tensor.fmt.signed, tensor.fmt.f_bits)

    def value(self, time: int, bits=None) -> Value:
        """It as a value of any content."""
        lo = -(1 << self.width - 1) if self.signed else 0
        return Value(lo, (1 << self.width - self.signed) - 1, self.f_bits, time, bits=bits)


class Cell:
    """One operation.

    wire : the operation and its formats; spec : the layer's :class:`rtl.spec.LayerSpec`; key :
    names its parameters and memories, unlike those of the layer's other cells. One without
    :meth:`build` is refused where it is written.
    """

    def __init_subclass__(cls, **options) -> None:
        super().__init_subclass__(**options)
        if cls.build is Cell.build:
            raise HardwareError(f"cell {cls.__module__}:{cls.__qualname__} has no build; a cell "
                                f"needs it to compute its result, see docs/operations.md")

    def __init__(self, wire: Wired, spec, key: str):
        self.op, self.formats, self.wire, self.spec = wire.op, wire.formats, wire, spec
        self.key = key

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of its inputs."""
        return self.op.reads

    def fields(self) -> dict[str, Field]:
        """Its parameters in the chain's row."""
        return {}

    def regions(self) -> list[Region]:
        """Memories of its own on the configuration bus."""
        return []

    def build(self, flow: Flow, *inputs: Value) -> Value:
        """The result; hardware where the flow has a host."""
        raise TypeError(f"{self.op}: the base of all cells computes nothing")

    def name(self, what: str) -> str:
        """Of a field or memory."""
        return f"{self.key}_{what}"


class Scale(Cell):
    """``a x + b``: a multiplier and an adder; none where a is a sign or x one bit."""

    @property
    def sign(self) -> bool:
        a = self.op.a
        return a is not None and a.fmt == TERNARY and bool((abs(a.raw) == 1).all())

    def fields(self):
        found = {}
        if self.sign:
            found["negate"] = Field((self.op.a.raw < 0).astype(np.int64), 1, False, control=True)
        elif self.op.a:
            found["a"] = Field.of(self.op.a)
        return found | ({"b": Field.of(self.op.b)} if self.op.b else {})

    def build(self, flow, x):
        if self.sign:
            x = self._turned(flow, x)
        elif self.op.a and self.formats[0].width == 1 and not self.formats[0].signed:
            x, = flow.together(x, held=False)
            a = flow.param(self.name("a"), x.time)
            x = flow.made(lambda x, a: Mux(x, a, 0), min(0, a.lo), max(0, a.hi),
                          a.f_bits + x.f_bits, x, a, what="masked")
        elif self.op.a:
            x = flow.product(x, flow.param(self.name("a"), x.time + (x.negated or 0)))
        if not self.op.b:
            return x
        x, = flow.together(x)
        return flow.sum(flow.param(self.name("b"), x.time), x)

    def _turned(self, flow, x):
        """A sign to be turned by whatever adds next."""
        x = flow.plain(x)
        flags = flow.param(self.name("negate"), x.time)
        return replace(x, negated=True, negate=flags.bits)


class Mixed(Cell):
    """``(total << shift) + bias`` of a mixer's sums: a barrel shifter and an adder."""

    @property
    def reads(self):
        return self.op.makes,       # its sums have the name of what it makes of them

    def fields(self):
        shift = self.op.shift
        found = {"shift": Field(shift.raw, shift.fmt.width, False, control=True)} if shift else {}
        return found | {"bias": Field.of(self.op.bias)}

    def build(self, flow, total):
        bias = self.op.bias.fmt
        if self.op.shift:
            total, = flow.together(total)
            shift = flow.param(self.name("shift"), total.time)
            up = self.op.shift.fmt.hi
            total = flow.made(lambda t, s: t << s, total.lo << up, total.hi << up, bias.f_bits,
                              total, shift, what="shifted")
        total = replace(total, f_bits=bias.f_bits)
        total, = flow.together(total)
        return flow.sum(total, flow.param(self.name("bias"), total.time))


class Add(Cell):
    """``x + z``: an adder."""

    def build(self, flow, x, z):
        return flow.sum(x, z)


class Product(Cell):
    """``n gate``: a multiplier."""

    def build(self, flow, n, gate):
        return flow.product(n, gate)


class Round(Cell):
    """Half to even: an adder."""

    def build(self, flow, x):
        x, = flow.together(flow.plain(x))
        return rounded(flow, x, self.op.bits)


class Limit(Cell):
    """Half to even (an adder), then saturated: only the high bits decide."""

    def build(self, flow, x):
        x, over = limited(flow, x, self.op.to)
        if self.op.counted and self.op.makes == "x":
            flow.stream_over.append(over)
        return x


def limited(flow: Flow, x: Value, to: QFormat) -> tuple[Value, Value]:
    """x rounded half to even and saturated to a format, and where it was saturated."""
    x, = flow.together(flow.plain(x))
    x, = flow.together(rounded(flow, x, to.f_bits))
    over = flow.made(lambda x: saturate(x, to)[1], 0, 1, 0, x, what="over")
    return flow.made(lambda x: saturate(x, to)[0], max(to.lo, min(x.lo, to.hi)),
                     min(to.hi, max(x.hi, to.lo)), to.f_bits, x, what="limited"), over


class Clamp(Cell):
    """To [0, 1]: only the high bits decide."""

    def build(self, flow, x):
        x, = flow.together(flow.plain(x))
        f = x.f_bits
        return flow.made(lambda x: clamp_to_one(x, f), 0, 1 << f, f, x, what="clamped")


class Curve(Cell):
    """ReLU ``max(y, 0)``: only the sign decides, so no register is needed in front. Or GELU."""

    def build(self, flow, y):
        if self.op.kind == "gelu":
            return tables.gelu(flow, y, self.key)
        y, = flow.together(flow.plain(y), held=False)
        return flow.made(lambda y: Mux(y < 0, 0, y), max(0, y.lo), max(0, y.hi), y.f_bits, y,
                         what="relu")


class Step(Cell):
    """1 where ``y >= 0``, or ``y > 0``: the sign, or a comparison with 0."""

    def build(self, flow, y):
        y, = flow.together(flow.plain(y), held=False)
        if self.op.fires_at_zero:
            return flow.made(lambda y: y >= 0, 0, 1, 0, y, what="step")
        y, = flow.together(y)
        return flow.made(lambda y: y > 0, 0, 1, 0, y, what="step")


CELLS: dict[type, type[Cell]] = {
    ops.Scale: Scale, ops.Mix: Mixed, ops.Add: Add, ops.Product: Product, ops.Round: Round,
    ops.Limit: Limit, ops.Clamp: Clamp, ops.Step: Step,
    ops.Curve: Curve}
