"""StateEngine against the reference: shapes, options, stalls, timing, configuration."""

import random

import numpy as np
import pytest

from golden.base.qformat import SQ
from quant.formats import LayerFormats, RandomFormat
from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from rtl.plan import plan
from rtl.layer import chains
from rtl.layer.state_engine import StateEngine
from rtl.layer.state_model import expected_words
from tests.rtl.streams import exchange

NARROW = LayerFormats(h=SQ(2, 8), drive=SQ(3, 8), g=SQ(3, 14))    # the first step saturates
TIGHT = LayerFormats(h=SQ(2, 12))

# name: artifact, lanes. Odd sizes, every residual and rounding, from one lane to whole layers.
CASES = {
    "one lane": (dict(H=5, n=3), 1),
    "half a neuron": (dict(H=3, n=4, rounding="half_even", residual="none"), 2),
    "one neuron": (dict(H=5, n=7, residual="plain"), 7),
    "two neurons": (dict(H=6, n=3, residual="none"), 6),
    "whole layer": (dict(H=3, n=3, residual="plain", rounding="half_even"), 9),
    "real modes": (dict(H=4, n=1), 2),
    "long word": (dict(H=2, n=9, residual="plain"), 3),
    "stress": (dict(H=4, n=4, stress=0.3, fmt=TIGHT), 4),
    "stress narrow": (dict(H=4, n=4, stress=0.9, rounding="half_even", fmt=NARROW), 2),
    "coarse draws": (dict(H=6, n=2, random=RandomFormat(k=5, centred=False, round_bits=3)), 4),
    "single neuron": (dict(H=1, n=2), 1),
    "single cycle": (dict(H=1, n=2, residual="plain"), 2),
    "sobol": (dict(H=6, n=2, sampling="sobol", random=RandomFormat(k=6)), 4),
    "sobol, one word": (dict(H=3, n=3, sampling="sobol", residual="none"), 9),
    "sobol, long word": (dict(H=2, n=4, sampling="sobol", residual="plain"), 2),
    "systematic": (dict(H=6, n=2, sampling="systematic"), 4),
    "systematic, plain": (dict(H=2, n=2, sampling="systematic", residual="plain"), 4),
    "systematic, long word": (dict(H=3, n=4, sampling="systematic", residual="none"), 1),
    "systematic, long plain word": (dict(H=2, n=6, sampling="systematic", residual="plain"), 2),
    "systematic, coarse draws": (dict(H=4, n=2, sampling="systematic",
                                      random=RandomFormat(k=5)), 2),
    "values": (dict(kind="glu", H=6, n=2), 4),
    "x itself": (dict(kind="glu", H=3, n=4, norm_position="post", rounding="half_even"), 2),
    "values sent": (dict(kind="gsu", H=5, n=3), 1),
    "values, whole layer": (dict(kind="gsu", H=3, n=3, stress=0.3), 9),
    "membranes": (dict(kind="lif", H=6, n=2), 4),
    "membranes, one word": (dict(kind="lif", H=2, n=2, reset="zero", residual="plain"), 4),
    "membranes alone": (dict(kind="lif", H=5, n=0), 1),
    "membranes alone, one word": (dict(kind="lif", H=4, n=0, residual="plain"), 4),
}
LENGTHS = (2, 1, 1, 9, 2)
BLOCKS = pytest.mark.parametrize("block", [1, 2], ids=["a step", "two steps"])


def engine(art, lanes, number=1, signature=True, spread=True):
    return StateEngine(plan(art, HardwareConfig(lanes, signature, spread=spread)).layers[number])


def blocks(geo, rows, length: int) -> list[dict]:
    """Words of one sequence of ``length`` steps: x (H,) of each, and of a missing one anything."""
    words = []
    for t in range(0, length, geo.P):
        block = np.array(rows[t:t + geo.P]).reshape(geo.P, geo.words, geo.G).swapaxes(0, 1)
        marks = {"first": int(t == 0), "last": int(t + geo.P >= length)}
        marks |= {"half": int(t + geo.P > length)} if geo.P > 1 else {}
        words += [{"x": row.tolist()} | marks for row in block.reshape(geo.words, -1)]
    return words


def x_words(dut, lengths=LENGTHS, seed=0) -> list[dict]:
    """Random block inputs, many of them at 0, 1 and the format's ends; sequences back to back.

    Every other sequence starts with the highest input: all neurons fire, save with plain.
    """
    rng = np.random.default_rng(seed)
    q, geo, H = dut.spec.art.x_format, dut.geo, dut.spec.art.H
    out = []
    for number, length in enumerate(lengths):
        rows = []
        for t in range(length + length % geo.P):
            x = rng.integers(0, (1 << q.f_bits) + 1, H)
            ends = rng.choice([q.lo, 0, 1 << q.f_bits, q.hi], H)
            x = np.where(rng.random(H) < 0.2, ends, x)
            rows.append(np.full_like(x, q.hi) if t == 0 and number % 2 else x)
        out += blocks(geo, rows, length)
    return out


def check(dut, words, expected, stall=0.0, seed=0, writes=()):
    got, cycles = exchange(dut, {"i": words}, {"o": len(words)}, stall, seed, writes=writes)
    for j, (out, want) in enumerate(zip(got["o"], expected)):
        assert out == want, f"block {j // dut.geo.words}, word {j % dut.geo.words}"
    return cycles


@BLOCKS
@pytest.mark.parametrize("case", CASES)
def test_timing(case, block):
    options, lanes = CASES[case]
    dut = engine(random_artifact(seed=1, block=block, **options), lanes)
    words = x_words(dut)
    expected = dut.model(words)
    cycles = check(dut, words, expected)
    assert {o - i for i, o in zip(cycles["i"], cycles["o"])} == {dut.latency}
    starts = cycles["o"][::dut.geo.words]
    assert set(np.diff(starts)) == {dut.interval}
    loops = [dut.lanes[0].latency + 2] if dut.states else []
    loops += [chain.flow.loop for chain in (chains.front(dut.spec), chains.middle(dut.spec, 1))]
    assert dut.interval == max(dut.geo.issue, *loops)
    inside = np.diff(np.reshape(cycles["o"], (-1, dut.geo.words)), axis=1)
    assert np.all(inside == dut.geo.F)
    for name in {"s_in", *dut.spec.cut.sent} & set(expected[0]):
        assert any(np.any(word[name]) for word in expected), f"{name} is always 0"
    if case.startswith("stress"):
        assert max(word["saturations"] for word in expected) > 3


@BLOCKS
@pytest.mark.parametrize("case", CASES)
def test_stalls(case, block):
    options, lanes = CASES[case]
    dut = engine(random_artifact(seed=2, block=block, **options), lanes, number=0,
                 spread=block == 1)
    words = x_words(dut, (1, 2, 3), seed=1)
    check(dut, words, dut.model(words), stall=0.4, seed=len(case))


@BLOCKS
def test_lanes_do_not_change_results(block):
    art = random_artifact(seed=3, H=4, n=4, block=block)
    answers = set()
    rng = np.random.default_rng(0)
    steps = rng.integers(0, 4097, (7, art.H))
    for lanes in (1, 2, 4, 8, 16):
        spec = plan(art, HardwareConfig(lanes)).layers[1]
        geo = spec.geo
        words = blocks(geo, steps[:2], 2) + blocks(geo, steps[2:], 5 if block == 1 else 4)
        out = expected_words(spec, words)
        ends = out[geo.words - 1::geo.words]
        spikes = np.array([[word["s_out"] >> j & 1 for j in range(geo.values)] for word in out])
        spikes = spikes.reshape(-1, geo.words, geo.P, geo.G).swapaxes(1, 2)
        answers.add((*spikes.ravel().tolist(),
                     *((word["signature"], word["saturations"]) for word in ends)))
    assert len(answers) == 1


@BLOCKS
@pytest.mark.parametrize("options, lanes", [
    (dict(H=6, n=4), 2), (dict(H=10, n=2, rounding="half_even"), 2),
    (dict(kind="glu", H=12, n=2), 2), (dict(H=12, n=4, sampling="systematic"), 4)],
    ids=["paper", "half even", "glu", "systematic"])
def test_every_cycle_is_used(options, lanes, block):
    """Lanes take operands from a block's first cycle to the last one's end, without a gap."""
    dut = engine(random_artifact(seed=4, block=block, **options), lanes)
    words, busy = x_words(dut, (4, 3, 1, 6)), []
    assert dut.interval == dut.geo.issue

    async def watch(ctx):
        async for *_, now in ctx.tick().sample(dut.busy):
            busy.append(now)
    exchange(dut, {"i": words}, {"o": len(words)}, watch=watch)
    used = len(words) // dut.geo.words * dut.geo.issue
    assert sum(busy) == used and all(busy[busy.index(1):][:used])


def test_what_is_in_the_place_of_a_missing_step_does_not_count():
    """Its x can be anything."""
    for kind, options in (("paper", dict(sampling="systematic", residual="plain")), ("glu", {}),
                          ("gsu", {}), ("lif", {})):
        dut = engine(random_artifact(seed=5, kind=kind, H=4, n=2, block=2, **options), 4)
        words = x_words(dut, (3, 1))
        expected, G, q = dut.model(words), dut.geo.G, dut.spec.art.x_format
        for end in (q.lo, q.hi):
            given = [word | {"x": word["x"][:G] + [end] * G} if word["half"] else word
                     for word in words]
            assert dut.model(given) == expected
            check(dut, given, expected)


@BLOCKS
def test_without_signature(block):
    dut = engine(random_artifact(seed=4, H=4, n=2, block=block), 4, signature=False)
    words = x_words(dut, (1, 3))
    expected = dut.model(words)
    assert {word["signature"] for word in expected} == {0}
    check(dut, words, expected, stall=0.2)


@BLOCKS
@pytest.mark.parametrize("options, lanes", [
    (dict(H=6, n=2, residual="plain"), 4), (dict(H=5, n=4), 2),
    (dict(H=4, n=2, sampling="sobol"), 4), (dict(kind="glu", H=4, n=2), 2),
    (dict(kind="gsu", H=4, n=2), 4), (dict(kind="lif", H=4, n=2), 2),
    (dict(kind="lif", H=4, n=0), 2)],
    ids=["plain", "clampfuse", "sobol", "glu", "gsu", "lif", "lif, alone"])
def test_configured_over_the_bus(options, lanes, block):
    """Every memory and start state written: the engine then is another artifact's."""
    dut = engine(random_artifact(seed=5, block=block, **options), lanes)
    other = plan(random_artifact(seed=8, block=block, **options), HardwareConfig(lanes)).layers[1]
    assert [region.width for region in other.regions.values()] == [     # d1 has any format
        region.width for region in dut.spec.regions.values()]
    writes = []
    for region in other.regions.values():
        flat = region.writes()
        writes += [flat[at:at + region.chunks] for at in range(0, len(flat), region.chunks)]
    random.Random(0).shuffle(writes)        # rows in any order, each one whole
    words = x_words(dut, (2, 3))
    expected = expected_words(other, words)
    assert expected != dut.model(words)
    check(dut, words, expected, writes=[write for row in writes for write in row])
