"""A core behind a serial line: what every board is made of."""

from dataclasses import replace

from amaranth import ClockDomain, DomainRenamer, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from quant.integer.artifact import Artifact
from rtl.parts.config import HardwareConfig
from rtl.core import Core
from rtl.link.link import Link
from rtl.link.identity import Identity
from rtl.plan import check_link
from rtl.link.uart import UartReceiver, UartTransmitter


class LinkCore(wiring.Component):
    """Serial line, link and core.

    Parameters
    ----------
    art : Artifact
        Shape of the core, and its contents until others are uploaded.
    hw : HardwareConfig
    clock : float
        Hz, of ``clk``; only told to the host.
    clocks : int
        Clock cycles per bit of the line.

    Members
    -------
    clk, rst : ``In(1)``
        Clock and reset of all that is inside. The reset of the core is one register behind ``rst``
        and the link's request, so that no logic stands between it and thousands of flip-flops.
    rx, tx : ``In(1)``, ``Out(1)``
        The line, 1 when idle.
    busy : ``Out(1)``
        A request is worked on or answered, or a sequence is inside.

    Resources
    ---------
    The core, and about 1,350 LUTs and 600 flip-flops for 10 classes.
    """

    def __init__(self, art: Artifact, hw: HardwareConfig, clock: float, clocks: int):
        self.core = Core(art, replace(hw, logits_apart=True))
        check_link(self.core.plan)
        self.identity = Identity.of(self.core.plan, clock)
        self.link = Link(art, self.identity, self.core.plan.spacing, hw)
        self.receiver, self.transmitter = UartReceiver(clocks), UartTransmitter(clocks)
        super().__init__({"clk": In(1), "rst": In(1), "rx": In(1), "tx": Out(1, init=1),
                          "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        link, core = self.link, self.core
        # Both domains have the very same clock signal: an alias of it would change a moment later,
        # and a simulator would let values race from one domain to the other.
        m.domains.sync = sync = ClockDomain(local=True)
        m.domains.core = inner = ClockDomain(local=True)
        sync.clk = inner.clk = self.clk
        sync.rst, inner.rst = self.rst, Signal(name="core_rst", init=1, reset_less=True)
        m.d.sync += inner.rst.eq(self.rst | link.core_reset)
        m.submodules.link = link
        m.submodules.core = DomainRenamer("core")(core)
        m.submodules.receiver, m.submodules.transmitter = self.receiver, self.transmitter
        for member in ("i", "o", "cfg"):
            wiring.connect(m, getattr(link, member), getattr(core, member))
        wiring.connect(m, link.tx, self.transmitter.i)
        m.d.comb += [link.logit.eq(core.logit), link.logit_valid.eq(core.logit_valid)]
        m.d.comb += [self.receiver.rx.eq(self.rx), self.tx.eq(self.transmitter.tx),
                     link.data.eq(self.receiver.data), link.valid.eq(self.receiver.valid),
                     self.busy.eq(link.busy | link.tx.valid | ~self.transmitter.i.ready)]
        return m
