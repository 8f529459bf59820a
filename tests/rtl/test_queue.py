"""The queue against a list: order, room, handshakes that stand in registers."""

import numpy as np
import pytest
from amaranth.lib import data
from amaranth.sim import Simulator

from rtl.parts.queue import Queue

WORD = data.StructLayout({"a": 5, "b": 3})


@pytest.mark.parametrize("depth", [2, 4, 8])
@pytest.mark.parametrize("fast", ["put", "get", "both", "neither"])
def test_against_a_list(depth, fast):
    """Random traffic with either end faster: every cycle's handshakes and words."""
    dut, rng = Queue(WORD, depth), np.random.default_rng([depth, len(fast)])
    put, get = 0.9 if fast in ("put", "both") else 0.4, 0.9 if fast in ("get", "both") else 0.4
    inside, sent, seen = [], [], []

    async def bench(ctx):
        foretold = 1
        for _ in range(300):
            offered = {"a": int(rng.integers(32)), "b": int(rng.integers(8))}
            i_valid, o_ready = int(rng.random() < put), int(rng.random() < get)
            ctx.set(dut.i.payload, offered)
            ctx.set(dut.i.valid, i_valid)
            ctx.set(dut.o.ready, o_ready)
            assert ctx.get(dut.i.ready) == foretold == (len(inside) < depth)
            assert ctx.get(dut.o.valid) == (len(inside) > 0)
            full = len(inside) == depth
            foretold = ctx.get(dut.ready_next)
            if o_ready and inside:
                word = ctx.get(dut.o.payload)
                seen.append({"a": word.a, "b": word.b})
                assert seen[-1] == inside.pop(0)
            if i_valid and not full:
                inside.append(offered)
                sent.append(offered)
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert dut.model(sent) == seen + inside and len(seen) > 80


@pytest.mark.parametrize("depth", [0, 1, 3, 6])
def test_depths_that_cannot_be(depth):
    with pytest.raises(ValueError, match=f"power of two from 2 on, not {depth}"):
        Queue(WORD, depth)
