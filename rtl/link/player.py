"""Sequences for the core from a memory, so that a slow line does not slow the core."""

from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.integer.artifact import Artifact
from rtl.parts.streams import sample_word


def buffer_shape(art: Artifact) -> tuple[int, int]:
    """(samples, bits of one) of a buffer: of the longest sequence, rounded up to a power of two."""
    bits = Shape.cast(sample_word(art)["value"].shape).width
    return 1 << max(1, (art.length - 1).bit_length()), bits


class SamplePlayer(wiring.Component):
    """Two buffers of a sequence each: one is written while the other is played.

    .. code-block:: text

        write ──►[buffer 0 | buffer 1]──► o
                      └── start swaps ──┘

    Parameters
    ----------
    art : Artifact

    Members
    -------
    w_addr, w_data, w_en : write into the buffer that is not played; positions behind its end are
        ignored.
    start, length : ``In(1)``, ``In(16)``
        Play ``length`` >= 1 samples of what was written; only while not ``busy``.
    again : ``In(1)``
        Play what was played last once more; only while not ``busy``.
    clear : ``In(1)``
        Stop.
    busy : ``Out(1)``
        Samples are left.
    o : ``Out(stream.Signature(sample_word(art)))``

    Timing
    ------
    The first sample is offered two cycles after ``start`` or ``again``, then one every cycle.

    Resources
    ---------
    A memory of two buffers.
    """

    def __init__(self, art: Artifact):
        self.art = art
        word = sample_word(art)
        self.depth, self.bits = buffer_shape(art)
        super().__init__({
            "w_addr": In(16), "w_data": In(self.bits), "w_en": In(1), "start": In(1),
            "again": In(1), "length": In(16), "clear": In(1), "busy": Out(1),
            "o": Out(stream.Signature(word))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.samples = samples = memory.Memory(shape=self.bits, depth=2 * self.depth,
                                                       init=[])
        write, read = samples.write_port(), samples.read_port(domain="sync")
        k = self.depth.bit_length() - 1
        written, played = Signal(), Signal()        # buffers
        index, final = Signal(k), Signal(k)
        fetching, playing = Signal(), Signal()
        taken = self.o.valid & self.o.ready
        m.d.comb += [
            write.addr.eq(Cat(self.w_addr[:k], written)), write.data.eq(self.w_data),
            write.en.eq(self.w_en & (self.w_addr[k:] == 0)),
            read.addr.eq(Cat(Mux(taken, index + 1, index)[:k], played)),
            self.o.payload.value.eq(read.data), self.o.payload.last.eq(index == final),
            self.o.valid.eq(playing), self.busy.eq(fetching | playing)]
        with m.If(self.start):
            m.d.sync += [written.eq(~written), played.eq(written), final.eq(self.length - 1)]
        with m.If(self.start | self.again):
            m.d.sync += [index.eq(0), fetching.eq(1)]
        with m.If(fetching):
            m.d.sync += [fetching.eq(0), playing.eq(1)]
        with m.If(taken):
            m.d.sync += [index.eq(index + 1), playing.eq(~self.o.payload.last)]
        with m.If(self.clear):
            m.d.sync += [fetching.eq(0), playing.eq(0)]
        return m
