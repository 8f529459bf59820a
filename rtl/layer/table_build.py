"""What keeps a mixer's tables right when its weights are written over the configuration bus."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.layer.table_shape import ENTRIES, ENTRY_BITS, GROUP, TableShape
from rtl.parts.memory import WORD, Region, decode, delay_bus
from rtl.parts.streams import ConfigBus

READ = 4        # cycles from an entry's address to `seen`
OLD = 2         # entries that tell what a weight was
DELTA = OLD + READ              # cycle of an update from which the difference is known
UPDATE = DELTA + ENTRIES + 1    # cycles of an update
DECODE = 3      # from the bus to the first bit
BEHIND = 1      # `busy` is a register


def spacing(width: int) -> int:
    """Cycles from one write on the bus to the next: bit by bit, and each weight that it ends."""
    return DECODE + BEHIND + WORD + (UPDATE + 1) * ((WORD + width - 1) // width)


class TableBuilder(wiring.Component):
    """Writes one weight after the other into the eight entries of its group, by their difference.

    The entries say what the weight was: the one with all signs 1, less the one where only its sign
    is another, is twice the weight. All sums are modulo 2**9, so any order of writes will do.

    .. code-block:: text

        cfg ─►[word, shifts]─►[weight]──────►(-)─►[delta]─►(+-)─►[new] ─► port B, `entry` - 4
        port A, `entry` ◄── 0, k, 0..7        ▲              ▲
             └───────────► seen ─►[all ones]──┴──────────────┘

    Parameters
    ----------
    shape : TableShape
    region : Region
        :func:`rtl.layer.table_shape.regions`.
    weight : shape-like
        Of a weight, at most 8 bits.

    Members
    -------
    cfg : ``In(ConfigBus())``
        The words of a row in rising order, :func:`spacing` cycles from one to the next.
    busy : ``Out(1)``
        The tables' addresses are the builder's.
    output, neuron : ``Out``
        Which weight.
    read : ``Out(range(ENTRIES))``
        Entry to read; ``seen`` is the output's ``READ`` cycles later.
    seen : ``In(signed(ENTRY_BITS))``
    write, entry, new : ``Out``
        An entry to write.
    delta, add : ``Out``
        Once for each weight: what the output's row sum grows by.

    Timing
    ------
    An update of one weight takes ``UPDATE`` cycles. It has no reset, as the memories have none:
    a reset in the middle would leave entries that no later write puts right.

    Resources
    ---------
    Two shift registers, two adders of 9 bits.
    """

    def __init__(self, shape: TableShape, region: Region, weight):
        self.shape, self.region, self.weight = shape, region, weight
        super().__init__({
            "cfg": In(ConfigBus()), "busy": Out(1), "output": Out(range(max(2, shape.H))),
            "neuron": Out(range(max(2, shape.H))), "read": Out(range(ENTRIES)),
            "seen": In(signed(ENTRY_BITS)), "write": Out(1), "entry": Out(range(ENTRIES)),
            "new": Out(signed(ENTRY_BITS)), "delta": Out(signed(ENTRY_BITS)), "add": Out(1)})

    def elaborate(self, platform):
        m = Module()
        width, at = self.weight.width, Signal(range(UPDATE + 1), reset_less=True)
        updating = Signal(reset_less=True)
        weight = Signal(self.weight, reset_less=True)
        complete = self._weights(m, weight, updating)
        with m.If(complete):
            m.d.sync += [updating.eq(1), at.eq(0)]
        with m.If(updating):
            m.d.sync += at.eq(at + 1)
            with m.If(at == UPDATE - 1):
                m.d.sync += updating.eq(0)

        # Which entries: all signs alike; that of the weight turned, or of the first all the others.
        k = self.neuron[:(GROUP - 1).bit_length()]
        other = Mux(k == 0, ENTRIES - 1, 1 << (k - 1)[:2])[:3]
        ones, delta, new = (Signal(signed(ENTRY_BITS), name=name, reset_less=True)
                            for name in ("ones", "delta_kept", "new_kept"))
        write, add, entry = Signal(reset_less=True), Signal(reset_less=True), Signal(
            range(ENTRIES), reset_less=True)
        twice = Mux(k == 0, ones + self.seen, ones - self.seen)
        old = Signal(self.weight)
        m.d.comb += [self.read.eq(Mux(at == 0, 0, Mux(at == 1, other, at - OLD))),
                     old.eq(twice[1:1 + width])]
        with m.If(updating & (at == READ)):
            m.d.sync += ones.eq(self.seen)
        with m.If(updating & (at == READ + 1)):
            m.d.sync += delta.eq(weight - old)
        changed = Signal(range(ENTRIES))
        m.d.comb += changed.eq(at - DELTA)
        turned = Mux(k == 0, 0, (changed >> (k - 1)[:2])[0])
        m.d.sync += [
            new.eq(Mux(turned, self.seen - delta, self.seen + delta)), entry.eq(changed),
            write.eq(updating & (at >= DELTA) & (at < DELTA + ENTRIES)),
            add.eq(updating & (at == DELTA)),
        ]
        m.d.comb += [self.new.eq(new), self.entry.eq(entry), self.write.eq(write),
                     self.delta.eq(delta), self.add.eq(add)]
        return m

    def _weights(self, m: Module, weight, updating):
        """The bits of every word, one a cycle; returns 1 in the cycle after a weight's last one."""
        region, H = self.region, self.shape.H
        chunk_bits = (region.stride - 1).bit_length()
        row_bits = (region.depth - 1).bit_length()
        now, here = decode(m, self.cfg, region)
        then = delay_bus(m, now, "cfg_then")
        hit, starts = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [hit.eq(here), starts.eq(now.addr[:chunk_bits] == 0)]
        bits, left = Signal(WORD, reset_less=True), Signal(range(WORD + 1), reset_less=True)
        have = Signal(range(self.weight.width + 1), reset_less=True)
        coming = Signal(range(H + 1), reset_less=True)      # output of the weight that is shifted
        output, neuron = (Signal(range(max(2, H)), name=name, reset_less=True)
                          for name in ("output_kept", "neuron_kept"))
        complete, busy = Signal(), Signal(reset_less=True)
        m.d.comb += [complete.eq((have == self.weight.width) & (coming != H)),
                     self.output.eq(output), self.neuron.eq(neuron), self.busy.eq(busy)]
        # A register: the addresses of all tables hang on it. The first address is used after it.
        m.d.sync += busy.eq((left != 0) | complete | updating)
        with m.If(complete):
            m.d.sync += [have.eq(0), coming.eq(coming + 1), output.eq(coming)]
        with m.Elif((left != 0) & ~updating):
            m.d.sync += [weight.eq(Cat(weight[1:], bits[0])),
                         bits.eq(bits >> 1), left.eq(left - 1), have.eq(have + 1)]
        with m.If(hit):
            m.d.sync += [bits.eq(then.data), left.eq(WORD)]
            with m.If(starts):
                m.d.sync += [have.eq(0), coming.eq(0),
                             neuron.eq(then.addr[chunk_bits:][:row_bits])]
        return complete
