"""Logits as bytes: what the link keeps of them in a memory, so that READ needs no multiplexer."""

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.link.protocol import LABEL_BYTES, LOGIT_BYTES
from rtl.parts.streams import LOGIT_BITS


class LogitBytes(wiring.Component):
    """A sequence's logits, one after the other, to the bytes of the result region.

    Parameters
    ----------
    outputs : int
        Logits of a sequence.

    Members
    -------
    start : ``In(1)``
        The next logit is the first of a sequence; what is left of another one is dropped.
    logit, valid : ``In(signed(48))``, ``In(1)``
        A logit, at least ``LOGIT_BYTES`` cycles behind the one before.
    en, addr, byte : ``Out(1)``, ``Out(range(end))``, ``Out(8)``
        A byte of it, the lowest first, and its place in the result region; ``end`` is behind the
        last one's.

    Timing
    ------
    The bytes of a logit leave in the ``LOGIT_BYTES`` cycles after ``valid``.

    Resources
    ---------
    As many flip-flops as a logit has bits that differ, and two counters.
    """

    def __init__(self, outputs: int):
        self.end = LABEL_BYTES + LOGIT_BYTES * outputs
        super().__init__({"start": In(1), "logit": In(signed(LOGIT_BITS)), "valid": In(1),
                          "en": Out(1), "addr": Out(range(self.end + 1)), "byte": Out(8)})

    def elaborate(self, platform):
        m = Module()
        held, left = Signal(signed(LOGIT_BITS), reset_less=True), Signal(range(LOGIT_BYTES + 1))
        m.d.comb += [self.en.eq(left != 0), self.byte.eq(held)]
        with m.If(self.valid):
            m.d.sync += [held.eq(self.logit), left.eq(LOGIT_BYTES)]
        with m.Elif(self.en):
            m.d.sync += [held.eq(held >> 8), left.eq(left - 1)]
        with m.If(self.en):
            m.d.sync += self.addr.eq(self.addr + 1)
        with m.If(self.start):
            m.d.sync += [self.addr.eq(LABEL_BYTES), left.eq(0)]
        return m
