"""XBuffer: both readers see every word once, whole steps only, no cycle lost."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from rtl.plan import plan
from rtl.layer.x_buffer import FUSE_BANKS, NO_FUSE_BANKS, XBuffer
from tests.rtl.streams import exchange

SHAPES = {"words of one": (6, 2, 2), "words of two": (6, 2, 4), "one word": (4, 2, 8),
          "one neuron": (1, 2, 1)}


def buffer(shape, residual, P=1):
    H, n, lanes = SHAPES[shape]
    art = random_artifact(H=H, n=n, residual=residual, block=P)
    return XBuffer(plan(art, HardwareConfig(lanes)).layers[0])


def random_words(dut, steps, seed=1):
    rng, x = np.random.default_rng(seed), dut.layout.members["x"]
    names = [name for name in dut.layout.members if name != "x"]
    return [{"x": rng.integers(0, 1 << 12, x.length).tolist()} | dict(zip(names, marks))
            for marks in rng.integers(0, 2, (steps, len(names))).tolist()
            for _ in range(dut.geo.words)]


@pytest.mark.parametrize("P", [1, 2])
@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("residual", ["none", "plain"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_word_once_per_side(shape, residual, stall, P):
    dut = buffer(shape, residual, P)
    words = random_words(dut, steps=15)
    sides = {"o", "fuse"} if residual == "plain" else {"o"}
    got, cycles = exchange(dut, {"i": words}, dict.fromkeys(sides, len(words)), stall, seed=2)
    assert all(got[side] == dut.model(words) for side in sides)
    if not stall:
        first = cycles["i"][dut.geo.words - 1] + dut.latency
        assert cycles["o"] == list(range(first, first + len(words))), "a word per cycle"


@pytest.mark.parametrize("residual, banks", [("none", NO_FUSE_BANKS), ("plain", FUSE_BANKS)])
def test_holds_whole_steps(residual, banks):
    """Nobody reads: it takes as many steps as it has banks, and not a word more."""
    dut = buffer("words of one", residual)
    words = random_words(dut, steps=banks + 1)
    with pytest.raises(pytest.fail.Exception, match="stuck: 0 of 1"):
        exchange(dut, {"i": words[:dut.geo.words - 1]}, {"o": 1}, limit=30)
    sides = ["o", "fuse"] if residual == "plain" else ["o"]
    accepted = []

    async def bench(ctx):
        for word in words:
            ctx.set(dut.i.payload, word)
            ctx.set(dut.i.valid, 1)
            *_, ready = await ctx.tick().sample(dut.i.ready)
            accepted.append(int(ready))
        for side in sides:
            assert ctx.get(getattr(dut, side).valid) == (side == "o")
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    # One step moves into the output register only word by word: its bank is not free yet.
    assert sum(accepted) == banks * dut.geo.words
