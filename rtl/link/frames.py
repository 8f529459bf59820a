"""Frames of the link in hardware: bytes from the line to checked content, content to the line."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import crc, data, memory, stream, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from rtl.link import protocol as protocol

CHECK = catalog.CRC16_IBM_3740
SLOT = 32           # bytes of a frame buffer
COUNT = range(SLOT)


def checker() -> crc.Processor:
    """The link's CRC-16, a byte per cycle."""
    return crc.Processor(crc.Parameters(CHECK, data_width=8))


class FrameReceiver(wiring.Component):
    """Takes bytes, undoes COBS, checks, and keeps up to two frames.

    Members
    -------
    data, valid : ``In(8)``, ``In(1)``
        Bytes from the line; never refused, but a byte stays for a cycle after ``valid``.
    frame : ``Out(1)``
        There is a frame; it stays until ``done``.
    length : ``Out(5)``
        Bytes of its content, CRC not counted.
    index, en : ``In(5)``, ``In(1)``; byte : ``Out(8)``
        Byte ``index`` of the content, one cycle later; it stays while ``en`` is 0.
    done : ``In(1)``
        The frame has been used; the next one may be there in the next cycle.
    good, bad, dropped : ``Out(1)``
        Pulses: a frame was kept; was not whole; was whole, but both buffers were full.

    Timing
    ------
    ``frame`` rises three cycles after the zero that ends it. A byte is decided on from registers:
    what it is, and whether a code is due.

    Resources
    ---------
    A memory of 64 bytes, about 65 flip-flops.

    Bit-exact model: :func:`rtl.link.protocol.decode`.
    """

    def __init__(self):
        super().__init__({
            "data": In(8), "valid": In(1), "frame": Out(1), "length": Out(5), "index": In(5),
            "en": In(1), "byte": Out(8), "done": In(1), "good": Out(1), "bad": Out(1),
            "dropped": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = buffer = memory.Memory(shape=8, depth=2 * SLOT, init=[])
        write, read = buffer.write_port(), buffer.read_port(domain="sync")
        m.submodules.check = check = checker()
        slot, oldest = Signal(), Signal()           # written now, used now
        full, lengths = Signal(2), [Signal(5, name=f"length{j}") for j in range(2)]
        # A byte is there, and it is the zero that ends a frame.
        line, there, zero = self.data, Signal(), Signal()
        m.d.sync += [there.eq(self.valid), zero.eq(self.data == 0)]
        # COBS: `left` bytes until the next code, which is due now; the first stands for no zero.
        left, is_code, count = Signal(8), Signal(init=1), Signal(6)
        first, broken = Signal(init=1), Signal()
        decoded, byte = Signal(), Signal(8)
        ended, whole, missed, size = Signal(), Signal(), Signal(), Signal(6)
        taken, lost = full.bit_select(slot, 1), Signal()    # no room, now or when a byte came
        m.d.comb += [decoded.eq(there & ~zero & ~(is_code & first)),
                     byte.eq(Mux(is_code, 0, line)),
                     write.addr.eq(Cat(count[:5], slot)), write.data.eq(byte),
                     write.en.eq(decoded & ~taken),
                     check.data.eq(byte), check.valid.eq(decoded)]
        m.d.sync += ended.eq(0)
        with m.If(there):
            with m.If(zero):
                m.d.comb += check.start.eq(1)
                m.d.sync += [ended.eq(count != 0), size.eq(count), is_code.eq(1), count.eq(0),
                             first.eq(1), broken.eq(0), lost.eq(0), missed.eq(lost | taken),
                             whole.eq(is_code & ~broken & check.match_detected
                                      & (count >= protocol.REQUEST_HEAD + 2))]
            with m.Else():
                ahead = Mux(is_code, line, left)
                m.d.sync += [first.eq(0), left.eq(ahead - 1), is_code.eq(ahead == 1)]
                with m.If(decoded):
                    m.d.sync += [count.eq(count + 1), lost.eq(lost | taken)]
                    with m.If(count == protocol.CONTENT + 2):
                        m.d.sync += [broken.eq(1), count.eq(count)]
        keep = ended & whole & ~missed
        m.d.comb += [self.good.eq(keep), self.bad.eq(ended & ~whole),
                     self.dropped.eq(ended & whole & missed),
                     self.frame.eq(full.bit_select(oldest, 1)),
                     self.length.eq(Mux(oldest, lengths[1], lengths[0])),
                     read.addr.eq(Cat(self.index, oldest)), read.en.eq(self.en),
                     self.byte.eq(read.data)]
        for j in range(2):
            with m.If(keep & (slot == j)):
                m.d.sync += [full[j].eq(1), lengths[j].eq(size - 2), slot.eq(~slot)]
            with m.If(self.done & (oldest == j)):
                m.d.sync += [full[j].eq(0), oldest.eq(~oldest)]
        return m


class FrameSender(wiring.Component):
    """Collects a frame's content, adds the CRC, stuffs it and gives it to the line.

    Members
    -------
    i : ``In(stream.Signature(StructLayout({"byte": 8, "last": 1})))``
        Content, 4 to 28 bytes.
    o : ``Out(stream.Signature(8))``
        Bytes for the line, with the zero at the end.

    Timing
    ------
    A frame is collected while none is on its way; 5 cycles lie between its last byte and the line.
    Stuffing and checksum begin at a register: what is offered comes from far.

    Resources
    ---------
    A memory of 32 bytes, about 55 flip-flops.

    Bit-exact model: :func:`rtl.link.protocol.encode`.
    """

    def __init__(self):
        word = data.StructLayout({"byte": 8, "last": 1})
        super().__init__({"i": In(stream.Signature(word)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = buffer = memory.Memory(shape=8, depth=SLOT, init=[])
        write, read = buffer.write_port(), buffer.read_port(domain="sync")
        m.submodules.check = check = checker()
        code_at, at, sent = Signal(COUNT), Signal(COUNT, init=1), Signal(COUNT)
        byte, put, close = Signal(8), Signal(), Signal()
        offered, there = Signal(8), Signal()        # the content's byte that came last
        m.d.sync += [offered.eq(self.i.payload.byte), there.eq(self.i.valid & self.i.ready)]
        m.d.comb += [byte.eq(offered), put.eq(there), check.data.eq(offered), check.valid.eq(there)]
        # A zero ends a group: its length goes to the place that was kept for it.
        with m.If(put):
            m.d.sync += at.eq(at + 1)
            with m.If(byte == 0):
                m.d.sync += code_at.eq(at)
        group = (byte == 0) | close
        m.d.comb += [write.en.eq(put | close), write.addr.eq(Mux(group, code_at, at)),
                     write.data.eq(Mux(group, (at - code_at)[:5], byte))]
        m.d.comb += [read.addr.eq(sent), read.en.eq(0)]
        with m.FSM():
            with m.State("COLLECT"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & self.i.payload.last):
                    m.next = "LAST"
            with m.State("LAST"):
                m.next = "HIGH"
            with m.State("HIGH"):
                m.d.comb += [byte.eq(check.crc[8:]), put.eq(1)]
                m.next = "LOW"
            with m.State("LOW"):
                m.d.comb += [byte.eq(check.crc[:8]), put.eq(1), check.start.eq(1)]
                m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += close.eq(1)
                m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += read.en.eq(1)
                m.d.sync += sent.eq(sent + 1)
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(read.data)]
                with m.If(self.o.ready):
                    m.next = "FETCH"
                    with m.If(sent == at):
                        m.next = "END"
            with m.State("END"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [sent.eq(0), at.eq(1), code_at.eq(0)]
                    m.next = "COLLECT"
        return m
