"""cocotb bench of the banks as ECP5's DP16KD: rows two enabled cycles after their addresses."""

from random import Random

import cocotb
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out
from cocotb.triggers import ReadOnly, RisingEdge

from rtl.parts.bank import Bank, PairBank
from sim.benches.streams import start

CYCLES = 1500
# Of one block RAM and of more, at each width of a port, the highest rows among them.
SHAPES = {"wide": (512, 36), "narrow": (3, 5), "two": (1000, 36), "one": (1024, 18),
          "bytes": (2048, 20)}
PAIR = 1024


def init(name: str) -> list[int]:
    """Rows before anything is written; fewer than there are."""
    depth, bits = SHAPES.get(name, (PAIR, PairBank.bits))
    rng = Random(name)
    return [rng.getrandbits(bits) for _ in range(depth - 1)]


class Banks(wiring.Component):
    """A bank of each shape and a pair, their ports passed through."""

    def __init__(self, cell: str = "DP16KD"):
        self.parts = {name: Bank(*shape, init(name), True, cell) for name, shape in SHAPES.items()}
        self.parts["pair"] = PairBank(PAIR, init("pair"), cell)
        super().__init__({name: Out(part.signature) for name, part in self.parts.items()})

    def elaborate(self, platform):
        m = Module()
        for name, part in self.parts.items():
            m.submodules[name] = part
            wiring.connect(m, part, wiring.flipped(getattr(self, name)))
        return m


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(name=list(SHAPES))
async def matches_rows(dut, name: str):
    depth, bits = SHAPES[name]
    pins = {pin: getattr(dut, f"{name}__{pin}")
            for pin in ("r_addr", "r_en", "r_data", "w_addr", "w_en", "w_data")}
    rows, rng = init(name) + [0], Random(1)
    near = [0, 1, depth // 2, depth - 2, depth - 1]
    await start(dut, *(f"{name}__{pin}" for pin in pins if pin != "r_data"))
    kept = shown = None         # behind the memory, and behind the register
    for cycle in range(CYCLES):
        read, write = (rng.choice(near) if rng.random() < 0.5 else rng.randrange(depth)
                       for _ in range(2))
        en, we, word = rng.random() < 0.7, rng.random() < 0.5, rng.getrandbits(bits)
        we = we and read != write
        for pin, value in (("r_addr", read), ("r_en", en), ("w_addr", write), ("w_en", we),
                           ("w_data", word)):
            pins[pin].value = int(value)
        await ReadOnly()
        got = int(pins["r_data"].value)
        assert shown in (None, got), f"cycle {cycle}: expected {shown:x}, got {got:x}"
        await RisingEdge(dut.clk)
        if en:
            kept, shown = rows[read], kept
        if we:
            rows[write] = word


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def both_ports(dut):
    pins = {pin: getattr(dut, f"pair__{pin}")
            for pin in ("a_addr", "a_data", "b_addr", "b_data", "w_en", "w_data")}
    rows, rng = init("pair") + [0], Random(2)
    await start(dut, *(f"pair__{pin}" for pin in ("a_addr", "b_addr", "w_en", "w_data")))
    kept = shown = None, None
    for cycle in range(CYCLES):
        a, b = (rng.choice([0, 1, PAIR - 1]) if rng.random() < 0.3 else rng.randrange(PAIR)
                for _ in range(2))
        we, word = rng.randrange(4) * (a != b), rng.getrandbits(PairBank.bits)
        for pin, value in (("a_addr", a), ("b_addr", b), ("w_en", we), ("w_data", word)):
            pins[pin].value = value
        await ReadOnly()
        for port, expected in zip("ab", shown):
            got = int(pins[f"{port}_data"].value)
            assert expected in (None, got), f"cycle {cycle}, {port}: {expected:x}, got {got:x}"
        await RisingEdge(dut.clk)
        shown, kept = kept, (rows[a], None if we else rows[b])
        for low in (0, 9):
            if we >> low // 9 & 1:
                rows[b] ^= (rows[b] ^ word) & 0x1FF << low
