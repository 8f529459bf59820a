"""What the link does with requests: one after the other, each answered with one frame."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import memory

from rtl.link import protocol
from rtl.link.protocol import Command
from rtl.link.samples import Samples


class Requests:
    """The machine that carries requests out and replies, in the module of a link.

    .. code-block:: text

        IDLE ─► HEAD0..3 ─► CHECK ─► NUMBER0..2 ─► BODY, samples, RUN ─► DONE ─┐
          ▲                   └─────────── wrong, refused, out of order ──────►│
          └── WAIT ◄── END ◄── FETCH, GIVE (bytes of READ) ◄── REPLY0..9 ◄─────┘

    Parameters
    ----------
    link : rtl.link.link.Link
        Its parts and ports.
    inside : Signal
        A sequence is inside, from RUN to TAKE.
    counters : dict
        Those of ``protocol.REGISTER_FIELDS``, which READ shows.
    """

    def __init__(self, link, inside: Signal, counters: dict[str, Signal]):
        self.link, self.inside, self.counters = link, inside, counters
        self.byte = link.receiver.byte
        self.tag, self.expected = Signal(protocol.TAG_BITS), Signal(protocol.TAG_BITS)
        self.command, self.refused, self.wrong = Signal(8), Signal(), Signal()
        self.reads, self.resets = Signal(), Signal()    # the command, a cycle after it
        # The byte behind the one that is looked at, how many there are from that one on, or that
        # READ still gives; go on to it.
        self.index, self.left, self.step = Signal(5), Signal(5), Signal()
        # Address, length or tag; what comes behind it, lowest byte first, so it shifts in from
        # above; and how many bytes of that there are.
        self.number, self.word, self.filled = Signal(24), Signal(32), Signal(2)
        self.address, self.loaded = Signal(16), Signal(16)      # of READ; samples of the next one
        self.ran = Signal()         # the player has a sequence that AGAIN can run
        self.samples = Samples(self)
        self.answered = link.o.valid & ~link.logits.en      # and the last logit is kept

    def add_to(self, m: Module) -> None:
        """Add everything to the link's module."""
        link, receiver = self.link, self.link.receiver
        words = link.identity.model + protocol.seed_word(link.art.seed).to_bytes(4, "little")
        end = protocol.RESULT + link.logits.end
        kept = m.submodules.identity = memory.Memory(
            shape=8, depth=1 << (end - 1).bit_length(), init=link.identity.pack() + words)
        put, get = kept.write_port(), kept.read_port(domain="sync")
        m.d.comb += [receiver.index.eq(self.index), receiver.en.eq(self.step)]
        m.d.sync += [self.reads.eq(self.command == Command.READ),
                     self.resets.eq(self.command == Command.RESET)]
        with m.If(self.step):
            m.d.sync += [self.index.eq(self.index + 1), self.left.eq(self.left - 1)]
        shown = self._shown(m, put, get)
        m.d.comb += [link.player.length.eq(self.number),
                     link.cfg.data.eq(Cat(self.word[8:], self.byte)),
                     link.cfg.addr.eq(self.number), link.busy.eq(receiver.frame | self.inside)]
        m.d.sync += link.core_reset.eq(0)       # a register: it crosses the device
        with m.FSM():
            self._head(m)
            self._check(m)
            self._numbers(m)
            self._body(m, put)
            self.samples.add_to(m)
            self._run(m)
            self._reply(m)
            self._bytes(m, shown)

    def _shown(self, m: Module, put, get) -> Value:
        """The byte that READ shows of ``address``, two cycles after it was set."""
        address, logits, result = self.address, self.link.logits, protocol.RESULT
        m.d.comb += [get.addr.eq(address), put.data.eq(self.byte), put.en.eq(logits.en),
                     put.addr.eq(protocol.REGISTERS | Cat(self.filled, self.number[:2]))]
        with m.If(logits.en):       # a sequence is inside, so CONFIG writes nothing
            m.d.comb += [put.data.eq(logits.byte), put.addr.eq(result + logits.addr)]
        counters, label, saturations = self._space()
        behind, shown = result + logits.end, Signal(8)
        own = Signal()              # the byte is none of the memory's
        m.d.sync += own.eq((address >= protocol.COUNTERS) & (
            (address < result + protocol.LABEL_BYTES) | (address >= behind)))
        with m.If(address < result):
            m.d.sync += shown.eq(counters.word_select(address[:4], 8))
        with m.Elif(address < behind):
            m.d.sync += shown.eq(label.word_select(address[:1], 8))
        with m.Else():
            at = (address - behind)[:(len(saturations) // 8 - 1).bit_length()]
            m.d.sync += shown.eq(saturations.word_select(at, 8))
        return Mux(own, shown, get.data)

    def _space(self) -> tuple[Value, Value, Value]:
        """The counters' 16 bytes, each at its address modulo 16; the label's, and those behind the
        logits."""
        link, counters = self.link, self.counters
        assert list(protocol.REGISTER_FIELDS.items())[2:] == [(name, 4) for name in counters]
        values = [Cat(value, Const(0, 32 - len(value))) for value in counters.values()]
        turned = [values[j - protocol.COUNTERS // 4 % 4] for j in range(4)]
        result = link.o.payload
        label = Cat(result.label, Const(0, 8 * protocol.LABEL_BYTES - len(result.label)))
        return Cat(turned), label, Value.cast(result.saturations)

    def _head(self, m: Module) -> None:
        """Tag, its low byte first, and the command behind that one."""
        receiver, tag, byte = self.link.receiver, self.tag, self.byte
        with m.State("IDLE"):
            m.d.sync += [self.refused.eq(0), self.wrong.eq(0), self.filled.eq(0)]
            m.d.comb += receiver.en.eq(1)
            with m.If(receiver.frame):
                m.d.sync += [self.index.eq(1), self.left.eq(receiver.length)]
                m.next = "HEAD0"
        for j, field in enumerate((tag[:8], self.command, tag[8:16], tag[16:])):
            with m.State(f"HEAD{j}"):
                m.d.comb += self.step.eq(1)
                m.d.sync += field.eq(byte)
                m.next = f"HEAD{j + 1}" if j < 3 else "CHECK"

    def _check(self, m: Module) -> None:
        """Is the request one that can be carried out now? TAKE and AGAIN are, here."""
        link, left, wrong, refused, inside = (self.link, self.left, self.wrong, self.refused,
                                              self.inside)
        order, idle = self.tag == self.expected, ~inside
        with m.State("CHECK"):
            m.next = "REPLY0"
            body = left - 3             # behind the address
            with m.Switch(self.command):
                with m.Case(Command.READ):
                    m.d.sync += wrong.eq(left != 3)
                    with m.If(left == 3):
                        m.next = "NUMBER0"
                for command in (Command.SAMPLES, Command.PACKED):
                    with m.Case(command):
                        m.d.sync += wrong.eq(left == 0)
                        with m.If((left != 0) & order):
                            m.next = command.name
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
                    m.d.sync += [wrong.eq(left != 0), refused.eq(order & ~self.answered)]
                    with m.If((left == 0) & order & self.answered):
                        m.d.comb += link.o.ready.eq(1)
                        m.d.sync += inside.eq(0)
                        m.next = "DONE"
                with m.Case(Command.AGAIN):
                    m.d.sync += [wrong.eq((left != 0) | (order & ~self.ran)),
                                 refused.eq(order & inside)]
                    with m.If((left == 0) & self.ran & order & idle):
                        m.d.comb += link.player.again.eq(1)
                        m.d.sync += inside.eq(1)
                        m.next = "DONE"
                with m.Case(Command.RESET):
                    m.d.sync += wrong.eq(left != 3)
                    with m.If((left == 3) & order):
                        m.next = "NUMBER0"
                with m.Default():
                    m.d.sync += wrong.eq(1)

    def _numbers(self, m: Module) -> None:
        """Length: two bytes; address or tag: three."""
        for j, following in enumerate(("NUMBER1", "NUMBER2", "BODY")):
            with m.State(f"NUMBER{j}"):
                m.d.comb += self.step.eq(1)
                m.d.sync += self.number[8 * j:8 * j + 8].eq(self.byte)
                m.next = following
                if j == 1:
                    with m.If(self.command == Command.RUN):
                        m.next = "RUN"

    def _body(self, m: Module, put) -> None:
        """Behind three bytes: how much READ wants, or the words of CONFIG. RESET has none."""
        number, left, filled = self.number, self.left, self.filled
        with m.State("BODY"):
            with m.If(self.reads):
                m.d.sync += [self.address.eq(number), left.eq(number[16:]),
                             self.wrong.eq(number[16:] > protocol.READ_DATA)]
                m.next = "REPLY0"
            with m.Elif(self.resets):
                m.d.comb += self.link.player.clear.eq(1)
                self.samples.clear(m)
                m.d.sync += [self.link.core_reset.eq(1), self.inside.eq(0), self.ran.eq(0),
                             self.expected.eq(number)]
                m.next = "REPLY0"
            with m.Elif(left == 0):
                m.next = "DONE"
            with m.Else():
                m.d.comb += self.step.eq(1)
                m.d.sync += [self.word.eq(Cat(self.word[8:], self.byte)), filled.eq(filled + 1)]
                with m.If(number[2:] == protocol.OWN_WORDS >> 2):
                    m.d.comb += put.en.eq(1)
                with m.If(filled == 3):
                    m.d.sync += number.eq(number + 1)
                    m.d.comb += self.link.cfg.en.eq(~number[23])
                    if self.link.spacing > 1:
                        m.next = "SPACED"
        if self.link.spacing > 1:
            waited = Signal(range(self.link.spacing))
            with m.State("SPACED"):
                m.d.sync += waited.eq(Mux(waited == self.link.spacing - 1, 0, waited + 1))
                with m.If(waited == self.link.spacing - 1):
                    m.next = "BODY"

    def _run(self, m: Module) -> None:
        """Start the sequence, if it is just as long as the host says."""
        length = self.number[:16]
        with m.State("RUN"):
            bad = (length == 0) | (length > self.link.identity.length) | (length != self.loaded)
            with m.If(bad):
                m.d.sync += self.wrong.eq(1)
                m.next = "REPLY0"
            with m.Else():
                m.d.comb += self.link.player.start.eq(1)
                self.samples.clear(m)
                m.d.sync += [self.inside.eq(1), self.ran.eq(1)]
                m.next = "DONE"

    def _reply(self, m: Module) -> None:
        """The head of the reply; a request that was carried out counts first."""
        sender, tag, expected, address = self.link.sender, self.tag, self.expected, self.address
        with m.State("DONE"):
            m.d.sync += expected.eq(expected + 1)
            m.next = "REPLY0"
        answered = self.answered
        status = Cat(self.inside & ~answered, self.inside & answered, self.refused, self.wrong)
        shows, none = self.reads & ~self.wrong, self.left == 0
        head = (tag[:8], self.command | protocol.REPLY, tag[8:16], tag[16:], expected[:8],
                expected[8:16], expected[16:], status, address[:8], address[8:])
        ends = {protocol.REPLY_HEAD - 1: (~shows, "REPLY8"), len(head) - 1: (none, "FETCH")}
        for j, value in enumerate(head):
            last, following = ends.get(j, (0, f"REPLY{j + 1}"))
            with m.State(f"REPLY{j}"):
                m.d.comb += [sender.i.valid.eq(1), sender.i.payload.byte.eq(value),
                             sender.i.payload.last.eq(last)]
                with m.If(sender.i.ready):
                    m.next = following
                    with m.If(last):
                        m.next = "END"

    def _bytes(self, m: Module, shown: Value) -> None:
        """The bytes of READ, then the end of the frame."""
        sender, left = self.link.sender, self.left
        with m.State("FETCH"):
            m.next = "GIVE"
        with m.State("GIVE"):
            m.d.comb += [sender.i.valid.eq(1), sender.i.payload.last.eq(left == 1),
                         sender.i.payload.byte.eq(shown)]
            with m.If(sender.i.ready):
                m.d.sync += [self.address.eq(self.address + 1), left.eq(left - 1)]
                m.next = "FETCH"
                with m.If(left == 1):
                    m.next = "END"
        with m.State("END"):
            m.d.comb += self.link.receiver.done.eq(1)
            m.d.sync += self.index.eq(0)
            m.next = "WAIT"
        with m.State("WAIT"):
            m.next = "IDLE"
