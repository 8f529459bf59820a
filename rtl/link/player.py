"""Sequences for the core from a memory, so that a slow line does not slow the core."""

from amaranth import Cat, Module, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from quant.integer.artifact import Artifact
from rtl.parts.bank import Bank
from rtl.parts.config import HardwareConfig
from rtl.parts.pipeline import Pipeline
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
    hw : HardwareConfig
        The device's block RAM.

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
    The first sample is offered three cycles after ``start`` or ``again``, then one every cycle.

    Resources
    ---------
    A memory of two buffers, with a register behind it: the encoder may be far away.
    """

    def __init__(self, art: Artifact, hw: HardwareConfig = HardwareConfig()):
        self.art = art
        word = sample_word(art)
        self.depth, self.bits = buffer_shape(art)
        self.samples = Bank(2 * self.depth, self.bits, [], registered=True, cell=hw.block_ram)
        super().__init__({
            "w_addr": In(16), "w_data": In(self.bits), "w_en": In(1), "start": In(1),
            "again": In(1), "length": In(16), "clear": In(1), "busy": Out(1),
            "o": Out(stream.Signature(word))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.samples = samples = self.samples
        k = self.depth.bit_length() - 1
        written, played = Signal(), Signal()        # buffers
        index, final = Signal(k), Signal(k)
        asking, busy = Signal(), Signal()
        advance, is_final = Signal(), Signal()
        m.d.comb += [
            samples.w_addr.eq(Cat(self.w_addr[:k], written)), samples.w_data.eq(self.w_data),
            samples.w_en.eq(self.w_en & (self.w_addr[k:] == 0)),
            samples.r_addr.eq(Cat(index, played)), samples.r_en.eq(advance),
            advance.eq(~self.o.valid | self.o.ready), is_final.eq(index == final),
            self.o.payload.value.eq(samples.r_data), self.busy.eq(busy)]
        pipe = Pipeline(m, advance)
        asked = pipe.register(asking, "asked", reset_less=False)
        m.d.comb += self.o.payload.last.eq(pipe.delay(is_final, 2, "last"))
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(asked), index.eq(index + asking),
                         asking.eq(asking & ~is_final)]
        with m.If(self.o.valid & self.o.ready & self.o.payload.last):
            m.d.sync += busy.eq(0)
        with m.If(self.start):
            m.d.sync += [written.eq(~written), played.eq(written), final.eq(self.length - 1)]
        with m.If(self.start | self.again):
            m.d.sync += [index.eq(0), asking.eq(1), busy.eq(1)]
        with m.If(self.clear):
            m.d.sync += [asking.eq(0), asked.eq(0), self.o.valid.eq(0), busy.eq(0)]
        return m
