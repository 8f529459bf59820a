"""Memories in banks: every width of row and bank, written by ports and by the configuration bus."""

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator

from rtl.parts.config import HardwareConfig, HardwareError
from rtl.parts.memory import WORD, ConfigMemory, Region, WideMemory, pack_rows, place
from tests.rtl.streams import configure


def rows_of(depth: int, width: int, seed: int = 1) -> list[int]:
    rng = np.random.default_rng(seed)
    return [int.from_bytes(rng.bytes(-(-width // 8)), "big") % (1 << width) for _ in range(depth)]


def simulate(dut, bench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("bank_bits", [36, 32, 18, 16, 7])
@pytest.mark.parametrize("depth, width", [(1, 1), (3, 32), (2, 36), (3, 37), (2, 131), (3, 256)])
def test_the_bus_writes_every_row(depth, width, bank_bits):
    first, then = rows_of(depth, width), rows_of(depth, width, seed=2)
    _, region, other = place([Region("before", 40, (0,) * 5), Region("rows", width, tuple(first)),
                              Region("after", width, (0,) * depth)])
    dut = ConfigMemory(region, HardwareConfig(bank_bits=bank_bits))

    async def bench(ctx):
        async def read(row):
            ctx.set(dut.addr, row)
            ctx.set(dut.en, 1)
            await ctx.tick()
            return ctx.get(dut.data)

        assert [await read(row) for row in range(depth)] == first
        for row in reversed(range(depth)):
            for at in (region, other):      # the other region's words must not arrive
                word = then[row] if at is region else ~then[row]
                await configure(ctx, dut.cfg, [
                    (at.base + row * at.stride + c, word >> WORD * c & 0xFFFFFFFF)
                    for c in range(at.chunks)])
        await ctx.tick()                    # a write is decoded for two cycles
        assert [await read(row) for row in range(depth)] == then

    simulate(dut, bench)


def test_banks_are_written_one_by_one():
    dut = WideMemory(4, 40, [0, 1 << 40 - 1], HardwareConfig(bank_bits=16))

    async def bench(ctx):
        ctx.set(dut.w_addr, 1)
        ctx.set(dut.w_data, (1 << 40) - 1 >> 1)
        ctx.set(dut.w_en, 0b010)
        ctx.set(dut.r_addr, 1)
        ctx.set(dut.r_en, 1)
        await ctx.tick()
        assert ctx.get(dut.r_data) == 1 << 39
        ctx.set(dut.w_en, 0)
        await ctx.tick()
        assert ctx.get(dut.r_data) == 1 << 39 | 0xFFFF << 16
        ctx.set(dut.r_en, 0)
        ctx.set(dut.r_addr, 0)
        await ctx.tick()
        assert ctx.get(dut.r_data) == 1 << 39 | 0xFFFF << 16, "kept without enable"

    simulate(dut, bench)


@pytest.mark.parametrize("depth, width, lut_ram_bits, blocks", [
    (128, 1024, 0, 29), (128, 1024, 5632, 28), (128, 512, 5632, 13), (128, 256, 5632, 6),
    (128, 42, 5632, 0), (1024, 64, 5632, 2)])
def test_banks_for_block_and_lut_ram(depth, width, lut_ram_bits, blocks):
    dut = WideMemory(depth, width, [], HardwareConfig(lut_ram_bits=lut_ram_bits))
    assert dut.blocks == blocks
    assert sum(bits for _, bits in dut.banks) == width
    marked = rtlil.convert(dut, name="rows").count('ram_style "distributed"')
    assert marked == (len(dut.banks) - blocks if lut_ram_bits else 0)
    assert depth * sum(bits for _, bits in dut.banks[blocks:]) <= lut_ram_bits


@pytest.mark.parametrize("bits", [0, 33, 35, 37, 72])
def test_banks_that_two_words_do_not_hold(bits):
    with pytest.raises(HardwareError, match=rf"bank_bits must be 1..32 or 36, not {bits}"):
        HardwareConfig(bank_bits=bits)


def test_rows_are_packed_in_twos_complement():
    """Against arithmetic on Python integers: odd widths, more bits than a machine word, arrays."""
    rng = np.random.default_rng(5)
    columns = [(rng.integers(-(1 << bits - 1), 1 << bits - 1, (3, *shape)), width)
               for bits, width, shape in ((1, 1, ()), (13, 13, (2,)), (40, 70, ()),
                                          (63, 63, (2, 2)))]
    for row, packed in enumerate(pack_rows(columns)):
        at = 0
        for raw, width in columns:
            for value in raw[row].reshape(-1):
                assert packed >> at & (1 << width) - 1 == int(value) % (1 << width)
                at += width
        assert packed >> at == 0
