"""The player of sequences: one buffer is written while the other is played."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from quant.integer.synthetic import random_artifact
from rtl.link.player import SamplePlayer
from tests.rtl.streams import get

ART = random_artifact(1, n_layers=1, H=2, n=2, length=9)


async def write(ctx, dut, values):
    for at, value in enumerate(values):
        ctx.set(dut.w_addr, at)
        ctx.set(dut.w_data, value)
        ctx.set(dut.w_en, 1)
        await ctx.tick()
    ctx.set(dut.w_en, 0)


async def start(ctx, dut, length):
    ctx.set(dut.length, length)
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)


def simulate(script):
    dut = SamplePlayer(ART)

    async def bench(ctx):
        await script(ctx, dut)
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_writes_do_not_reach_what_is_played(stall):
    sequences = [[1, 2, 3], [200], list(range(9, 18)), [7, 8]]

    async def script(ctx, dut):
        rng = np.random.default_rng(1)
        await write(ctx, dut, sequences[0])
        for values, following in zip(sequences, [*sequences[1:], []]):
            await start(ctx, dut, len(values))
            await write(ctx, dut, following)        # before a single sample is taken
            assert ctx.get(dut.busy)
            words = await get(ctx, dut.o, len(values), rng, stall)
            ctx.set(dut.o.ready, 0)
            assert [word["value"] for word in words] == values
            assert [word["last"] for word in words] == [0] * (len(values) - 1) + [1]
            assert not ctx.get(dut.busy) and not ctx.get(dut.o.valid)
    simulate(script)


def test_a_sample_every_cycle_from_the_third_on():
    async def script(ctx, dut):
        await write(ctx, dut, range(9))
        cycles = []
        await start(ctx, dut, 9)
        ctx.set(dut.o.ready, 1)
        for cycle in range(1, 14):
            *_, valid = await ctx.tick().sample(dut.o.valid)
            cycles += [cycle] if valid else []
        assert cycles == list(range(3, 12))
    simulate(script)


def test_positions_behind_the_end_and_a_stop():
    async def script(ctx, dut):
        await write(ctx, dut, [5])
        ctx.set(dut.w_addr, dut.depth)      # would wrap to position 0
        ctx.set(dut.w_data, 6)
        ctx.set(dut.w_en, 1)
        await ctx.tick()
        ctx.set(dut.w_en, 0)
        await start(ctx, dut, 1)
        assert [w["value"] for w in await get(ctx, dut.o, 1)] == [5]
        await write(ctx, dut, [1, 2])
        await start(ctx, dut, 2)
        ctx.set(dut.clear, 1)
        await ctx.tick().repeat(2)
        ctx.set(dut.clear, 0)
        assert not ctx.get(dut.busy)
        await ctx.tick().repeat(3)
        assert not ctx.get(dut.o.valid)
    simulate(script)
