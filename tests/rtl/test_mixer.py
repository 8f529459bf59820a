"""Mixer and Fuse against the operations from Mix on: shapes, options, stalls, timing."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from golden.base.qformat import SQ
from quant.formats import TERNARY, LayerFormats
from quant.integer.operation import Tensor
from quant.integer.ops import Mix
from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig, HardwareError
from rtl.layer.mixer import Mixer
from rtl.plan import plan
from sim.benches.stimulus import mixed_formats, mixed_values, without_missing, words_of
from tests.rtl.fabric import multiplying, observe, sequence_sums, x_words
from tests.rtl.streams import get, put

LENGTHS = (3, 1, 1, 4, 2)

# name: artifact, lanes. Folds K = 1, 2, 3, 4; one to all neurons in a word.
CASES = {
    "no residual": (dict(H=6, n=2, residual="none"), 2),
    "four folds": (dict(H=8, n=4, residual="clampfuse", act="identity"), 1),
    "three folds": (dict(H=6, n=3, residual="plain"), 1),
    "odd folds": (dict(H=5, n=4, residual="clampfuse"), 2),
    "two neurons": (dict(H=6, n=2, residual="plain", act="identity"), 4),
    "whole layer": (dict(H=4, n=2, residual="plain"), 8),
    "many words": (dict(H=16, n=2, residual="none", act="identity"), 2),
    "single neuron": (dict(H=1, n=2, residual="clampfuse"), 2),
    "stress": (dict(H=8, n=2, residual="plain", stress=0.5,
                    fmt=LayerFormats(x=SQ(3, 12))), 4),
    "gain, gelu": (dict(H=4, n=2, residual="plain", act="gelu", gain=True), 4),
    "replaced": (dict(H=6, n=3, residual="replace", act="gelu"), 1),
    # two mixers: of spikes, and of -1, 0 and 1 and of values
    "glu": (dict(kind="glu", H=6, n=2), 2),
    "glu, folds": (dict(kind="glu", H=6, n=3, norm_position="post", residual="none"), 1),
    "glu, stress": (dict(kind="glu", H=4, n=2, stress=0.5), 8),
    "gsu": (dict(kind="gsu", H=6, n=2), 4),
    "gsu, folds": (dict(kind="gsu", H=8, n=4, norm_position="post"), 1),
    "gsu, whole layer": (dict(kind="gsu", H=4, n=2, residual="none", stress=0.5), 8),
    "gsu, single neuron": (dict(kind="gsu", H=1, n=2), 2),
}


def mixer(case, seed=3, number=1, P=1):
    shape, lanes = CASES[case]
    art = random_artifact(seed, block=P, **shape)
    return Mixer(plan(art, HardwareConfig(lanes)).layers[number])


def stimulus(dut, lengths=LENGTHS, seed=4):
    """What the mixers read, and inputs at the format's ends and between."""
    rng, H, q = np.random.default_rng(seed), dut.spec.art.H, dut.spec.art.x_format
    steps = sum(lengths)
    s = mixed_values(dut.spec, steps, seed)
    low, high = (q.lo, q.hi) if q.signed else (0, 1 << q.f_bits)
    x = rng.integers(low, high + 1, (steps, H))
    x = np.where(rng.random((steps, H)) < 0.3, rng.choice([low, 0, high], (steps, H)), x)
    return s, x


def run(dut, s, x, lengths=LENGTHS, stall=0.0, writes=()):
    geo = dut.geo
    sends = {"i": words_of(dut.spec, mixed_formats(dut.spec), s, lengths)}
    if dut.spec.fused:
        sends["x"] = x_words(x, lengths, geo.G, geo.P)
    pulses = ["count"] if dut.spec.saturates else []
    return observe(dut, sends, {"o": len(sends["i"])}, pulses, stall, seed=5, writes=writes)


def expected(dut, s, x, lengths=LENGTHS):
    results = [dut.model({name: raw[t] for name, raw in s.items()}, row)
               for t, row in enumerate(x)]
    return (x_words([out for out, _ in results], lengths, dut.geo.G, dut.geo.P),
            [{"value": n} for n in sequence_sums([over for _, over in results], lengths)])


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("P", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_matches_model(case, stall, P):
    dut = mixer(case, P=P)
    s, x = stimulus(dut)
    words, counts = expected(dut, s, x)
    got, cycles = run(dut, s, x, stall=stall)
    for j, (out, want) in enumerate(zip(*(without_missing(each, dut.geo)
                                          for each in (got["o"], words)))):
        assert out == want, f"step {j // dut.geo.words}, word {j % dut.geo.words}"
    assert got.get("count", counts) == counts
    if case == "stress":
        assert min(count["value"] for count in counts) > 0
    elif "stress" in case:
        assert max(count["value"] for count in counts) > 0
    if not stall:
        ends = cycles["i"][dut.geo.words - 1::dut.geo.words]
        starts = cycles["o"][::dut.geo.words]
        assert [b - a for a, b in zip(ends, starts)] == [dut.latency] * len(ends)
        assert [b - a for a, b in zip(ends, ends[1:])] == [dut.interval] * (len(ends) - 1)
        for start in range(0, len(cycles["o"]), dut.geo.words):
            step = cycles["o"][start:start + dut.geo.words]
            assert step == list(range(step[0], step[0] + len(step))), "a word per cycle"


class Pauses:
    """In place of a random generator: takes ``busy`` words in a row, then none for ``idle``."""

    def __init__(self, busy: int, idle: int):
        self.pattern, self.at = [1.0] * busy + [0.0] * idle, -1

    def random(self) -> float:
        self.at += 1
        return self.pattern[self.at % len(self.pattern)]


@pytest.mark.parametrize("busy, idle", [(5, 17), (9, 40), (14, 60)])
def test_a_consumer_that_pauses(busy, idle):
    """The queue fills while a step's last words are in `out`: the next sums must wait for them."""
    dut = mixer("many words")
    s, x = stimulus(dut)
    words, _ = expected(dut, s, x)
    got = []

    async def source(ctx):
        await put(ctx, dut.i, words_of(dut.spec, mixed_formats(dut.spec), s, LENGTHS))

    async def sink(ctx):
        got.extend(await get(ctx, dut.o, len(words), Pauses(busy, idle), stall=0.5))

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(source, background=True)
    sim.add_testbench(sink)
    sim.run()
    assert got == words


@pytest.mark.parametrize("case", ["three folds", "two neurons", "whole layer"])
def test_nothing_is_left_after_a_reset(case):
    """The adders and the sums have no reset: what was in them must not reach the next step."""
    dut, lengths = mixer(case), (2, 1)
    s, x = stimulus(dut, lengths)
    words, _ = expected(dut, s, x, lengths)
    sends = {"i": words_of(dut.spec, mixed_formats(dut.spec), s, lengths),
             "x": x_words(x, lengths, dut.geo.G)}
    for before in range(1, dut.latency + dut.interval):
        assert after_reset(dut, sends, before, len(words)) == words, f"reset in cycle {before}"


def after_reset(dut, sends: dict[str, list], before: int, count: int) -> list:
    """What ``o`` gives for ``sends`` after ``before`` cycles of them and one of reset."""
    rst, got = Signal(), []

    def source(port, values):
        async def bench(ctx):
            at = 0
            for _ in range(before):
                ctx.set(port.payload, values[at % len(values)])
                ctx.set(port.valid, 1)
                *_, ready = await ctx.tick().sample(port.ready)
                at += ready
            ctx.set(port.valid, 0)
            ctx.set(rst, 1)
            await ctx.tick()
            ctx.set(rst, 0)
            await put(ctx, port, values)
        return bench

    async def sink(ctx):
        ctx.set(dut.o.ready, 1)
        await ctx.tick().repeat(before + 1)
        got.extend(await get(ctx, dut.o, count))

    sim = Simulator(ResetInserter(rst)(dut))
    sim.add_clock(1e-6)
    for name, values in sends.items():
        sim.add_testbench(source(getattr(dut, name), values), background=True)
    sim.add_testbench(sink)
    sim.run()
    return got


def test_a_written_row_counts():
    """Weight and bias rows from the configuration bus replace the artifact's."""
    dut, other = mixer("two neurons"), mixer("two neurons", seed=6)
    regions = [region for name, region in other.spec.regions.items()
               if name.startswith(("mixer", "fuse"))]
    writes = [pair for region in regions for pair in region.writes()]
    s, x = stimulus(dut)
    got, _ = run(dut, s, x, writes=writes)
    assert got["o"] == expected(other, s, x)[0] != expected(dut, s, x)[0]


@pytest.mark.parametrize("lanes", [2, 4])
def test_weights_of_two_bits(lanes):
    """-2 is one of them, beside those of a ternary matrix."""
    art = random_artifact(3, kind="gsu", H=4, n=2)
    ops = [replace(op, w=Tensor(np.resize([-2, 1, -1, 0, 1, -2, -2], op.w.raw.shape), op.w.fmt))
           if isinstance(op, Mix) and op.w.fmt == TERNARY else op for op in art.blocks[1]]
    art = replace(art, blocks=(art.blocks[0], tuple(ops))).check()
    dut = Mixer(plan(art, HardwareConfig(lanes)).layers[1])
    s, x = stimulus(dut)
    assert run(dut, s, x)[0]["o"] == expected(dut, s, x)[0]


def test_multipliers_are_refused():
    """Weights of values, where neither is of two bits: layer, operation, formats."""
    with pytest.raises(HardwareError, match=r"^layer 0: Mix \(a -> n\) has weights SQ\(8,0\) of "
                                            r"values SQ\(.*; the RTL has no multipliers there: "
                                            r".*quant.evaluate$"):
        plan(multiplying(), HardwareConfig(2))
