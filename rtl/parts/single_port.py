"""Large memories with one port, which read in operation and are written while nothing is inside."""

from amaranth import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from rtl.parts.bank import behind

BITS, ROWS, BLOCKS = 16, 1 << 14, 4     # of SB_SPRAM256KA (Lattice TN1295), and on an iCE40UP5K
LEAST = 4096        # bits of a memory that is worth one: what a block RAM has
NAME = "spram"      # of the memories in netlists: rtl.synth takes their content away


def blocks(depth: int, width: int) -> int:
    """How many of them a memory takes: as many side by side as its rows are wide."""
    return -(-width // BITS) * -(-depth // ROWS)


def chosen(regions: list, left: int) -> set[str]:
    """Names of the regions that lie in ``left`` blocks at most: the largest ones that fit."""
    found = set()
    for region in sorted(regions, key=lambda region: -region.depth * region.width):
        need = blocks(region.depth, region.width)
        if not region.register and need <= left and region.depth * region.width > LEAST:
            found.add(region.name)
            left -= need
    return found


class SinglePortMemory(wiring.Component):
    """As :class:`rtl.parts.memory.WideMemory`, but a cycle with a write reads nothing.

    It has no content before it is written. Its form is what yosys maps to SB_SPRAM256KA.

    Parameters
    ----------
    depth, width : int
    registered : bool
        With a register behind the row, as there.

    Members
    -------
    r_addr, r_en, r_data, w_addr, w_en, w_data : as there; ``w_en`` has a bit for 16 bits of a row

    Resources
    ---------
    :func:`blocks` of 2**14 rows of 16 bits.
    """

    def __init__(self, depth: int, width: int, registered: bool = False):
        self.depth, self.width = max(2, depth), width
        self.registered, self.latency = registered, 1 + registered
        self.banks = [(low, min(BITS, width - low)) for low in range(0, width, BITS)]
        addr = range(self.depth)
        super().__init__({"r_addr": In(addr), "r_en": In(1), "r_data": Out(width),
                          "w_addr": In(addr), "w_en": In(len(self.banks)), "w_data": In(width)})

    def elaborate(self, platform):
        m = Module()
        addr, write = Signal.like(self.r_addr), Signal()
        m.d.comb += [write.eq(self.w_en.any()), addr.eq(Mux(write, self.w_addr, self.r_addr))]
        for k, (low, bits) in enumerate(self.banks):
            bank = memory.Memory(shape=bits, depth=self.depth, init=[],
                                 attrs={"ram_style": "huge"})
            m.submodules[f"{NAME}{k}"] = bank
            read, port = bank.read_port(domain="sync"), bank.write_port()
            m.d.comb += [read.addr.eq(addr), read.en.eq(self.r_en & ~write), port.addr.eq(addr),
                         port.en.eq(self.w_en[k]), port.data.eq(self.w_data[low:low + bits]),
                         self.r_data[low:low + bits].eq(
                             behind(m, read.data, self.r_en, f"row{k}") if self.registered
                             else read.data)]
        return m
