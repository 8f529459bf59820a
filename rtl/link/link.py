"""The link's device side: carries out requests, answers each with one frame."""

from amaranth import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from quant.integer.artifact import Artifact
from rtl.link import protocol
from rtl.link.frames import FrameReceiver, FrameSender
from rtl.link.identity import Identity
from rtl.link.logits import LogitBytes
from rtl.link.player import SamplePlayer
from rtl.link.requests import Requests
from rtl.parts.config import HardwareConfig
from rtl.parts.streams import LOGIT_BITS, ConfigBus, result_word, sample_word


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
    spacing : int
        Of the core's plan: cycles from one configuration write to the next.
    hw : HardwareConfig
        The device's block RAM.

    Members
    -------
    data, valid : ``In(8)``, ``In(1)``
        Bytes from the line, never refused.
    tx : ``Out(stream.Signature(8))``
        Bytes to the line.
    i, o, logit, logit_valid, cfg : the core's ports, seen from the other side; its logits leave
        apart, ``LOGIT_BYTES`` cycles from one to the next at least.
    core_reset : ``Out(1)``
        Reset the core.
    busy : ``Out(1)``
        A request is worked on or a sequence is inside.

    Timing
    ------
    A request takes at most 4 cycles per byte, one per packed zero, of which a byte can mean 128,
    and ``spacing`` per word of CONFIG where that is more than 1; then it waits for the reply
    before it to leave.

    Resources
    ---------
    Memories of 64 and 32 bytes, one of all that READ shows, up to the last logit, and the samples'.
    """

    def __init__(self, art: Artifact, identity: Identity, spacing: int = 1,
                 hw: HardwareConfig = HardwareConfig()):
        self.art, self.identity, self.spacing = art, identity, spacing
        self.receiver, self.sender = FrameReceiver(), FrameSender()
        self.player, self.logits = SamplePlayer(art, hw), LogitBytes(art.outputs)
        super().__init__({
            "data": In(8), "valid": In(1), "tx": Out(stream.Signature(8)),
            "i": Out(stream.Signature(sample_word(art))),
            "o": In(stream.Signature(result_word(art, apart=True))),
            "logit": In(signed(LOGIT_BITS)), "logit_valid": In(1), "cfg": Out(ConfigBus()),
            "core_reset": Out(1), "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver, m.submodules.sender = self.receiver, self.sender
        m.submodules.player, m.submodules.logits = self.player, self.logits
        m.d.comb += [self.logits.logit.eq(self.logit), self.logits.valid.eq(self.logit_valid),
                     self.logits.start.eq(self.player.start | self.player.again
                                          | self.core_reset)]
        m.d.comb += [self.receiver.data.eq(self.data), self.receiver.valid.eq(self.valid)]
        wiring.connect(m, self.sender.o, wiring.flipped(self.tx))
        wiring.connect(m, self.player.o, wiring.flipped(self.i))

        inside = Signal()       # from RUN to TAKE
        Requests(self, inside, self._counters(m)).add_to(m)
        return m

    def _counters(self, m: Module) -> dict[str, Signal]:
        """What READ shows beside identity, model and seed; in the order of their addresses."""
        cycles, counting = Signal(32), Signal()
        first, begun, ended = Signal(), Signal(), Signal()
        # A cycle late both, as they come from far: their distance is the same.
        m.d.sync += [begun.eq(first & self.i.valid & self.i.ready), ended.eq(self.o.valid)]
        with m.If(begun):
            m.d.sync += [cycles.eq(1), counting.eq(1)]
        with m.Elif(counting):
            with m.If(ended):
                m.d.sync += counting.eq(0)
            with m.Else():
                m.d.sync += cycles.eq(cycles + 1)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += first.eq(0)
        with m.If(self.player.start | self.player.again):
            m.d.sync += first.eq(1)
        with m.If(self.core_reset):
            m.d.sync += [counting.eq(0), first.eq(0)]
        counters = {"cycles": cycles}
        for name in ("good", "bad", "dropped"):
            counters[name] = count = Signal(protocol.FRAMES_BITS, name=name)
            m.d.sync += count.eq(count + getattr(self.receiver, name))
        return counters
