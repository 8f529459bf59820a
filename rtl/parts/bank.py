"""One bank of a memory, with the register behind it, also as a device's block RAM with its own."""

from amaranth import Cat, ClockSignal, Const, Instance, Module, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

BYTE = 9                # bits of DP16KD that are written together
BYTES = 2048            # of one DP16KD
PINS = 14               # address pins of a port; a row's address is the highest of them


def port_bits(depth: int) -> int:
    """Bits of a row of a DP16KD of so many rows, 36 at most; 0: it has not got so many rows."""
    return next((BYTE * count for count in (4, 2, 1) if BYTES // count >= depth), 0)


class Bank(wiring.Component):
    """A write port and a read port; behind that one a register more, if wanted.

    Parameters
    ----------
    depth, bits : int
        At least two rows.
    init : list of int
        Initial rows; missing ones are 0.
    registered : bool
        The row comes two enabled cycles after its address, from a register.
    cell : str
        ``DP16KD`` (ECP5): a registered bank of up to 2,048 rows is one such block RAM or more, and
        the register is its own. Empty: memory and register are plain logic, of which the tools
        make what they can; yosys does not make the block RAM's own register of it.
    small : bool
        Marked for LUT RAM.

    Members
    -------
    r_addr, r_en, r_data : read
        ``r_en`` enables both registers: without it ``r_data`` keeps its value.
    w_addr, w_data, w_en : write
        Not the row that is read in the same cycle.
    """

    def __init__(self, depth: int, bits: int, init: list[int], registered: bool = False,
                 cell: str = "", small: bool = False):
        self.depth, self.bits, self.init = depth, bits, init
        self.registered, self.small = registered, small
        self.cell = cell if registered and not small and port_bits(depth) else ""
        self.latency = 1 + registered
        super().__init__({"r_addr": In(range(depth)), "r_en": In(1), "r_data": Out(bits),
                          "w_addr": In(range(depth)), "w_en": In(1), "w_data": In(bits)})

    def elaborate(self, platform):
        m = Module()
        if self.cell:
            self._cells(m)
            return m
        m.submodules.rows = rows = memory.Memory(
            shape=self.bits, depth=self.depth, init=self.init,
            attrs={"ram_style": "distributed"} if self.small else {})
        read, write = rows.read_port(domain="sync"), rows.write_port()
        m.d.comb += [read.addr.eq(self.r_addr), read.en.eq(self.r_en),
                     write.addr.eq(self.w_addr), write.en.eq(self.w_en),
                     write.data.eq(self.w_data), self.r_data.eq(read.data)]
        if self.registered:
            m.d.comb += self.r_data.eq(behind(m, read.data, self.r_en, "row"))
        return m

    def _cells(self, m: Module) -> None:
        """As many block RAMs side by side as their port needs."""
        each = port_bits(self.depth)
        for low in range(0, self.bits, each):
            used = min(each, self.bits - low)
            row = Signal(each, name=f"row{low}")
            m.d.comb += self.r_data[low:low + used].eq(row)
            data = Cat(self.w_data[low:low + used], Const(0, each - used))
            half = 2 * BYTE
            if each > half:     # the data pins of both ports
                pins = (pins_of("i_DIA", data[:half]) | pins_of("i_DIB", data[half:])
                        | pins_of("o_DOA", row[:half]) | pins_of("o_DOB", row[half:]))
            else:
                pins = pins_of("i_DIA", data) | pins_of("o_DOB", row)
            m.submodules[f"cell{low // each}"] = block_ram(
                (each, each), [word >> low & (1 << used) - 1 for word in self.init],
                (self.w_addr, self.r_addr), (self.w_en.replicate(each // BYTE), Const(0)),
                (Const(1), self.r_en), (self.r_en, self.r_en), pins)


class PairBank(wiring.Component):
    """Two rows of 18 bits in every cycle, each two cycles after its address: true dual port.

    Parameters
    ----------
    depth : int
        2 to 1,024 rows.
    init : list of int
    cell : str
        As of :class:`Bank`.

    Members
    -------
    a_addr, a_data; b_addr, b_data : read
    w_en, w_data : write
        The row ``b_addr``, each half with its bit of ``w_en``; ``b_data`` says nothing of that
        cycle, ``a_addr`` must be another row.
    """

    bits = 2 * BYTE
    latency = 2
    most = BYTES // 2       # rows

    def __init__(self, depth: int, init: list[int], cell: str = ""):
        self.depth, self.init, self.cell = depth, init, cell
        row = range(depth)
        super().__init__({"a_addr": In(row), "a_data": Out(self.bits), "b_addr": In(row),
                          "b_data": Out(self.bits), "w_en": In(2), "w_data": In(self.bits)})

    def elaborate(self, platform):
        m = Module()
        if self.cell:
            pins = (pins_of("o_DOA", self.a_data) | pins_of("o_DOB", self.b_data)
                    | pins_of("i_DIB", self.w_data))
            m.submodules.cell = block_ram(
                (self.bits, self.bits), self.init, (self.a_addr, self.b_addr),
                (Const(0, 2), self.w_en), (Const(1), Const(1)), (Const(1), Const(1)), pins)
            return m
        m.submodules.rows = rows = memory.Memory(shape=self.bits, depth=self.depth, init=self.init)
        write = rows.write_port(granularity=BYTE)
        m.d.comb += [write.addr.eq(self.b_addr), write.en.eq(self.w_en),
                     write.data.eq(self.w_data)]
        for name in "ab":
            read = rows.read_port(domain="sync")
            m.d.comb += [read.addr.eq(getattr(self, f"{name}_addr")), read.en.eq(1),
                         getattr(self, f"{name}_data").eq(
                             behind(m, read.data, Const(1), f"row_{name}"))]
        return m


def behind(m: Module, value, en: Value, name: str) -> Signal:
    """The register of plain logic."""
    kept = Signal(len(value), name=name, reset_less=True)
    with m.If(en):
        m.d.sync += kept.eq(value)
    return kept


def pins_of(name: str, bits: Value) -> dict[str, Value]:
    """Pins of a bus, by name."""
    return {f"{name}{j}": bits[j] for j in range(len(bits))}





def block_ram(widths: tuple[int, int], init: list[int], addrs: tuple, writes: tuple,
              clock_enables: tuple, register_enables: tuple, pins: dict) -> Instance:
    """One DP16KD with the registers behind both ports (Lattice FPGA-TN-02204, ECP5 memory usage).

    widths : of the ports A and B, 9, 18 or 36 bits; init : rows of such width; addrs, writes (a bit
    for each 9 bits), clock_enables, register_enables : of A and B; pins : data, by name. Of ports
    of 36 bits, which take the data pins of both, A writes and B reads.
    """
    joined = 0
    for row, word in enumerate(init):
        joined |= word << row * widths[0]
    half = 2 * BYTE
    words = [joined >> half * k & (1 << half) - 1 for k in range(BYTES // 2)]
    slices = {f"p_INITVAL_{k:02X}": Const(sum(word << 20 * j for j, word in enumerate(
        words[16 * k:16 * k + 16])), 320) for k in range(64)}
    ports = {}
    for name, width, addr, write, clock, register in zip(
            "AB", widths, addrs, writes, clock_enables, register_enables):
        below = PINS - (BYTES * BYTE // width - 1).bit_length()    # pins below a row's address
        enables = write if len(write) > 1 else Const(0, 0)
        addr = Cat(enables, Const(0, below - len(enables)), addr)
        addr = Cat(addr, Const(0, PINS - len(addr)))
        ports |= {f"i_CLK{name}": ClockSignal(), f"i_CE{name}": clock, f"i_OCE{name}": register,
                  f"i_WE{name}": write.any(), f"i_RST{name}": Const(0),
                  **{f"i_CS{name}{k}": Const(0) for k in range(3)},
                  **pins_of(f"i_AD{name}", addr), f"p_DATA_WIDTH_{name}": width,
                  f"p_REGMODE_{name}": "OUTREG", f"p_CLK{name}MUX": f"CLK{name}",
                  f"p_CSDECODE_{name}": "0b000", f"p_WRITEMODE_{name}": "NORMAL"}
    return Instance("DP16KD", **slices, **ports, **pins, p_RESETMODE="SYNC",
                    p_ASYNC_RESET_RELEASE="SYNC", p_GSR="AUTO")
