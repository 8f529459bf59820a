"""Coefficient memories that the configuration bus can write, and registers likewise."""

from dataclasses import dataclass

import numpy as np
from amaranth import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from rtl.streams import ConfigBus

WORD = 32       # bits of one write on the configuration bus


@dataclass(frozen=True)
class Region:
    """One memory on the configuration bus, for the memory map.

    Row ``r``, bits 32 c .. 32 c + 31, is at address ``base + r * stride + c``.
    """

    name: str
    base: int
    depth: int
    width: int
    fields: str = ""    # what a row holds, lowest bits first

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


class AddressMap:
    """Hands out aligned regions of the configuration bus, in the order they are asked for."""

    def __init__(self):
        self.regions: list[Region] = []
        self._next = 0

    def allocate(self, name: str, depth: int, width: int, fields: str = "") -> Region:
        size = Region(name, 0, depth, width).size
        base = -(-self._next // size) * size
        region = Region(name, base, depth, width, fields)
        self._next = base + size
        self.regions.append(region)
        return region


def pack_rows(columns: list[tuple[np.ndarray, int]]) -> list[int]:
    """Rows of a memory from (raw integers (depth, ...), bits) columns, lowest bits first.

    Values are stored in two's complement; trailing axes are laid out in C order.
    """
    depth = len(columns[0][0])
    rows = [0] * depth
    at = 0
    for raw, bits in columns:
        flat = np.asarray(raw).reshape(depth, -1)
        for j in range(flat.shape[1]):
            for r in range(depth):
                rows[r] |= (int(flat[r, j]) & ((1 << bits) - 1)) << at
            at += bits
    return rows


class ConfigMemory(wiring.Component):
    """A read-only memory for the datapath whose rows the configuration bus writes.

    Built of banks of at most 32 bits, each with one read and one write port and no byte enables, so
    that every family maps it to block RAM.

    Parameters
    ----------
    region : Region
    init : list of int
        Initial rows.

    Members
    -------
    cfg : ``In(ConfigBus())``
    addr : ``In(range(depth))``
        Row to read.
    en : ``In(1)``
        Read enable; ``data`` keeps its value without it.
    data : ``Out(width)``
        The row, one cycle after ``addr``.
    """

    latency = 1

    def __init__(self, region: Region, init: list[int]):
        if len(init) != region.depth:
            raise ValueError(f"{region.name}: {len(init)} initial rows for depth {region.depth}")
        self.region = region
        self.init = init
        super().__init__({"cfg": In(ConfigBus()), "addr": In(range(max(2, region.depth))),
                          "en": In(1), "data": Out(region.width)})

    def elaborate(self, platform):
        m = Module()
        region = self.region
        chunk_bits = (region.stride - 1).bit_length()
        row_bits = (region.depth - 1).bit_length()
        high = self.cfg.addr >> (chunk_bits + row_bits)
        hit = Signal()
        m.d.comb += hit.eq(self.cfg.en & (high == region.base >> (chunk_bits + row_bits)))
        for c in range(region.chunks):
            low = c * WORD
            bits = min(WORD, region.width - low)
            mask = (1 << bits) - 1
            # An address of no bits would become a wire of two in Verilog: at least two rows.
            bank = memory.Memory(shape=bits, depth=max(2, region.depth),
                                 init=[(row >> low) & mask for row in self.init])
            m.submodules[f"bank{c}"] = bank
            read = bank.read_port(domain="sync")
            write = bank.write_port()
            m.d.comb += [
                read.addr.eq(self.addr),
                read.en.eq(self.en),
                self.data[low:low + bits].eq(read.data),
                write.addr.eq(self.cfg.addr[chunk_bits:chunk_bits + row_bits]),
                write.data.eq(self.cfg.data),
                write.en.eq(hit & (self.cfg.addr[:chunk_bits] == c)),
            ]
        return m


class ConfigRegister(wiring.Component):
    """One row on the configuration bus, always visible at ``data``."""

    def __init__(self, region: Region, init: int):
        if region.depth != 1:
            raise ValueError(f"{region.name}: a register has one row, not {region.depth}")
        self.region = region
        self.init = init
        super().__init__({"cfg": In(ConfigBus()), "data": Out(region.width, init=init)})

    def elaborate(self, platform):
        m = Module()
        for c in range(self.region.chunks):
            with m.If(self.cfg.en & (self.cfg.addr == self.region.base + c)):
                m.d.sync += self.data[c * WORD:(c + 1) * WORD].eq(self.cfg.data)
        return m
