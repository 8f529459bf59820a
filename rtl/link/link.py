"""The link's device side: carries out requests, answers each with one frame."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.integer.artifact import Artifact
from rtl.link import protocol as protocol
from rtl.link.frames import FrameReceiver, FrameSender
from rtl.link.identity import SIZE, Identity, result_bytes
from rtl.link.player import SamplePlayer
from rtl.link.protocol import Command
from rtl.parts.streams import ConfigBus, result_word, sample_word


class Link(wiring.Component):
    """Requests in, replies out, a core behind it.

    .. code-block:: text

        data ──►[FrameReceiver]──►(requests)──► cfg
                                     │  └──►[SamplePlayer]──► i ──►(core)──► o
        tx   ◄──[FrameSender]◄──(replies)◄── identity, registers, result ◄──┘

    The protocol is :mod:`rtl.link.protocol`'s. Whatever comes over the line, only whole frames with
    a right CRC do anything, only in order, and each of them in bounded time: garbage stops nothing.

    Parameters
    ----------
    art : Artifact
    identity : Identity

    Members
    -------
    data, valid : ``In(8)``, ``In(1)``
        Bytes from the line, never refused.
    tx : ``Out(stream.Signature(8))``
        Bytes to the line.
    i, o, cfg : the core's ports, seen from the other side.
    core_reset : ``Out(1)``
        Reset the core.
    busy : ``Out(1)``
        A request is worked on or a sequence is inside.

    Timing
    ------
    A request takes at most 4 cycles per byte, and then waits for the reply before it to leave.

    Resources
    ---------
    Memories of 64, 32 and 128 bytes and the samples'; a multiplexer over the result's bits.
    """

    def __init__(self, art: Artifact, identity: Identity):
        self.art, self.identity = art, identity
        self.receiver, self.sender = FrameReceiver(), FrameSender()
        self.player = SamplePlayer(art)
        super().__init__({
            "data": In(8), "valid": In(1), "tx": Out(stream.Signature(8)),
            "i": Out(stream.Signature(sample_word(art))),
            "o": In(stream.Signature(result_word(art))), "cfg": Out(ConfigBus()),
            "core_reset": Out(1), "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver, m.submodules.sender = self.receiver, self.sender
        m.submodules.player = self.player
        m.d.comb += [self.receiver.data.eq(self.data), self.receiver.valid.eq(self.valid)]
        wiring.connect(m, self.sender.o, wiring.flipped(self.tx))
        wiring.connect(m, self.player.o, wiring.flipped(self.i))

        inside = Signal()       # from RUN to TAKE
        self._registers(m, inside)
        self._requests(m, inside)
        return m

    def _registers(self, m, inside) -> None:
        """What READ shows beside identity, model and seed: the counters."""
        self.cycles, counting = Signal(32), Signal()
        first = Signal()
        with m.If(first & self.i.valid & self.i.ready):
            m.d.sync += [self.cycles.eq(1), counting.eq(1), first.eq(0)]
        with m.Elif(counting):
            with m.If(self.o.valid):
                m.d.sync += counting.eq(0)
            with m.Else():
                m.d.sync += self.cycles.eq(self.cycles + 1)
        with m.If(self.player.start):
            m.d.sync += first.eq(1)
        with m.If(self.core_reset):
            m.d.sync += [counting.eq(0), first.eq(0)]
        self.counters = {}
        for name in ("good", "bad", "dropped"):
            self.counters[name] = count = Signal(32, name=name)
            m.d.sync += count.eq(count + getattr(self.receiver, name))

    def _space(self) -> tuple[Value, Value]:
        """The counters' 16 bytes, each at its address modulo 16, and the result's from 0 on."""
        counters = {"cycles": self.cycles, **self.counters}
        assert list(protocol.REGISTER_FIELDS.items())[2:] == [(name, 4) for name in counters]
        values = list(counters.values())
        turned = [values[j - protocol.COUNTERS // 4 % 4] for j in range(4)]
        result = self.o.payload
        pieces = [(result.label, protocol.LABEL_BYTES)]
        pieces += [(result.logits[c], protocol.LOGIT_BYTES) for c in range(self.art.outputs)]
        pieces += [(result.saturations[j], protocol.SATURATION_BYTES)
                   for j in range(len(self.art.blocks) + 1)]
        padded = [Cat(Value.cast(value), Const(0, 8 * size - len(Value.cast(value))))
                  for value, size in pieces]
        return Cat(turned), Cat(padded)

    def _requests(self, m, inside) -> None:
        receiver, sender, player = self.receiver, self.sender, self.player
        words = self.identity.model + protocol.seed_word(self.art.seed).to_bytes(4, "little")
        kept = m.submodules.identity = memory.Memory(
            shape=8, depth=2 * SIZE, init=self.identity.pack() + words)
        put, get = kept.write_port(), kept.read_port(domain="sync")
        tag, command, expected = Signal(8), Signal(8), Signal(8)
        refused, wrong = Signal(), Signal()
        index, left, step = Signal(5), Signal(5), Signal()
        byte = receiver.byte
        m.d.comb += receiver.index.eq(Mux(step, index + 1, index))
        with m.If(step):
            m.d.sync += [index.eq(index + 1), left.eq(left - 1)]
        # Numbers come lowest byte first, so they shift in from above.
        number, word, filled = Signal(24), Signal(32), Signal(2)
        order = tag == expected
        idle = ~inside

        address = Signal(16)
        counter, shown = Signal(8), Signal(8)
        counters, result = self._space()
        m.d.comb += [get.addr.eq(address), put.data.eq(byte),
                     put.addr.eq(protocol.REGISTERS | Cat(filled, number[:2]))]
        region = Signal(2)
        last_result = result_bytes(len(self.art.blocks), self.art.outputs)
        m.d.sync += [counter.eq(counters.word_select(address[:4], 8)),
                     shown.eq(result.word_select((address - protocol.RESULT)[
                         :(last_result - 1).bit_length()], 8)),
                     region.eq(Mux(address >= protocol.RESULT, 2, address >= protocol.COUNTERS))]

        word_bytes = self.identity.sample_bytes
        m.d.comb += [player.w_addr.eq(number), player.length.eq(number),
                     player.w_data.eq(Cat(word, byte) >> 8 * (5 - word_bytes)),
                     self.cfg.data.eq(Cat(word[8:], byte)), self.cfg.addr.eq(number),
                     self.busy.eq(receiver.frame | inside)]
        m.d.sync += self.core_reset.eq(0)       # a register: it crosses the device
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [index.eq(0), refused.eq(0), wrong.eq(0), filled.eq(0)]
                m.d.comb += receiver.index.eq(0)
                with m.If(receiver.frame):
                    m.d.sync += left.eq(receiver.length)
                    m.next = "TAG"
            with m.State("TAG"):
                m.d.comb += step.eq(1)
                m.d.sync += tag.eq(byte)
                m.next = "COMMAND"
            with m.State("COMMAND"):
                m.d.comb += step.eq(1)
                m.d.sync += command.eq(byte)
                m.next = "CHECK"
            with m.State("CHECK"):
                m.next = "REPLY0"
                body = left - 3             # behind address or position
                with m.Switch(command):
                    with m.Case(Command.READ):
                        m.d.sync += wrong.eq(left != 3)
                        with m.If(left == 3):
                            m.next = "NUMBER0"
                    with m.Case(Command.SAMPLES):
                        m.d.sync += wrong.eq(left < 3)
                        with m.If((left >= 3) & order):
                            m.next = "NUMBER0"
                    with m.Case(Command.CONFIG):
                        m.d.sync += [wrong.eq((left < 7) | (body[:2] != 0)),
                                     refused.eq(order & inside)]
                        with m.If((left >= 7) & (body[:2] == 0) & order & idle):
                            m.next = "NUMBER0"
                    with m.Case(Command.RUN):
                        m.d.sync += [wrong.eq(left != 2), refused.eq(order & inside)]
                        with m.If((left == 2) & order & idle):
                            m.next = "NUMBER0"
                    with m.Case(Command.TAKE):
                        m.d.sync += [wrong.eq(left != 0), refused.eq(order & ~self.o.valid)]
                        with m.If((left == 0) & order & self.o.valid):
                            m.d.comb += self.o.ready.eq(1)
                            m.d.sync += inside.eq(0)
                            m.next = "DONE"
                    with m.Case(Command.RESET):
                        m.d.sync += wrong.eq(left != 0)
                        with m.If((left == 0) & order):
                            m.d.comb += player.clear.eq(1)
                            m.d.sync += [self.core_reset.eq(1), inside.eq(0)]
                            m.next = "DONE"
                    with m.Default():
                        m.d.sync += wrong.eq(1)
            for j, following in enumerate(("NUMBER1", "NUMBER2", "BODY")):
                with m.State(f"NUMBER{j}"):
                    m.d.comb += step.eq(1)
                    m.d.sync += number[8 * j:8 * j + 8].eq(byte)
                    m.next = following
                    if j == 1:
                        with m.Switch(command):
                            with m.Case(Command.SAMPLES):
                                m.next = "SAMPLES"
                            with m.Case(Command.RUN):
                                m.next = "RUN"
            with m.State("BODY"):           # behind three bytes: READ or CONFIG
                with m.If(command == Command.READ):
                    m.d.sync += [address.eq(number), left.eq(number[16:]),
                                 wrong.eq(number[16:] > protocol.REPLY_DATA)]
                    m.next = "REPLY0"
                with m.Elif(left == 0):
                    m.next = "DONE"
                with m.Else():
                    m.d.comb += step.eq(1)
                    m.d.sync += [word.eq(Cat(word[8:], byte)), filled.eq(filled + 1)]
                    m.d.comb += put.en.eq(number[2:] == protocol.OWN_WORDS >> 2)
                    with m.If(filled == 3):
                        m.d.sync += number.eq(number + 1)
                        m.d.comb += self.cfg.en.eq(~number[23])
            with m.State("SAMPLES"):
                with m.If(left == 0):
                    m.next = "DONE"
                with m.Else():
                    m.d.comb += step.eq(1)
                    m.d.sync += [word.eq(Cat(word[8:], byte)), filled.eq(filled + 1)]
                    with m.If(filled == word_bytes - 1):
                        m.d.comb += player.w_en.eq(1)
                        m.d.sync += [number[:16].eq(number[:16] + 1), filled.eq(0)]
            with m.State("RUN"):
                bad = (number[:16] == 0) | (number[:16] > self.art.length)
                with m.If(bad):
                    m.d.sync += wrong.eq(1)
                    m.next = "REPLY0"
                with m.Else():
                    m.d.comb += player.start.eq(1)
                    m.d.sync += inside.eq(1)
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.sync += expected.eq(expected + 1)
                m.next = "REPLY0"
            status = Cat(inside & ~self.o.valid, inside & self.o.valid, refused, wrong)
            more = (command == Command.READ) & ~wrong & (left != 0)
            head = (tag, command | protocol.REPLY, expected, status)
            for j, value in enumerate(head):
                with m.State(f"REPLY{j}"):
                    m.d.comb += [sender.i.valid.eq(1), sender.i.payload.byte.eq(value)]
                    if j == 3:
                        m.d.comb += sender.i.payload.last.eq(~more)
                    with m.If(sender.i.ready):
                        m.next = f"REPLY{j + 1}" if j < 3 else "END"
                        if j == 3:
                            with m.If(more):
                                m.next = "FETCH"
            with m.State("FETCH"):
                m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += [sender.i.valid.eq(1), sender.i.payload.last.eq(left == 1),
                             sender.i.payload.byte.eq(
                                 Mux(region == 2, shown, Mux(region == 1, counter, get.data)))]
                with m.If(sender.i.ready):
                    m.d.sync += [address.eq(address + 1), left.eq(left - 1)]
                    m.next = "FETCH"
                    with m.If(left == 1):
                        m.next = "END"
            with m.State("END"):
                m.d.comb += receiver.done.eq(1)
                m.next = "WAIT"
            with m.State("WAIT"):
                m.next = "IDLE"
