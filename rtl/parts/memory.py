"""Coefficient memories that the configuration bus can write, and registers likewise."""

from dataclasses import dataclass, replace

import numpy as np
from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.parts.bank import Bank
from rtl.parts.config import HardwareConfig
from rtl.parts.single_port import SinglePortMemory
from rtl.parts.streams import ConfigBus

WORD = 32       # bits of one write on the configuration bus


@dataclass(frozen=True)
class Region:
    """One memory on the configuration bus: what it holds and where.

    Row ``r``, bits 32 c .. 32 c + 31, is at address ``base + r * stride + c``.
    """

    name: str
    width: int              # bits of a row
    rows: tuple[int, ...]   # before anything is written
    fields: str = ""        # what a row holds, lowest bits first
    base: int = 0
    register: bool = False  # its one row is always visible, as a ConfigRegister
    single_port: bool = False   # it lies in blocks with one port, which come without a content

    @property
    def depth(self) -> int:
        return len(self.rows)

    @property
    def chunks(self) -> int:
        return -(-self.width // WORD)

    @property
    def stride(self) -> int:
        return 1 << (self.chunks - 1).bit_length()

    @property
    def size(self) -> int:
        """Addresses taken, a power of two; ``base`` is a multiple of it."""
        return self.stride << (self.depth - 1).bit_length()

    def __contains__(self, addr: int) -> bool:
        """Whether an address of the bus is one of the region's."""
        return self.base <= addr < self.base + self.size

    def writes(self) -> list[tuple[int, int]]:
        """(address, 32-bit word) pairs that write the rows, in rising order."""
        return [(self.base + r * self.stride + c, row >> WORD * c & (1 << WORD) - 1)
                for r, row in enumerate(self.rows) for c in range(self.chunks)]


def place(regions: list[Region], at: int = 0) -> list[Region]:
    """The regions one after the other, the first from address ``at`` on."""
    placed = []
    for region in regions:
        base = -(-at // region.size) * region.size
        placed.append(replace(region, base=base))
        at = base + region.size
    return placed


def pack_rows(columns: list[tuple[np.ndarray, int]]) -> tuple[int, ...]:
    """Rows of a memory from (raw integers (depth, ...), bits) columns, lowest bits first.

    Values are stored in two's complement; trailing axes are laid out in C order.
    """
    depth, bits = len(columns[0][0]), []
    for raw, width in columns:
        raw = np.ascontiguousarray(raw, "<i8").reshape(depth, -1, 1)
        flat = np.unpackbits(raw.view(np.uint8), axis=2, bitorder="little")
        bits.append(flat[:, :, np.minimum(np.arange(width), 63)].reshape(depth, -1))
    packed = np.packbits(np.concatenate(bits, axis=1), axis=1, bitorder="little")
    return tuple(int.from_bytes(row.tobytes(), "little") for row in packed)


def banks(width: int, hw: HardwareConfig) -> list[tuple[int, int]]:
    """(lowest bit, bits) of the banks of a memory's rows, each as wide as a block RAM's port."""
    return [(low, min(hw.bank_bits, width - low)) for low in range(0, width, hw.bank_bits)]


def block_banks(depth: int, width: int, hw: HardwareConfig) -> int:
    """How many of them, the lowest, are block RAMs: what is left over may be LUT RAM."""
    return -(-max(0, width * depth - hw.lut_ram_bits) // (hw.bank_bits * depth))


def rows_built(depth: int) -> int:
    """Rows that a memory gets: an address of no bits would become a wire of two in Verilog."""
    return max(2, depth)


class WideMemory(wiring.Component):
    """One write port and one read port of any width, in banks as wide as a block RAM's port.

    Parameters
    ----------
    depth, width : int
    init : list of int
        Initial rows; missing ones are 0.
    hw : HardwareConfig
        Width of a bank, and how much of a memory may be LUT RAM: whole small memories, and of large
        ones what would leave a block RAM almost empty.
    registered : bool
        With a register behind the row, the block RAM's own where the device's cell is known.

    Members
    -------
    r_addr, r_en, r_data : read
        The row ``latency`` enabled cycles after its address; it keeps its value without ``r_en``.
    w_addr, w_data : write
    w_en : ``In(len(banks))``
        One bit per bank, lowest bits first.

    Resources
    ---------
    ``width / bank_bits`` memories (:class:`rtl.parts.bank.Bank`) without byte enables, which every
    family maps.
    """

    def __init__(self, depth: int, width: int, init: list[int], hw: HardwareConfig,
                 registered: bool = False):
        self.depth, self.width, self.init, self.hw = rows_built(depth), width, init, hw
        self.registered, self.latency = registered, 1 + registered
        self.banks = banks(width, hw)
        self.blocks = block_banks(self.depth, width, hw)
        addr = range(self.depth)
        super().__init__({"r_addr": In(addr), "r_en": In(1), "r_data": Out(width),
                          "w_addr": In(addr), "w_en": In(len(self.banks)), "w_data": In(width)})

    def elaborate(self, platform):
        m = Module()
        for k, (low, bits) in enumerate(self.banks):
            small = self.hw.lut_ram_bits and k >= self.blocks
            mask = (1 << bits) - 1
            bank = Bank(self.depth, bits, [(row >> low) & mask for row in self.init],
                        self.registered, self.hw.block_ram, bool(small))
            m.submodules[f"bank{k}"] = bank
            m.d.comb += [bank.r_addr.eq(self.r_addr), bank.r_en.eq(self.r_en),
                         self.r_data[low:low + bits].eq(bank.r_data),
                         bank.w_addr.eq(self.w_addr), bank.w_en.eq(self.w_en[k]),
                         bank.w_data.eq(self.w_data[low:low + bits])]
        return m


class ConfigMemory(wiring.Component):
    """A read-only memory for the datapath whose rows the configuration bus writes.

    A row is written whole, its 32-bit words in rising order: banks are wider than a word, so a bank
    is written with the word that completes it, and the word before is kept for that. A read sees
    it from the third cycle after the write on, the second without ``hw.spread``.

    Parameters
    ----------
    region : Region
    hw : HardwareConfig
    registered : bool
        As of :class:`WideMemory`.

    Members
    -------
    cfg : ``In(ConfigBus())``
    addr : ``In(range(depth))``
        Row to read.
    en : ``In(1)``
        Read enable; ``data`` keeps its value without it.
    data : ``Out(width)``
        The row, ``latency`` enabled cycles after ``addr``.
    """

    def __init__(self, region: Region, hw: HardwareConfig = HardwareConfig(),
                 registered: bool = False):
        self.region, self.hw = region, hw
        self.rows = SinglePortMemory(region.depth, region.width, registered) \
            if region.single_port else \
            WideMemory(region.depth, region.width, list(region.rows), hw, registered)
        self.latency = self.rows.latency
        super().__init__({"cfg": In(ConfigBus()), "addr": In(range(max(2, region.depth))),
                          "en": In(1), "data": Out(region.width)})

    def elaborate(self, platform):
        m = Module()
        region = self.region
        m.submodules.rows = rows = self.rows
        chunk_bits = (region.stride - 1).bit_length()
        row_bits = (region.depth - 1).bit_length()
        m.d.comb += [rows.r_addr.eq(self.addr), rows.r_en.eq(self.en), self.data.eq(rows.r_data)]
        now, here = decode(m, self.cfg, region, self.hw.spread)
        then = delay_bus(m, now, "cfg_then")
        hit, before = Signal(len(rows.banks)), Signal(WORD, reset_less=True)
        with m.If(then.en):
            m.d.sync += before.eq(then.data)
        two = Cat(before, then.data)
        m.d.comb += [rows.w_addr.eq(then.addr[chunk_bits:chunk_bits + row_bits]),
                     rows.w_en.eq(hit)]
        for k, (low, bits) in enumerate(rows.banks):
            last = (low + bits - 1) // WORD             # the word that completes the bank
            at = low - (last - 1) * WORD                # where the bank begins in the two words
            m.d.sync += hit[k].eq(here & (now.addr[:chunk_bits] == last))
            m.d.comb += rows.w_data[low:low + bits].eq(two[at:at + bits])
        return m


class ConfigRegister(wiring.Component):
    """One row on the configuration bus, always visible.

    A reset does not touch it, as it does not touch the memories. It is written in the second cycle
    after a write on the bus, the first without ``spread`` (:class:`HardwareConfig`).

    Members
    -------
    cfg : ``In(ConfigBus())``
    data : ``Out(width)``
    written : ``Out(1)``
        A write is taken in this cycle, ``data`` shows it in the next.
    """

    def __init__(self, region: Region, spread: bool = True):
        if region.depth != 1 or not region.register:
            raise ValueError(f"{region.name}: a register has one row and says that it is one")
        self.region, self.spread = region, spread
        super().__init__({"cfg": In(ConfigBus()), "data": Out(region.width), "written": Out(1)})

    def elaborate(self, platform):
        m = Module()
        kept = Signal(self.region.width, init=self.region.rows[0], reset_less=True)
        now, here = decode(m, self.cfg, self.region, self.spread)
        then = delay_bus(m, now, "cfg_then")
        hit, chunk_bits = Signal(self.region.chunks), (self.region.stride - 1).bit_length()
        m.d.comb += [self.data.eq(kept), self.written.eq(hit.any())]
        for c in range(self.region.chunks):
            m.d.sync += hit[c].eq(here & (now.addr[:chunk_bits] == c))
            with m.If(hit[c]):
                m.d.sync += kept[c * WORD:(c + 1) * WORD].eq(then.data)
        return m


def decode(m: Module, bus, region: Region, spread: bool = True):
    """The configuration bus a cycle later, and whether a write on it is to the region.

    A whole address takes too long to be compared and to decide in one cycle, in a large device:
    both halves are compared in front of a register. The memories of a part share the bus's. Not
    ``spread``: the bus itself, in the same cycle.
    """
    low_bits = (region.size - 1).bit_length()
    high, base = bus.addr >> low_bits, region.base >> low_bits
    if not spread:
        return bus, bus.en & (high == base)
    half = len(high) // 2
    parts = [high[:half] == base & (1 << half) - 1, high[half:] == base >> half]
    same = Signal(len(parts), reset_less=True)
    m.d.sync += same.eq(Cat(parts))
    now = delay_bus(m, bus, "cfg_now")
    return now, now.en & same.all()


def delay_bus(m: Module, bus, name: str):
    """The configuration bus one cycle later: registers on the way to far memories."""
    out = ConfigBus().create(path=(name,))
    for member in ("en", "addr", "data"):
        value = getattr(bus, member)
        kept = Signal.like(value, name=f"{name}_{member}", reset_less=member != "en")
        m.d.sync += kept.eq(value)
        m.d.comb += getattr(out, member).eq(kept)
    return out
