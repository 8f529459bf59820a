"""The random words of states that go both ways through a sequence, of one or several layers."""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from quant.formats import RandomFormat
from quant.integer import lfsr
from rtl.parts.lfsr import xor_network
from rtl.parts.memory import ConfigRegister, Region
from rtl.parts.streams import ConfigBus


def coming(layers: int) -> data.StructLayout:
    """A step that will be gone through: ``first`` of its sequence, and by which pair of layers."""
    return data.StructLayout({"valid": 1, "first": 1, "layer": range(max(2, layers // 2))})


class TwoWaySource(wiring.Component):
    """``count`` consecutive draws per cycle; of layers 0, 2, ... the steps' draws from the last on.

    Layer ``2 j`` goes through a sequence from its end, then layer ``2 j + 1`` from its beginning.
    A generator can leap back as it can leap on, but it has to be at the last step's draws first. So
    one register leaps on by a step's draws with every step that comes, long before it is needed.
    Going back it leaps from a step's last draws to the first ones of the step before.

    Parameters
    ----------
    fmt, bits, count : as of :class:`rtl.parts.lfsr.WordSource`
    draws : int
        Of a step.
    regions : list of Region
        The streams' start states, :func:`rtl.parts.lfsr.start_region`, a layer's each.

    Members
    -------
    coming : ``In(coming(len(regions)))``
        Not while words of an even layer are asked for.
    layer : ``In(range(len(regions)))``
        Whose draws ``words`` has.
    turn : ``In(1)``
        With ``advance``: these are the step's last ones.
    cfg, advance, rewind, words : as of :class:`rtl.parts.lfsr.WordSource`
        ``rewind`` counts for odd layers.

    Resources
    ---------
    ``len(regions) * 3 / 2 + 1`` times ``fmt.width`` registers; two networks more than other
    sources: a leap on by a step, and one back by two.
    """

    latency = 0

    def __init__(self, fmt: RandomFormat, bits: int, count: int, draws: int,
                 regions: list[Region]):
        self.fmt, self.bits, self.count, self.draws = fmt, bits, count, draws
        self.regions = regions
        super().__init__({"cfg": In(ConfigBus()), "advance": In(1), "rewind": In(1),
                          "turn": In(1), "layer": In(range(len(regions))),
                          "coming": In(coming(len(regions))),
                          "words": Out(data.ArrayLayout(bits, count))})

    def elaborate(self, platform):
        m = Module()
        fmt, bits, step = self.fmt, self.bits, self.draws * self.bits
        period = (1 << fmt.width) - 1
        starts = []
        for j, region in enumerate(self.regions):
            m.submodules[f"start{j}"] = start = ConfigRegister(region)
            wiring.connect(m, wiring.flipped(self.cfg), start.cfg)
            starts.append(start)
        onwards = [Signal(fmt.width, init=region.rows[0], name=f"onwards{j}")
                   for j, region in enumerate(self.regions[1::2])]
        back, state, past = Signal(fmt.width), Signal(fmt.width), self.layer[0]
        m.d.comb += state.eq(Mux(past, Array(onwards)[self.layer >> 1], back))
        leapt = xor_network(lfsr.leap(fmt, self.count * bits), state)
        for j, (own, start) in enumerate(zip(onwards, starts[1::2])):
            stale, advance = Signal(init=1, name=f"stale{j}"), Signal(name=f"advance{j}")
            m.d.sync += stale.eq(start.written)
            m.d.comb += advance.eq(self.advance & past & (self.layer >> 1 == j))
            with m.If(stale | advance):
                m.d.sync += own.eq(Mux(self.rewind | ~advance, start.data, leapt))
        first = Array(start.data for start in starts[::2])[self.coming.layer]
        with m.If(self.coming.valid):
            m.d.sync += back.eq(Mux(self.coming.first, first,
                                    xor_network(lfsr.leap(fmt, step), back)))
        with m.Elif(self.advance & ~past):
            before = (self.count * bits - 2 * step) % period
            m.d.sync += back.eq(Mux(self.turn, xor_network(lfsr.leap(fmt, before), back), leapt))
        rows = [row for j in range(self.count) for row in lfsr.leap(fmt, j * bits)[:bits]]
        m.d.comb += self.words.as_value().eq(xor_network(rows, state))
        return m
