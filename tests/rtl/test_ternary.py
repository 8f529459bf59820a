"""The ternary threshold: largest of a step, ties, words of any size, stalls, banks."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth import ResetInserter, Signal
from amaranth.sim import Simulator

from quant.integer.operation import Tensor
from quant.integer.ops import Ternary as Operation
from quant.integer.synthetic import random_artifact
from rtl.layer.ternary import BANKS, Ternary
from rtl.parts.config import HardwareConfig
from rtl.plan import plan
from sim.benches.stimulus import threshold_steps, threshold_words
from tests.rtl.streams import exchange, get, put

# H, lanes: words of G = lanes / 2 neurons
SHAPES = {"G 1": (4, 2), "G 2": (6, 4), "G 3": (6, 6), "G 4": (8, 8), "G 5": (10, 10),
          "one word": (3, 6), "one neuron": (1, 2), "two cycles a word": (3, 1)}


def threshold(H: int, lanes: int, c: int | None = None, P: int = 1) -> Ternary:
    art = random_artifact(4, kind="gsu", H=H, n=2, block=P)
    if c is not None:
        ops = [replace(op, threshold=Tensor(np.array(c), op.threshold.fmt))
               if isinstance(op, Operation) else op for op in art.blocks[0]]
        art = replace(art, blocks=(tuple(ops), art.blocks[1])).check()
    return Ternary(plan(art, HardwareConfig(lanes)).layers[0])


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("c, P", [(0, 1), (12, 1), (128, 1), (255, 1), (12, 2), (128, 2)])
def test_matches_model(c, shape, stall, P):
    dut = threshold(*SHAPES[shape], c, P)
    steps = threshold_steps(dut, 31 if P > 1 else 30, seed=1)
    words, expected = threshold_words(dut, steps, seed=1)
    got, cycles = exchange(dut, {"i": words}, {"o": len(words)}, stall, seed=2)
    for j, (out, want) in enumerate(zip(got["o"], expected, strict=True)):
        assert out == want, f"step {j // dut.geo.words}, word {j % dut.geo.words}"
    if stall:
        return
    n = dut.geo.words
    first = cycles["o"][0] - cycles["i"][n - 1]
    assert first == dut.latency
    waits = [o - i for i, o in zip(cycles["i"][n - 1::n], cycles["o"][::n])]
    assert min(waits) == dut.latency and (max(waits) == dut.latency or n < dut.latency)


def test_ties_do_not_pass():
    """|z| equal to c max |z| is 0, one more is not; both signs; half of the largest."""
    dut = threshold(4, 4, 128)
    steps = np.array([[200, 100, -100, 101], [-200, -101, 99, 100], [0, 0, 0, 0], [1, -1, 0, 1]])
    made = [dut.model(step).tolist() for step in steps]
    assert made == [[1, 0, 0, 1], [-1, -1, 0, 0], [0] * 4, [1, -1, 0, 1]]
    words, expected = threshold_words(dut, steps, seed=3)
    got, _ = exchange(dut, {"i": words}, {"o": len(words)})
    assert got["o"] == expected


def test_the_largest_of_another_step_does_not_count():
    """A step of large values between steps of small ones, in every bank."""
    dut = threshold(6, 4, 128)
    high = dut.wire.formats[0].hi
    steps = np.array([np.full(6, high) if k % 3 == 1 else np.arange(-2, 4) for k in range(10)])
    words, expected = threshold_words(dut, steps, seed=3)
    got, _ = exchange(dut, {"i": words}, {"o": len(words)}, stall=0.3)
    assert got["o"] == expected


@pytest.mark.parametrize("shape", ["G 2", "one word"])
def test_a_step_waits_for_a_bank(shape):
    """Nobody reads: whole steps for all banks go in and not a word more."""
    dut = threshold(*SHAPES[shape])
    words, expected = threshold_words(dut, threshold_steps(dut, 6, seed=5), seed=5)
    taken, got = 0, []

    async def source(ctx):
        nonlocal taken
        for word in words:
            await put(ctx, dut.i, [word])
            taken += 1

    async def sink(ctx):
        await ctx.tick().repeat(60)
        assert taken == BANKS * dut.geo.words
        got.extend(await get(ctx, dut.o, len(words)))

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(source, background=True)
    sim.add_testbench(sink)
    sim.run()
    assert got == expected


@pytest.mark.parametrize("shape", ["G 2", "G 5"])
def test_a_reset_ends_a_step_whose_limit_is_on_its_way(shape):
    """However long after its last word: nothing of it comes, and the next steps do."""
    dut, reset = threshold(*SHAPES[shape]), Signal()
    words, expected = threshold_words(dut, threshold_steps(dut, 3, seed=7), seed=7)
    got = {}

    async def bench(ctx):
        for wait in range(dut.latency + 2):
            await put(ctx, dut.i, words[:dut.geo.words])
            for after in range(wait + 1):
                ctx.set(reset, after == wait)
                await ctx.tick()
            ctx.set(reset, 0)
            found = []
            for k in range(0, len(words), dut.geo.words):
                await put(ctx, dut.i, words[k:k + dut.geo.words])
                found += await get(ctx, dut.o, dut.geo.words)
            got[wait] = found

    sim = Simulator(ResetInserter(reset)(dut))
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert got == dict.fromkeys(range(dut.latency + 2), expected)


def test_the_bus_writes_the_threshold():
    dut, other = threshold(4, 4, 128), threshold(4, 4, 30)
    steps = threshold_steps(dut, 20, seed=6)
    words, expected = threshold_words(other, steps, seed=6)
    writes = other.spec.regions["threshold"].writes()
    got, _ = exchange(dut, {"i": words}, {"o": len(words)}, writes=writes)
    assert got["o"] == expected != threshold_words(dut, steps, seed=6)[1]
