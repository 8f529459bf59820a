"""Decoder against decode of the reference: totals, lengths, ties, two banks, timing."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.base.qformat import SQ
from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig, HardwareError
from rtl.decoder import DRAIN, Decoder
from rtl.plan import plan
from tests.rtl.fabric import x_words
from tests.rtl.streams import exchange, get, put

LENGTHS = (3, 1, 1, 7, 1, 2)

# name: artifact, lanes
CASES = {
    "words of one": (dict(H=6, n=2, n_classes=3), 2),
    "words of two": (dict(H=6, n=2, n_classes=2, residual="plain"), 4),
    "one word": (dict(H=4, n=2, n_classes=3, residual="plain"), 8),
    "two words": (dict(H=4, n=2, n_classes=4), 4),
    "one neuron, one class": (dict(H=1, n=2, n_classes=1), 2),
}


def decoder(case, P=1, apart=False, **changes):
    shape, lanes = CASES[case]
    art = random_artifact(5, n_layers=1, length=7, block=P, **shape)
    art = replace(art, **replace(art.spiking, **changes).parts())
    return Decoder(plan(art, HardwareConfig(lanes, logits_apart=apart)).decoder)


def inputs(dut, lengths=LENGTHS, seed=6):
    """Inputs (steps, H), a third of them at the format's ends."""
    rng, q = np.random.default_rng(seed), dut.art.x_format
    shape = (sum(lengths), dut.art.H)
    ends = rng.choice([q.lo, q.hi], shape)
    return np.where(rng.random(shape) < 0.3, ends, rng.integers(q.lo, q.hi + 1, shape))


def results(dut, x, lengths=LENGTHS):
    out, at = [], 0
    for length in lengths:
        logits, label = dut.model(x[at:at + length].sum(0), length)
        out.append({"label": label, "logits": logits.tolist(), "saturations": [0, 0]})
        at += length
    return out


def run(dut, x, lengths=LENGTHS, stall=0.0):
    words = x_words(x, lengths, dut.geo.G, dut.geo.P)
    got, cycles = exchange(dut, {"i": words}, {"o": len(lengths)}, stall, seed=7, limit=20_000)
    return got["o"], cycles


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("P", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_matches_model(case, stall, P):
    dut = decoder(case, P)
    x = inputs(dut)
    got, cycles = run(dut, x, stall=stall)
    assert got == results(dut, x)
    if not stall:
        blocks = np.array([-(-length // P) for length in LENGTHS])
        ends = np.cumsum(blocks) * dut.geo.words - 1
        firsts = cycles["i"][::dut.geo.words]
        assert firsts[1] - firsts[0] == dut.interval
        assert cycles["o"][0] - cycles["i"][ends[0]] == dut.latency
        # short sequences are summed meanwhile, and both banks are used
        period = dut.decode_cycles + DRAIN
        assert np.diff(cycles["o"]).tolist()[:2] == [period] * 2
        third = cycles["i"][ends[1] + 1]
        assert third == max(cycles["o"][0], firsts[blocks[:2].sum() - 1] + dut.interval)


def test_results_wait():
    """Nobody takes a result for long: three are inside, then everything comes in order."""
    dut = decoder("one neuron, one class")
    lengths = (1, 2, 1, 1, 3, 1)
    x, taken, got = inputs(dut, lengths), [], []

    async def source(ctx):
        await put(ctx, dut.i, x_words(x, lengths, dut.geo.G), cycles=taken)

    async def sink(ctx):
        await ctx.tick().repeat(10 * dut.decode_cycles + 100)
        assert len(taken) == sum(lengths[:3]), "one answered, two in the banks"
        got.extend(await get(ctx, dut.o, len(lengths)))
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(source, background=True)
    sim.add_testbench(sink)
    sim.run()
    assert got == results(dut, x, lengths)


@pytest.mark.parametrize("case", CASES)
def test_logits_that_leave_apart(case):
    """One after the other, for a link's memory: in time, and all of them before the result."""
    dut = decoder(case, apart=True)
    x, found, ends = inputs(dut), [], []

    async def source(ctx):
        await put(ctx, dut.i, x_words(x, LENGTHS, dut.geo.G))

    async def watch(ctx):
        ctx.set(dut.o.ready, 1)
        cycle = 0
        while len(ends) < len(LENGTHS):
            *_, made, logit, ended, label = await ctx.tick().sample(
                dut.logit_valid, dut.logit, dut.o.valid, dut.o.payload.label)
            found.extend([(cycle, logit)] if made else [])
            ends.extend([(cycle, label)] if ended else [])
            cycle += 1
            assert cycle < 20_000
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(source, background=True)
    sim.add_testbench(watch)
    sim.run()
    wanted, n = results(dut, x), dut.art.outputs
    assert [logit for _, logit in found] == [v for one in wanted for v in one["logits"]]
    assert [label for _, label in ends] == [one["label"] for one in wanted]
    made = [cycle for cycle, _ in found]
    assert all(cycle < end for cycle, (end, _) in zip(made[n - 1::n], ends))
    assert min(np.diff(made), default=99) >= dut.length.width + dut.geo.H


@pytest.mark.parametrize("rows, label", [([7, 7, 7], 0), ([-7, 3, 3], 1), ([1, 2, 3], 2),
                                         ([-3, -2, -9], 1)])
def test_the_lowest_index_wins_a_tie(rows, label):
    dec_w = np.repeat(np.array(rows)[:, None], 6, 1)
    dut = decoder("words of one", dec_w=dec_w, dec_b=np.zeros(3, np.int64))
    x = np.full((2, 6), 5)
    got, _ = run(dut, x, (2,))
    assert got == results(dut, x, (2,)) and got[0]["label"] == label


def test_logits_that_do_not_fit_are_refused():
    art = random_artifact(H=4, n=2)
    edge = replace(art.spiking.edge, dec_w=SQ(34, 6))
    art = replace(art, **replace(art.spiking, edge=edge).parts()).check()
    with pytest.raises(HardwareError, match=r"logits need 62 bits, but there are 48; shorten"):
        plan(art, HardwareConfig(2))
