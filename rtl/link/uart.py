"""A serial line: 8 data bits, no parity, one stop bit, lowest bit first."""

from amaranth import Cat, Module, Signal
from amaranth.lib import cdc, stream, wiring
from amaranth.lib.wiring import In, Out

LEAST_CLOCKS = 4        # per bit: the start edge is seen up to a cycle late
LARGEST_ERROR = 0.02    # of the rate: half a bit in ten bits is 0.05, and the other side errs too


def clocks_per_bit(clock: float, baud: float) -> int:
    """Cycles of ``clock`` Hz per bit at ``baud``; ``ValueError`` if no whole number comes near."""
    clocks = round(clock / baud)
    if clocks < LEAST_CLOCKS or abs(clock / clocks / baud - 1) > LARGEST_ERROR:
        raise ValueError(f"{baud:.10g} baud cannot be made from {clock / 1e6:g} MHz: a bit takes "
                         f"{clock / baud:.2f} clocks, a whole number of at least {LEAST_CLOCKS} "
                         f"is needed within {100 * LARGEST_ERROR:g} %")
    return clocks


class UartReceiver(wiring.Component):
    """Bytes from a line.

    Parameters
    ----------
    clocks : int
        Clock cycles per bit, at least 4.

    Members
    -------
    rx : ``In(1)``
        Asynchronous; 1 when idle.
    o : ``Out(StructLayout)`` as ``data``, ``valid``
        A byte, valid for one cycle. Nothing waits for it: the taker must be ready. The data stay
        until the next byte's first bit.

    Timing
    ------
    A byte is there in the middle of its stop bit. One whose stop bit is 0 is dropped.

    Resources
    ---------
    About 25 flip-flops.
    """

    def __init__(self, clocks: int):
        if clocks < LEAST_CLOCKS:
            raise ValueError(f"a bit needs at least {LEAST_CLOCKS} clocks, not {clocks}")
        self.clocks = clocks
        super().__init__({"rx": In(1), "data": Out(8), "valid": Out(1)})

    def elaborate(self, platform):
        m = Module()
        rx = Signal(init=1)
        m.submodules.rx = cdc.FFSynchronizer(self.rx, rx, init=1)
        wait, left = Signal(range(2 * self.clocks)), Signal(range(11))
        bits = Signal(9)
        with m.If(left == 0):
            with m.If(~rx):         # middle of the start bit, from its edge
                m.d.sync += [left.eq(10), wait.eq((self.clocks - 1) // 2)]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [wait.eq(self.clocks - 1), left.eq(left - 1), bits.eq(Cat(bits[1:], rx))]
            with m.If((left == 10) & rx):       # no start bit: a spike on the line
                m.d.sync += left.eq(0)
        done = Signal()
        m.d.sync += done.eq((left == 1) & (wait == 0))
        m.d.comb += [self.data.eq(bits[:8]), self.valid.eq(done & bits[8])]
        return m


class UartTransmitter(wiring.Component):
    """Bytes to a line.

    Parameters
    ----------
    clocks : int
        Clock cycles per bit.

    Members
    -------
    i : ``In(stream.Signature(8))``
    tx : ``Out(1)``
        1 when idle.

    Timing
    ------
    A byte takes ``10 clocks`` cycles; they may follow without a gap.

    Resources
    ---------
    About 20 flip-flops.
    """

    def __init__(self, clocks: int):
        self.clocks = clocks
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        wait, left = Signal(range(self.clocks)), Signal(range(11))
        bits = Signal(9, init=0x1FF)
        m.d.comb += self.i.ready.eq((left == 0) | ((left == 1) & (wait == 0)))
        m.d.comb += self.tx.eq(bits[0])
        with m.If(self.i.ready):
            m.d.sync += [left.eq(0), bits.eq(0x1FF)]
            with m.If(self.i.valid):
                m.d.sync += [bits.eq(Cat(0, self.i.payload)), left.eq(10),
                             wait.eq(self.clocks - 1)]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [bits.eq(Cat(bits[1:], 1)), left.eq(left - 1), wait.eq(self.clocks - 1)]
        return m
