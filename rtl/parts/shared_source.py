"""The random words of layers that share the hardware: a stream for each of them."""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from quant.formats import RandomFormat
from quant.integer import lfsr
from rtl.parts.lfsr import WordSource, xor_network
from rtl.parts.memory import ConfigRegister, Region
from rtl.parts.streams import ConfigBus


class SharedSource(wiring.Component):
    """``count`` consecutive draws per cycle of the stream of the layer that is asked for.

    A register for each stream, and one set of XOR networks behind the one that is chosen.

    Parameters
    ----------
    fmt, bits, count : as of :class:`rtl.parts.lfsr.WordSource`
    regions : list of Region
        The streams' start states, :func:`rtl.parts.lfsr.start_region`, a layer's each.

    Members
    -------
    layer : ``In(range(len(regions)))``
        Whose draws ``words`` has, and whom ``advance`` and ``rewind`` are for.
    cfg, advance, rewind, words : as of :class:`rtl.parts.lfsr.WordSource`

    Timing
    ------
    As of :class:`rtl.parts.lfsr.WordSource`, and a multiplexer in front of the networks.

    Resources
    ---------
    Two times ``len(regions) * fmt.width`` registers.
    """

    latency = 0

    def __init__(self, fmt: RandomFormat, bits: int, count: int, regions: list[Region]):
        self.fmt, self.bits, self.count, self.regions = fmt, bits, count, regions
        super().__init__({"cfg": In(ConfigBus()), "advance": In(1), "rewind": In(1),
                          "layer": In(range(len(regions))),
                          "words": Out(data.ArrayLayout(bits, count))})

    def elaborate(self, platform):
        m = Module()
        states = [Signal(self.fmt.width, init=region.rows[0], name=f"state{j}")
                  for j, region in enumerate(self.regions)]
        state = Signal(self.fmt.width)
        m.d.comb += state.eq(Array(states)[self.layer])
        leapt = xor_network(lfsr.leap(self.fmt, self.count * self.bits), state)
        for j, (own, region) in enumerate(zip(states, self.regions)):
            m.submodules[f"start{j}"] = start = ConfigRegister(region)
            wiring.connect(m, wiring.flipped(self.cfg), start.cfg)
            stale, advance = Signal(init=1, name=f"stale{j}"), Signal(name=f"advance{j}")
            m.d.sync += stale.eq(start.written)
            m.d.comb += advance.eq(self.advance & (self.layer == j))
            with m.If(stale | advance):
                m.d.sync += own.eq(Mux(self.rewind | ~advance, start.data, leapt))
        rows = [row for j in range(self.count)
                for row in lfsr.leap(self.fmt, j * self.bits)[:self.bits]]
        m.d.comb += self.words.as_value().eq(xor_network(rows, state))
        return m


def source(fmt: RandomFormat, bits: int, count: int, regions: list[Region]):
    """The source of a stream, or of those of several layers."""
    if len(regions) == 1:
        return WordSource(fmt, bits, count, regions[0])
    return SharedSource(fmt, bits, count, regions)
