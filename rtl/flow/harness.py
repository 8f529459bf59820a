"""A core or a part with few pins, for place-and-route: chains of registers for wide ports."""

from amaranth import ClockDomain, ClockSignal, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Harness(wiring.Component):
    """A part whose inputs come from a shift register and whose outputs are folded into one bit.

    .. code-block:: text

        scan ─►[ ]─►[ ]─► ... every input, reset ─►(part)── every output ─►[ ]─►(xor chain)─► fold

    Every port begins and ends at a flip-flop with at most one gate, so the frequency is the part's.
    Nothing is optimised away: every output counts, every input is free.

    Parameters
    ----------
    part : Component
    taps : bool
        Whether ``tap0``, ``tap1``, ... count; ``busy`` never does. Both are for verification.

    Members
    -------
    clk : ``In(1)``
    scan : ``In(1)``
    fold : ``Out(1)``

    Resources
    ---------
    A flip-flop per input bit, two and a LUT per output bit.
    """

    def __init__(self, part: wiring.Component, taps: bool):
        self.part, self.taps = part, taps
        super().__init__({"clk": In(1), "scan": In(1), "fold": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain("sync")
        m.domains.pins = ClockDomain("pins", reset_less=True)
        reset = Signal()
        m.d.comb += [ClockSignal("sync").eq(self.clk), ClockSignal("pins").eq(self.clk),
                     ResetSignal("sync").eq(reset)]
        m.submodules.core = part = self.part
        m.d.pins += reset.eq(self.scan)
        chain, seen = reset, []
        for path, member, port in part.signature.flatten(part):
            port = Value.cast(port)
            name = "__".join(map(str, path))
            if name.startswith("tap") and not self.taps or name == "busy":
                continue
            if member.flow == In:
                bits = Signal(len(port), name=f"scan_{name}")
                m.d.pins += bits.eq(bits << 1 | chain)
                m.d.comb += port.eq(bits)
                chain = bits[-1]
            else:
                seen += list(port)
        held = Signal(len(seen))
        fold = Signal(len(seen))
        m.d.pins += [held[j].eq(bit) for j, bit in enumerate(seen)]
        m.d.pins += [fold[0].eq(held[0]), *(fold[j].eq(fold[j - 1] ^ held[j])
                                            for j in range(1, len(seen)))]
        m.d.comb += self.fold.eq(fold[-1])
        return m
