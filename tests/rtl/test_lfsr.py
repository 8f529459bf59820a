"""WordSource gives the stream's draws in order, whatever the number per cycle."""

import numpy as np
import pytest
from amaranth import ResetInserter, Signal
from amaranth.sim import Simulator

from quant.integer import lfsr
from quant.formats import RandomFormat
from rtl.parts.lfsr import WordSource
from rtl.parts.memory import Region, place
from tests.rtl.streams import SETTLE, configure, plain

SMALL = RandomFormat(width=7, taps=(7, 6), k=5, round_bits=2, stream_jump=8)


def source(fmt, bits, count, start):
    _, region = place([Region("before", 8, (0,) * 3),
                       Region("start", fmt.width, (start,), register=True)])
    return WordSource(fmt, bits, count, region)


def simulate(dut, bench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("fmt, bits", [(RandomFormat(), 16), (RandomFormat(), 11), (SMALL, 5),
                                       (SMALL, 4), (lfsr.LONG, 16)],
                         ids=["default", "odd bits", "small", "small rounding", "wide"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_draws(fmt, bits, count):
    start = lfsr.stream_start(fmt, 0x5B, 3)
    dut = source(fmt, bits, count, start)
    expected = lfsr.words(fmt, start, bits, 60 * count).reshape(60, count)
    np.testing.assert_array_equal(dut.model(60), expected)
    rng = np.random.default_rng(count)

    async def bench(ctx):
        turn = 0
        for cycle in range(60):
            rewind, advance = int(rng.random() < 0.1), int(rng.random() < 0.7)
            ctx.set(dut.rewind, rewind)
            ctx.set(dut.advance, advance)
            assert plain(ctx.get(dut.words)) == expected[turn].tolist(), f"cycle {cycle}"
            if advance:
                turn = 0 if rewind else turn + 1
            await ctx.tick()

    simulate(dut, bench)


@pytest.mark.parametrize("fmt", [RandomFormat(), lfsr.LONG], ids=["default", "wide"])
def test_host_sets_the_start(fmt):
    dut = source(fmt, 16, 2, 1)
    start = lfsr.stream_start(fmt, 77, 0)
    region = dut.region

    async def bench(ctx):
        await configure(ctx, dut.cfg, [(region.base + c, start >> 32 * c & 0xFFFFFFFF)
                                       for c in range(region.chunks)]
                        + [(region.base + region.size, 5), (region.base - 1, 6)])
        await ctx.tick().repeat(SETTLE)
        ctx.set(dut.advance, 1)
        for turn in range(2):
            for j, row in enumerate(dut.model(3, start)):
                assert plain(ctx.get(dut.words)) == row.tolist()
                ctx.set(dut.rewind, int(j == 2))
                await ctx.tick()

    simulate(dut, bench)


def test_a_reset_keeps_the_hosts_start():
    dut = source(lfsr.LONG, 16, 2, 1)
    start = lfsr.stream_start(lfsr.LONG, 77, 0)
    reset = Signal()

    async def bench(ctx):
        await configure(ctx, dut.cfg, [(dut.region.base + c, start >> 32 * c & 0xFFFFFFFF)
                                       for c in range(dut.region.chunks)])
        await ctx.tick().repeat(SETTLE)
        ctx.set(dut.advance, 1)
        await ctx.tick().repeat(5)
        ctx.set(dut.advance, 0)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        await ctx.tick()
        ctx.set(dut.advance, 1)
        for row in dut.model(3, start):
            assert plain(ctx.get(dut.words)) == row.tolist()
            await ctx.tick()

    simulate(ResetInserter(reset)(dut), bench)
