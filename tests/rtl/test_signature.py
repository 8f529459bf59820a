"""The CRC of a step, word by word, and its rotations."""

import numpy as np
import pytest
from amaranth import Module, Signal, signed, unsigned
from amaranth.sim import Simulator

from quant.integer import signature
from rtl.layer.signature import StepSignature, rotl


@pytest.mark.parametrize("shape", [signed(5), unsigned(5), signed(32), signed(40)], ids=str)
def test_rotl(shape):
    m = Module()
    x = Signal(shape)
    shifts = (0, 1, 17, 31, 32, 45, -7)
    outs = [Signal(32) for _ in shifts]
    m.d.comb += [out.eq(rotl(x, by)) for out, by in zip(outs, shifts)]
    low = -(1 << shape.width - 1) if shape.signed else 0
    rng = np.random.default_rng(0)

    async def bench(ctx):
        for raw in (0, low, low + (1 << shape.width) - 1,
                    *(int(v) + low for v in rng.integers(1 << shape.width, size=20))):
            ctx.set(x, raw)
            for out, by in zip(outs, shifts):
                assert ctx.get(out) == signature.rotl(raw, by), f"{raw} by {by}"

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("G", [1, 3])
def test_step_signature(G):
    dut = StepSignature(G)
    rng = np.random.default_rng(G)
    steps = [rng.integers(1 << 32, size=(cycles, G)) for cycles in (1, 4, 2, 1, 3)]
    steps[1][2] = 0
    expected = [crc for words in steps for crc in dut.model(words)]
    assert expected[0] == signature.crc32(steps[0][0])
    got = []

    async def tick(ctx, valid, start=0, words=None):
        """One enabled cycle after some that are not; collects what was given one before."""
        ctx.set(dut.valid, valid)
        ctx.set(dut.start, start)
        ctx.set(dut.words, [int(w) for w in words] if valid else [7] * G)
        ctx.set(dut.en, 0)
        while rng.random() < 0.3:
            await ctx.tick()
        ctx.set(dut.en, 1)
        *_, crc = await ctx.tick().sample(dut.crc)
        ctx.set(dut.en, 0)
        return crc

    async def bench(ctx):
        pending = False
        for words in steps:
            for j, row in enumerate(words):
                while rng.random() < 0.3:
                    crc = await tick(ctx, 0)
                    got.extend([crc] * pending)
                    pending = False
                crc = await tick(ctx, 1, int(j == 0), row)
                got.extend([crc] * pending)
                pending = True
        got.append(await tick(ctx, 0))

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert got == expected
