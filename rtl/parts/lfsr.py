"""The random words in hardware: one register and fixed networks of XORs."""

from functools import reduce
from operator import xor

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from quant.integer import lfsr
from quant.formats import RandomFormat
from rtl.parts.memory import ConfigRegister, Region
from rtl.parts.streams import ConfigBus


WORD = 64       # bits that a simulator handles at once


def xor_network(matrix: lfsr.Matrix, value) -> Value:
    """The linear map ``matrix`` over GF(2) of an Amaranth value, one output bit per row.

    It is written as a sum of columns, one per bit of ``value``: synthesis makes XOR trees of it as
    it would of a parity per row, and a simulator spends a few instructions per column on all rows.
    """
    parts = []
    for low in range(0, len(matrix), WORD):
        rows = matrix[low:low + WORD]
        columns = [sum((row >> j & 1) << i for i, row in enumerate(rows))
                   for j in range(len(value))]
        terms = [Mux(value[j], Const(column, len(rows)), Const(0, len(rows)))
                 for j, column in enumerate(columns) if column]
        while len(terms) > 1:
            terms = [reduce(xor, terms[j:j + 2]) for j in range(0, len(terms), 2)]
        parts += terms or [Const(0, len(rows))]
    return Cat(parts)


def start_region(name: str, fmt: RandomFormat, seed: int, stream: int) -> Region:
    """Where the host finds the state of random stream ``stream`` at a sequence's start."""
    return Region(name, fmt.width, (lfsr.stream_start(fmt, seed, stream),),
                  "state of the random stream at a sequence's start, never 0", register=True)


def start_regions(name: str, fmt: RandomFormat, seed: int, streams: list[int]) -> list[Region]:
    """The same of a stream, or of those of several layers, each with its number in the name."""
    return [start_region(name if len(streams) == 1 else f"{name}.{j}", fmt, seed, stream)
            for j, stream in enumerate(streams)]


class WordSource(wiring.Component):
    """``count`` consecutive draws of one stream per cycle.

    A single register serves all lanes, so the draws of a neuron do not depend on how many there
    are: draw j of a cycle is the register leapt by ``j * bits``, the next cycle's is leapt by
    ``count * bits``.

    Parameters
    ----------
    fmt : RandomFormat
    bits : int
        Bits of one draw.
    count : int
        Draws per cycle.
    region : Region
        The stream's start state, :func:`start_region`.
    spread : bool
        As of :class:`rtl.parts.memory.ConfigRegister`.

    Members
    -------
    cfg : ``In(ConfigBus())``
    advance : ``In(1)``
        The next cycle's draws follow this cycle's; without it they stay.
    rewind : ``In(1)``
        With ``advance``: the next cycle's draws are the stream's first ones.
    words : ``Out(ArrayLayout(bits, count))``
        This cycle's draws: networks of XORs behind a register.

    Timing
    ------
    No cycle is lost at a rewind. After a reset the draws are the stream's first ones from the
    second cycle on (from the first, if the host has written no start).

    Resources
    ---------
    ``fmt.width`` registers; a bit of the j-th draw, j > 1, is the parity of about half of them.
    """

    latency = 0

    def __init__(self, fmt: RandomFormat, bits: int, count: int, region: Region,
                 spread: bool = True):
        self.fmt = fmt
        self.bits = bits
        self.count = count
        self.region, self.spread = region, spread
        self.start = region.rows[0]
        super().__init__({"cfg": In(ConfigBus()), "advance": In(1), "rewind": In(1),
                          "words": Out(data.ArrayLayout(bits, count))})

    def model(self, cycles: int, start: int | None = None):
        """Draws (cycles, count) from a restart on."""
        start = self.start if start is None else start
        return lfsr.words(self.fmt, start, self.bits, cycles * self.count).reshape(-1, self.count)

    def elaborate(self, platform):
        m = Module()
        start = m.submodules.start = ConfigRegister(self.region, self.spread)
        wiring.connect(m, wiring.flipped(self.cfg), start.cfg)
        state, stale = Signal(self.fmt.width, init=self.start), Signal(init=1)
        leapt = xor_network(lfsr.leap(self.fmt, self.count * self.bits), state)
        m.d.sync += stale.eq(start.written)
        with m.If(stale | self.advance):
            m.d.sync += state.eq(Mux(self.rewind | ~self.advance, start.data, leapt))
        rows = [row for j in range(self.count)
                for row in lfsr.leap(self.fmt, j * self.bits)[:self.bits]]
        m.d.comb += self.words.as_value().eq(xor_network(rows, state))
        return m
