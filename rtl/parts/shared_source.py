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
    anew : bool
        Every row of draws, of whatever layer, ends with a rewind before another layer's begins:
        then one register serves all.
    spread : bool
        As of :class:`rtl.parts.memory.ConfigRegister`.

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
    Two times ``len(regions) * fmt.width`` registers; ``anew``: once, and ``fmt.width``.
    """

    latency = 0

    def __init__(self, fmt: RandomFormat, bits: int, count: int, regions: list[Region],
                 anew: bool = False, spread: bool = True):
        self.fmt, self.bits, self.count, self.regions = fmt, bits, count, regions
        self.anew, self.spread = anew, spread
        super().__init__({"cfg": In(ConfigBus()), "advance": In(1), "rewind": In(1),
                          "layer": In(range(len(regions))),
                          "words": Out(data.ArrayLayout(bits, count))})

    def elaborate(self, platform):
        m = Module()
        starts = [ConfigRegister(region, self.spread) for region in self.regions]
        for j, start in enumerate(starts):
            m.submodules[f"start{j}"] = start
            wiring.connect(m, wiring.flipped(self.cfg), start.cfg)
        state = Signal(self.fmt.width)
        leapt = xor_network(lfsr.leap(self.fmt, self.count * self.bits), state)
        if self.anew:
            self._one(m, starts, state, leapt)
        else:
            self._each(m, starts, state, leapt)
        rows = [row for j in range(self.count)
                for row in lfsr.leap(self.fmt, j * self.bits)[:self.bits]]
        m.d.comb += self.words.as_value().eq(xor_network(rows, state))
        return m

    def _one(self, m: Module, starts: list[ConfigRegister], state, leapt) -> None:
        """The state that is in use, or a layer's start."""
        kept, begins = Signal(self.fmt.width, reset_less=True), Signal(init=1)
        m.d.comb += state.eq(Mux(begins, Array(start.data for start in starts)[self.layer], kept))
        with m.If(self.advance):
            m.d.sync += [kept.eq(leapt), begins.eq(self.rewind)]

    def _each(self, m: Module, starts: list[ConfigRegister], state, leapt) -> None:
        """Each layer's state, of which one is in use."""
        states = [Signal(self.fmt.width, init=region.rows[0], name=f"state{j}")
                  for j, region in enumerate(self.regions)]
        m.d.comb += state.eq(Array(states)[self.layer])
        for j, (own, start) in enumerate(zip(states, starts)):
            stale, advance = Signal(init=1, name=f"stale{j}"), Signal(name=f"advance{j}")
            m.d.sync += stale.eq(start.written)
            m.d.comb += advance.eq(self.advance & (self.layer == j))
            with m.If(stale | advance):
                m.d.sync += own.eq(Mux(self.rewind | ~advance, start.data, leapt))


def source(fmt: RandomFormat, bits: int, count: int, regions: list[Region], spread: bool,
           anew: bool = False):
    """The source of a stream, or of those of several layers; ``anew`` as of the latter."""
    if len(regions) == 1:
        return WordSource(fmt, bits, count, regions[0], spread)
    return SharedSource(fmt, bits, count, regions, anew, spread)
