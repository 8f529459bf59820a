"""A short queue between two parts: what one end does is not seen at the other in the same cycle."""

from amaranth import Module, Shape, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out


class Queue(wiring.Component):
    """Words in the order they came; both handshakes begin at registers.

    Parameters
    ----------
    shape : shape-like
        Of a word.
    depth : int
        Words that fit, a power of two.

    Members
    -------
    i : ``In(stream.Signature(shape))``
    o : ``Out(stream.Signature(shape))``
    ready_next : ``Out(1)``
        What ``i.ready`` will be in the next cycle.

    Timing
    ------
    Latency 1 cycle, a word per cycle. ``i.ready`` is low while ``depth`` words are inside, also in
    the cycle in which one of them leaves.

    Resources
    ---------
    A memory of ``depth`` rows that is read without a clock: LUT RAM, or registers.
    """

    latency = 1

    def __init__(self, shape, depth: int):
        if depth < 2 or depth & depth - 1:
            raise ValueError(f"the depth of a queue is a power of two from 2 on, not {depth}")
        self.shape, self.depth = shape, depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)),
                          "ready_next": Out(1, init=1)})

    def model(self, words: list) -> list:
        """What goes in comes out."""
        return list(words)

    def elaborate(self, platform):
        m = Module()
        # Plain bits: some tools make a memory of every field of a structure.
        m.submodules.ram = ram = memory.Memory(shape=Shape.cast(self.shape).width,
                                               depth=self.depth, init=[])
        write, read = ram.write_port(), ram.read_port(domain="comb")
        level, full, any_word = Signal(range(self.depth + 1)), Signal(), Signal()
        put, get = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~full), self.o.valid.eq(any_word),
            put.eq(self.i.valid & self.i.ready), get.eq(self.o.valid & self.o.ready),
            write.en.eq(put), write.data.eq(self.i.payload), self.o.payload.eq(read.data),
            self.ready_next.eq(get | ~(full | (level == self.depth - 1) & put)),
        ]
        m.d.sync += [
            level.eq(level + put - get), full.eq(~self.ready_next),
            any_word.eq(put | any_word & ~(get & (level == 1))),
            write.addr.eq(write.addr + put), read.addr.eq(read.addr + get),
        ]
        return m
