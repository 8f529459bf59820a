"""Encoder against encode of the reference: every sample value, tokens, stalls, timing."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.base.qformat import SQ
from golden.tasks.formats import MU_LAW, PCM
from quant.formats import LayerFormats
from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from rtl.collector import Collector
from rtl.encoder import Encoder
from rtl.plan import plan
from sim.benches.stimulus import without_missing
from tests.rtl.fabric import observe, sequence_sums, x_words
from tests.rtl.streams import exchange

# name: artifact, lanes
CASES = {
    "samples": (dict(H=6, n=2, residual="none", stress=0.2), 2),
    "two products": (dict(H=6, n=2, residual="clampfuse", stress=0.2), 4),
    "plain": (dict(H=4, n=2, residual="plain", stress=0.4, fmt=LayerFormats(x=SQ(2, 12))), 4),
    "signed": (dict(H=6, n=2, stress=0.2, sample=MU_LAW), 4),
    "signed plain": (dict(H=4, n=2, residual="plain", stress=0.4, sample=PCM,
                          fmt=LayerFormats(x=SQ(2, 12))), 4),
    "whole layer": (dict(H=4, n=2, residual="plain"), 8),
    "tokens": (dict(H=6, n=2, vocab=5), 4),
    "plain tokens": (dict(H=3, n=2, vocab=9, residual="plain"), 2),
    "one token": (dict(H=1, n=2, vocab=1), 2),
}


def encoder(art, lanes):
    return Encoder(plan(art, HardwareConfig(lanes)).encoder)


def samples(values, lengths):
    ends = set(np.cumsum(lengths) - 1)
    return [{"value": int(v), "last": int(t in ends)} for t, v in enumerate(values)]


def check(art, lanes, values, lengths, stall=0.0):
    dut = encoder(art, lanes)
    results = [dut.model(int(v)) for v in values]
    want = x_words([x for x, _ in results], lengths, dut.geo.G, dut.geo.P)
    pulses = ["count"] if art.spiking.residual == "plain" else []
    words = samples(values, lengths)
    if dut.geo.P > 1:
        words = Collector(dut.spec).model(words)
    got, cycles = observe(dut, {"i": words}, {"o": len(want)}, pulses, stall, seed=1)
    for j, (out, word) in enumerate(zip(*(without_missing(words, dut.geo)
                                           for words in (got["o"], want)))):
        assert out == word, f"sample {values[j // dut.geo.words]}, word {j % dut.geo.words}"
    counts = sequence_sums([over for _, over in results], lengths)
    assert [count["value"] for count in got.get("count", [])] == (counts if pulses else [])
    return dut, cycles, counts


@pytest.mark.parametrize("P", [1, 2])
@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("case", CASES)
def test_matches_model(case, stall, P):
    shape, lanes = CASES[case]
    art, lengths = random_artifact(2, block=P, **shape), (3, 1, 1, 4)
    low, top = (0, art.vocab - 1) if art.vocab else (art.sample.lo, art.sample.hi)
    rng = np.random.default_rng(3)
    values = np.concatenate([[low, top, top, low], rng.integers(low, top + 1, sum(lengths) - 4)])
    dut, cycles, counts = check(art, lanes, values, lengths, stall)
    assert case not in ("plain", "signed plain") or max(counts) > 0
    if not stall:
        assert cycles["i"] == [j * dut.interval for j in range(len(cycles["i"]))]
        first = cycles["i"][0] + dut.latency
        assert cycles["o"] == list(range(first, first + len(cycles["o"]))), "a word per cycle"


def test_every_sample_value():
    """All 256 samples, unsigned and signed, against coefficients that tie and clamp."""
    check(random_artifact(4, H=4, n=2, stress=0.3), 8, np.arange(256), (256,))
    check(random_artifact(4, H=4, n=2, stress=0.3, sample=MU_LAW), 8, np.arange(-128, 128), (256,))


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("vocab", [0, 5], ids=["samples", "tokens"])
def test_collector(vocab, stall):
    """Two samples a word, the last of an odd sequence alone; no cycle is lost."""
    dut = Collector(encoder(random_artifact(H=4, n=2, vocab=vocab, block=2), 2).spec)
    lengths = (3, 1, 1, 4, 2, 1, 7)
    values = np.random.default_rng(4).integers(0, vocab or 256, sum(lengths))
    words = samples(values, lengths)
    want = dut.model(words)
    got, cycles = exchange(dut, {"i": words}, {"o": len(want)}, stall, seed=5)
    assert got["o"] == want and sum(word["half"] for word in want) == 5
    if not stall:
        assert cycles["i"] == list(range(len(words)))
        ends = np.cumsum([2 - word["half"] for word in want]) - 1
        assert cycles["o"] == ends.tolist()


def test_the_first_sample_of_a_block_does_not_wait():
    """It is taken while nobody takes words, the second one is not."""
    dut, taken = Collector(encoder(random_artifact(H=4, n=2, block=2), 2).spec), []

    async def bench(ctx):
        for last in (0, 0):
            ctx.set(dut.i.payload, {"value": 7, "last": last})
            ctx.set(dut.i.valid, 1)
            *_, ready, valid = await ctx.tick().sample(dut.i.ready, dut.o.valid)
            taken.append((int(ready), int(valid)))
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert taken == [(1, 0), (0, 1)]
    with pytest.raises(pytest.fail.Exception, match="stuck"):
        exchange(dut, {"i": [{"value": 1, "last": 0}]}, {"o": 1}, limit=9)
