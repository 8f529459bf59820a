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
LENGTHS = (2, 1, 1, 5, 2)


def engine(art, lanes, number=1, signature=True):
    return StateEngine(plan(art, HardwareConfig(lanes, signature)).layers[number])


def x_words(dut, lengths=LENGTHS, seed=0) -> list[dict]:
    """Random block inputs, many of them at 0, 1 and the format's ends; sequences back to back.

    Every other sequence starts with the highest input: all neurons fire, save with plain.
    """
    rng = np.random.default_rng(seed)
    q, geo = dut.spec.art.x_format, dut.geo
    out = []
    for number, length in enumerate(lengths):
        for t in range(length):
            x = rng.integers(0, (1 << q.f_bits) + 1, dut.spec.art.H)
            ends = rng.choice([q.lo, 0, 1 << q.f_bits, q.hi], dut.spec.art.H)
            x = np.where(rng.random(dut.spec.art.H) < 0.2, ends, x)
            x = np.full_like(x, q.hi) if t == 0 and number % 2 else x
            out += [{"x": row.tolist(), "first": int(t == 0), "last": int(t == length - 1)}
                    for row in x.reshape(geo.words, geo.G)]
    return out


def check(dut, words, expected, stall=0.0, seed=0, writes=()):
    got, cycles = exchange(dut, {"i": words}, {"o": len(words)}, stall, seed, writes=writes)
    for j, (out, want) in enumerate(zip(got["o"], expected)):
        assert out == want, f"step {j // dut.geo.words}, word {j % dut.geo.words}"
    return cycles


@pytest.mark.parametrize("case", CASES)
def test_timing(case):
    options, lanes = CASES[case]
    dut = engine(random_artifact(seed=1, **options), lanes)
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


@pytest.mark.parametrize("case", CASES)
def test_stalls(case):
    options, lanes = CASES[case]
    dut = engine(random_artifact(seed=2, **options), lanes, number=0)
    words = x_words(dut, (1, 2, 3), seed=1)
    check(dut, words, dut.model(words), stall=0.4, seed=len(case))


def test_lanes_do_not_change_results():
    art = random_artifact(seed=3, H=4, n=4)
    answers = set()
    rng = np.random.default_rng(0)
    steps = rng.integers(0, 4097, (6, art.H)).tolist()
    for lanes in (1, 2, 4, 8, 16):
        spec = plan(art, HardwareConfig(lanes)).layers[1]
        geo = spec.geo
        words = [{"x": x[w * geo.G:(w + 1) * geo.G], "first": int(t in (0, 2)),
                  "last": int(t in (1, 5))}
                 for t, x in enumerate(steps) for w in range(geo.words)]
        out = expected_words(spec, words)
        ends = out[geo.words - 1::geo.words]
        spikes = tuple(word["s_out"] >> g & 1 for word in out for g in range(geo.G))
        answers.add((spikes, tuple((word["signature"], word["saturations"]) for word in ends)))
    assert len(answers) == 1


def test_without_signature():
    dut = engine(random_artifact(seed=4, H=4, n=2), 4, signature=False)
    words = x_words(dut, (1, 3))
    expected = dut.model(words)
    assert {word["signature"] for word in expected} == {0}
    check(dut, words, expected, stall=0.2)


@pytest.mark.parametrize("options, lanes", [
    (dict(H=6, n=2, residual="plain"), 4), (dict(H=5, n=4), 2),
    (dict(H=4, n=2, sampling="sobol"), 4), (dict(kind="glu", H=4, n=2), 2),
    (dict(kind="gsu", H=4, n=2), 4), (dict(kind="lif", H=4, n=2), 2),
    (dict(kind="lif", H=4, n=0), 2)],
    ids=["plain", "clampfuse", "sobol", "glu", "gsu", "lif", "lif, alone"])
def test_configured_over_the_bus(options, lanes):
    """Every memory and start state written: the engine then is another artifact's."""
    dut = engine(random_artifact(seed=5, **options), lanes)
    other = plan(random_artifact(seed=6, **options), HardwareConfig(lanes)).layers[1]
    writes = []
    for region in other.regions.values():
        flat = region.writes()
        writes += [flat[at:at + region.chunks] for at in range(0, len(flat), region.chunks)]
    random.Random(0).shuffle(writes)        # rows in any order, each one whole
    words = x_words(dut, (2, 3))
    expected = expected_words(other, words)
    assert expected != dut.model(words)
    check(dut, words, expected, writes=[write for row in writes for write in row])
