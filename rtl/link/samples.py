"""Samples from requests into the player's memory, plain ones and packed ones."""

from amaranth import Cat, Module, Mux, Signal

from rtl.link.packing import MARKS


class Samples:
    """States of the machine that carries out SAMPLES and PACKED, in the module of a link.

    .. code-block:: text

        SAMPLES ─► DONE         a byte a cycle
        PACKED ◄─► TOKEN        what comes next: a control byte or a count
          └─◄─► LITERAL         or a byte of a sample; zeros are written in PACKED, one a cycle

    Parameters
    ----------
    requests : rtl.link.requests.Requests
        Its signals: the byte that is looked at, how many are left, samples loaded.

    Resources
    ---------
    About 20 flip-flops and 40 LUTs.

    Bit-exact model: :class:`rtl.link.packing.Unpacker`.
    """

    def __init__(self, requests):
        self.of = requests
        # What is left of a token. Marks: one a sample, above them a one that says where they end.
        self.marks, self.count = Signal(MARKS + 1, init=1), Signal(8)
        self.zeros, self.counted = Signal(), Signal()   # count is of zeros; a count comes next
        self.literal = Signal()

    def add_to(self, m: Module) -> None:
        """The memory's port, and the states of the machine that is open in ``m``."""
        of, player, size = self.of, self.of.link.player, self.of.link.identity.sample_bytes
        m.d.comb += [player.w_addr.eq(of.loaded), player.w_data.eq(
            Mux(self.literal, Cat(of.word, of.byte) >> 8 * (5 - size), 0))]
        with m.State("SAMPLES"):
            with m.If(of.left == 0):
                m.next = "DONE"
            with m.Else():
                self._byte(m)
        with m.State("PACKED"):
            pending, marked = self.marks != 1, self.marks[0]
            with m.If(pending & ~marked):
                self._written(m)
                m.d.sync += self.marks.eq(self.marks >> 1)
            with m.Elif(self.zeros):
                self._written(m)
                m.d.sync += [self.count.eq(self.count - 1), self.zeros.eq(self.count != 1)]
            with m.Elif(of.left == 0):
                m.next = "DONE"
            with m.Elif(pending | (self.count != 0)):
                m.next = "LITERAL"
            with m.Else():
                m.next = "TOKEN"
        with m.State("LITERAL"):
            with m.If(self._byte(m)):
                with m.If(self.marks != 1):
                    m.d.sync += self.marks.eq(self.marks >> 1)
                with m.Else():
                    m.d.sync += self.count.eq(self.count - 1)
            m.next = "PACKED"
        with m.State("TOKEN"):
            m.d.comb += of.step.eq(1)
            m.d.sync += self.counted.eq(0)
            with m.If(self.counted):
                m.d.sync += self.count.eq(of.byte)
            with m.Elif(of.byte[MARKS]):
                m.d.sync += [self.count.eq(of.byte[:MARKS] + 1), self.zeros.eq(1)]
            with m.Elif(of.byte == 0):
                m.d.sync += self.counted.eq(1)
            with m.Else():
                m.d.sync += self.marks.eq(Cat(of.byte[:MARKS], 1))
            m.next = "PACKED"

    def clear(self, m: Module) -> None:
        """Forget what is left of a token: another sequence begins."""
        m.d.sync += [self.of.loaded.eq(0), self.marks.eq(1), self.count.eq(0), self.zeros.eq(0),
                     self.counted.eq(0)]

    def _byte(self, m: Module):
        """Take a byte of a sample; 1: it was the last one of it."""
        of = self.of
        whole = of.filled == of.link.identity.sample_bytes - 1
        m.d.comb += [of.step.eq(1), self.literal.eq(1)]
        m.d.sync += [of.word.eq(Cat(of.word[8:], of.byte)), of.filled.eq(of.filled + 1)]
        with m.If(whole):
            self._written(m)
            m.d.sync += of.filled.eq(0)
        return whole

    def _written(self, m: Module) -> None:
        """A sample goes into the memory."""
        m.d.comb += self.of.link.player.w_en.eq(1)
        m.d.sync += self.of.loaded.eq(self.of.loaded + 1)
