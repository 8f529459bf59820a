"""Values on their way through a chain of cells: when they are there, and how wide they are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from amaranth import Cat, Const, Mux, Shape, Signal

from golden.base.qformat import QFormat
from rtl.parts.arith import round_half_even
from rtl.parts.multiplier import Products


@dataclass(frozen=True)
class Value:
    """One value of each of the G neurons of a word, in each of its P steps.

    lo, hi : least and largest raw integer; f_bits : fraction bits; time : enabled cycles after the
    word's transfer into the chain's host; held : it comes from a register; negated : its sign is to
    be turned where ``negate`` is 1. bits, negate : P G signals each, the first step's in front, or
    G that count for all P steps; None while only times are asked.
    """

    lo: int
    hi: int
    f_bits: int
    time: int
    held: bool = True
    negated: bool = False
    bits: tuple | None = None
    negate: tuple | None = None

    @property
    def shape(self) -> Shape:
        """The narrowest that holds every raw integer."""
        bits = max(self.hi.bit_length(), (-self.lo - 1).bit_length() if self.lo < 0 else 0)
        return Shape(max(1, bits + (self.lo < 0)), signed=self.lo < 0)

    @property
    def format(self) -> QFormat:
        """The format of that shape."""
        shape = self.shape
        return QFormat(shape.width - self.f_bits, self.f_bits, shape.signed)

    @property
    def top(self) -> int:
        """Largest magnitude."""
        return max(-self.lo, self.hi)


def of(fmt: QFormat, time: int, bits=None, held: bool = True) -> Value:
    """A value of a format."""
    return Value(fmt.lo, fmt.hi, fmt.f_bits, time, held, bits=bits and tuple(bits))


def side_by_side(values) -> list[tuple]:
    """The bits of some values side by side; what counts for all steps again in every step."""
    count = max(len(value.bits) for value in values)
    return [tuple(value.bits[j % len(value.bits)] for value in values) for j in range(count)]


def signed_sum(negate, y, addend):
    """``addend - y`` or ``addend + y`` in one adder: -y is ~y + 1, the 1 carried from below."""
    bits, addend = (Cat(raw, raw[-1] if raw.shape().signed else Const(0, 1)) for raw in (y, addend))
    flipped = Cat(negate, bits ^ negate.replicate(len(bits))).as_signed()
    return (flipped + Cat(negate, addend).as_signed()) >> 1


class Flow:
    """What cells are built with. Without ``host`` it only follows times and ranges.

    host : ``m``, ``pipe``, ``spec`` and ``slot(time)``, the word that is there at a time: ``valid``
    ``first``, ``last``, ``start``, ``end``, ``word`` (see :class:`rtl.layer.scheduler.Scheduler`).
    """

    def __init__(self, spec, name: str = "", host=None):
        self.spec, self.name, self.host = spec, name, host
        self.row: dict[str, Value] = {}     # parameters of a word's neurons, by field
        self.over: list[Value] = []         # saturated neurons, to be counted
        self.stream_over: list[Value] = []  # the same of the stream x
        self.shown: list[tuple[Value, str]] = []    # for the signature, with what they are
        self.loop = 0       # least cycles from a word to the same word of the next step
        self.products: list[tuple[int, int]] = []   # of a neuron and step, bits of both operands
        self.sums: list[int] = []                   # of a neuron and step, their bits
        self.memories: list[tuple[str, int, int]] = []  # beside regions: what for, rows, bits
        self._count = 0

    def label(self, what: str) -> str:
        """A name for the next signal."""
        self._count += 1
        return f"{self.name}{self._count}_{what}"

    def hold(self, value: Value) -> Value:
        """A register behind it."""
        if self.host is None:
            return replace(value, time=value.time + 1, held=True)
        pipe, label = self.host.pipe, self.label("held")
        kept = {name: tuple(pipe.register(one, f"{label}_{name}{g}")
                            for g, one in enumerate(getattr(value, name)))
                for name in ("bits", "negate") if getattr(value, name) is not None}
        return replace(value, time=value.time + 1, held=True, **kept)

    def at(self, value: Value, time: int) -> Value:
        """The value at a time, in as many registers as that takes."""
        if value.time > time:
            raise ValueError(f"{self.name}: a value of time {value.time} is asked for at {time}")
        while value.time < time:
            value = self.hold(value)
        return value

    def together(self, *values: Value, held: bool = True) -> list[Value]:
        """All at one time, and from registers if ``held``."""
        time = max(v.time + (held and not v.held) for v in values)
        return [self.at(value, time) for value in values]

    def each_step(self, value: Value) -> Iterator[Value]:
        """A value in each of a word's steps, for what computes one of them after the other."""
        G = self.spec.geo.G
        for p in range(self.spec.geo.P):
            counts = [(found, len(found)) for found in (self.products, self.sums)]
            yield replace(value, bits=value.bits and value.bits[p * G:(p + 1) * G])
            for found, before in counts if p else ():   # they are of a neuron and step
                del found[before:]

    def joined(self, values: list[Value]) -> Value:
        """One value of all steps, of what was made in one step after the other."""
        values = self.together(*values, held=False)
        bits = None if self.host is None else tuple(b for value in values for b in value.bits)
        return replace(values[-1], bits=bits, held=all(value.held for value in values))

    def param(self, name: str, time: int) -> Value:
        """A parameter of the word's neurons."""
        return self.at(self.row[name], time)

    def made(self, rule: Callable, lo: int, hi: int, f_bits: int, *values: Value,
             what: str = "value") -> Value:
        """``rule(bits of one neuron in one step, of each value)``, without a register."""
        out = Value(lo, hi, f_bits, values[0].time, held=False)
        if self.host is None:
            return out
        label, bits = self.label(what), []
        for g, each in enumerate(side_by_side(values)):
            one = Signal(out.shape, name=f"{label}{g}")
            self.host.m.d.comb += one.eq(rule(*each))
            bits.append(one)
        return replace(out, bits=tuple(bits))

    def plain(self, value: Value) -> Value:
        """The value with its sign turned, where that is still to be done: an adder."""
        if not value.negated:
            return value
        value, = self.together(value)
        turned = replace(value, negated=False, negate=None)
        if self.host is not None:
            flags = Value(0, 1, 0, value.time, bits=value.negate)
            return self.made(lambda v, n: Mux(n, -v, v), -value.top, value.top, value.f_bits,
                             turned, flags, what="turned")
        return self.made(None, -value.top, value.top, value.f_bits, turned)

    def sum(self, x: Value, z: Value) -> Value:
        """Exact; one adder, which also turns a sign."""
        x, z = self.together(x, z)
        if x.negated:
            x, z = z, x
        if x.negated:
            x, z = self.together(self.plain(x), z)
        f = max(x.f_bits, z.f_bits)
        up, up_z = f - x.f_bits, f - z.f_bits
        lo, hi = (-z.top, z.top) if z.negated else (z.lo, z.hi)
        lo, hi = (x.lo << up) + (lo << up_z), (x.hi << up) + (hi << up_z)
        self.sums.append(Value(lo, hi, f, 0).shape.width)
        if not z.negated:
            return self.made(lambda x, z: (x << up) + (z << up_z), lo, hi, f, x, z, what="sum")
        flags = Value(0, 1, 0, z.time, bits=z.negate)
        return self.made(lambda x, z, n: signed_sum(n, z << up_z, x << up), lo, hi, f, x,
                         replace(z, negated=False, negate=None), flags, what="sum")

    def product(self, x: Value, z: Value) -> Value:
        """Exact, two registers later: a multiplier with registers on both sides."""
        x, z = self.together(self.plain(x), self.plain(z), held=False)
        ends = [a * b for a in (x.lo, x.hi) for b in (z.lo, z.hi)]
        out = Value(min(ends), max(ends), x.f_bits + z.f_bits, x.time + Products.latency)
        self.products.append((x.shape.width, z.shape.width))
        if self.host is None:
            return out
        label, bits = self.label("product"), []
        for g, (one, other) in enumerate(side_by_side((x, z))):
            part = Products({"x": x.shape, "z": z.shape}, {"product": ("x", "z")},
                            self.spec.hw.multiplier)
            self.submodule(f"{label}{g}", part)
            self.host.m.d.comb += [part.en.eq(self.host.pipe.en), part.x.eq(one), part.z.eq(other)]
            bits.append(part.product)
        return replace(out, bits=tuple(bits))

    def submodule(self, name: str, part) -> None:
        """Add a part."""
        self.host.m.submodules[name] = part


def rounded(flow: Flow, x: Value, bits: int) -> Value:
    """x with ``bits`` fraction bits, half to even."""
    drop = x.f_bits - bits
    if not drop:
        return x
    half = 1 << drop - 1
    return flow.made(lambda x: round_half_even(x, drop), (x.lo + half) >> drop,
                     (x.hi + half) >> drop, bits, x, what="rounded")
