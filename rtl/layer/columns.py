"""The mixers' memories, and a column of weights times a spike or a value."""

from amaranth import Mux
from amaranth.lib import data

from golden.base.qformat import QFormat
from quant.formats import TERNARY
from rtl.cut import Wired
from rtl.layer.chains import member
from rtl.layer.flow import of
from rtl.parts.config import HardwareError
from rtl.parts.memory import Region, pack_rows
from rtl.parts.streams import marks
from rtl.spec import LayerSpec


def names(spec: LayerSpec) -> list[str]:
    """Of the mixers' memories, without the number of the neuron in its word."""
    alone = len(spec.cut.mixes) == 1
    return ["mixer.w" if alone else f"mixer.{wire.op.makes}.w" for wire in spec.cut.mixes]


def regions(spec: LayerSpec) -> list[Region]:
    """``mixer.w0``, ...: column j of W, of input neuron j, is in RAM j modulo G, in K rows.

    Of several mixers ``mixer.n.w0`` and so on, by what is made of their sums.
    """
    geo, found = spec.geo, []
    for name, wire in zip(names(spec), spec.cut.mixes):
        w = wire.op.w
        found += [Region(f"{name}{g}", geo.Q * w.fmt.width, pack_rows(
            [(w.raw.T[g::geo.G].reshape(geo.neuron_rows * geo.K, geo.Q), w.fmt.width)]),
            f"{geo.Q} weights of one input neuron") for g in range(geo.G)]
    return found


def mixer_word(spec: LayerSpec) -> data.StructLayout:
    """A word's values that the mixers read, by name."""
    formats = {name: fmt for wire in spec.cut.mixes
               for name, fmt in zip(wire.op.reads, wire.formats)}
    return data.StructLayout({name: member(of(fmt, 0), spec.geo) for name, fmt in
                              formats.items()} | marks(spec.geo) | {"end": 1})


def is_bit(fmt: QFormat) -> bool:
    return fmt.width == 1 and not fmt.signed


def product(wire: Wired, value, weight):
    """``w v`` where one of the two is a bit or -1, 0 or 1: no multiplier."""
    fmt = wire.formats[0]
    if is_bit(fmt):
        return Mux(value, weight, 0)
    few, other = (value, weight) if fmt == TERNARY else (weight, value)
    return Mux(few[0], other, 0) - Mux(few[1], other << 1, 0)       # two bits, with their sign


def product_bits(wire: Wired) -> int:
    """Bits of a weight times a value."""
    w, value = wire.op.w.fmt, wire.formats[0]
    return w.width if is_bit(value) else max(w.width, value.width) + 1


def check(spec: LayerSpec) -> None:
    """Raise :class:`HardwareError` for weights times values that need a multiplier."""
    for wire in spec.cut.mixes:
        if not is_bit(wire.formats[0]) and TERNARY not in (wire.formats[0], wire.op.w.fmt):
            raise HardwareError(
                f"layer {spec.number}: {wire.op} has weights {wire.op.w.fmt} of values "
                f"{wire.formats[0]}; the RTL has no multipliers there: spikes, or -1, 0 and 1 on "
                f"one side; run the network with python -m quant.evaluate")
