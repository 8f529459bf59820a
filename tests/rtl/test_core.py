"""The whole core against quant.integer.reference.run: spikes, signatures, logits, saturations."""

from dataclasses import replace

import numpy as np
import pytest

from quant.integer import reference
from quant.integer.ops import Table
from golden.base.qformat import SQ
from quant.formats import BIT, TERNARY, LayerFormats
from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from rtl.core import Core
from rtl.plan import IN_FLIGHT, plan
from rtl.cycles import predict
from sim.benches.stimulus import rows_of
from tests.rtl.fabric import observe

LENGTHS = (3, 1, 1, 6, 2)
TIGHT = LayerFormats(h=SQ(2, 12), x=SQ(3, 12))

# name: artifact, lanes, probability of a stall
CASES = {
    "no residual": (dict(H=6, n=2, residual="none"), 2, 0.3),
    "three layers": (dict(H=4, n=4, n_layers=3, residual="clampfuse"), 2, 0.0),
    "plain": (dict(H=6, n=2, residual="plain", act="identity"), 4, 0.3),
    "tokens": (dict(H=4, n=2, vocab=5, rounding="half_even"), 2, 0.3),
    "stress": (dict(H=4, n=4, residual="plain", stress=0.4, fmt=TIGHT), 8, 0.3),
    "single neuron": (dict(H=1, n=2, n_layers=1, n_classes=1), 2, 0.3),
    "gelu out": (dict(H=4, n=2, gelu_out=True, gain=True, residual="replace",
                      sampling="systematic"), 2, 0.3),
    "glu": (dict(kind="glu", H=6, n=2), 2, 0.3),
    "gsu": (dict(kind="gsu", H=6, n=2, stress=0.3), 4, 0.3),
    "lif": (dict(kind="lif", H=4, n=2), 2, 0.3),
    "lif, alone": (dict(kind="lif", n=0, H=4, residual="plain", reset="zero"), 2, 0.3),
    # two steps per update of the states
    "2: no residual": (dict(H=6, n=2, residual="none", block=2), 2, 0.3),
    "2: sobol, plain": (dict(H=6, n=2, residual="plain", sampling="sobol", block=2), 4, 0.0),
    "2: tokens": (dict(H=4, n=2, vocab=5, rounding="half_even", block=2), 2, 0.3),
    "2: stress": (dict(H=4, n=4, residual="plain", stress=0.4, fmt=TIGHT, block=2), 8, 0.3),
    "2: one lane": (dict(H=3, n=4, n_layers=1, residual="clampfuse", block=2), 1, 0.0),
    "2: gelu out": (dict(H=4, n=2, gelu_out=True, gain=True, residual="replace",
                         sampling="systematic", block=2), 2, 0.3),
    "2: glu": (dict(kind="glu", H=6, n=2, block=2), 2, 0.3),
    "2: gsu": (dict(kind="gsu", H=6, n=2, stress=0.3, block=2), 4, 0.3),
    "2: lif": (dict(kind="lif", H=4, n=2, block=2), 2, 0.3),
}
MORE = {        # that only make test-long runs
    "gelu": (dict(H=4, n=2, act="gelu", gain=True, residual="clampfuse"), 4, 0.3),
    "glu, post": (dict(kind="glu", H=4, n=4, norm_position="post", residual="none",
                       fires_at_zero=False), 2, 0.0),
    "gsu, post": (dict(kind="gsu", H=3, n=3, norm_position="post", vocab=5,
                       rounding="half_even"), 1, 0.3),
    "gsu, whole layer": (dict(kind="gsu", H=4, n=2, n_layers=3), 8, 0.0),
    "2: single neuron": (dict(H=1, n=2, n_layers=1, n_classes=1, block=2), 2, 0.3),
    "2: three layers": (dict(H=4, n=4, n_layers=3, residual="clampfuse", block=2), 2, 0.0),
    "2: glu, post": (dict(kind="glu", H=4, n=4, norm_position="post", residual="none",
                          fires_at_zero=False, block=2), 2, 0.0),
    "2: gsu, post": (dict(kind="gsu", H=3, n=3, norm_position="post", vocab=5,
                          rounding="half_even", block=2), 1, 0.3),
    "2: gsu, whole layer": (dict(kind="gsu", H=4, n=2, n_layers=3, block=2), 8, 0.0),
}


def sequences(art, lengths=LENGTHS, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, art.vocab or 256, length) for length in lengths]


def run(core, values, stall=0.0, writes=()):
    """(results, per layer the words of its tap, cycles) of sequences that follow each other."""
    words = [{"value": int(v), "last": int(t == len(seq) - 1)} for seq in values
             for t, v in enumerate(seq)]
    taps = [f"tap{j}" for j in range(len(core.art.blocks))]
    got, cycles = observe(core, {"i": words}, {"o": len(values)}, taps, stall, writes=writes)
    return got["o"], [got[tap] for tap in taps], cycles


def steps_of(words, geo, lengths):
    """By name spikes (steps, H), those of the tap's words, and signatures (blocks of steps,)."""
    spikes = {name: rows_of(words, name, TERNARY if isinstance(words[0][name], list) else BIT, geo,
                            lengths)
              for name in ("s_in", "s_out") if name in words[0]}
    ends = [j for j, word in enumerate(words) if word["end"]]
    assert ends == list(range(geo.words - 1, len(words), geo.words)), "`end` with each last word"
    return spikes | {"signature": np.array([words[j]["signature"] for j in ends])}


def check(art, values, results, taps, geo):
    """Every spike, signature and result equals the reference's."""
    traces = [reference.run(art, seq) for seq in values]
    for j, words in enumerate(taps):
        for name, seen in steps_of(words, geo, [len(seq) for seq in values]).items():
            want = np.concatenate([getattr(trace, name)[j] for trace in traces])
            np.testing.assert_array_equal(seen, want, f"layer {j}, {name}")
    for number, (result, trace) in enumerate(zip(results, traces)):
        assert result == {"label": trace.label, "logits": trace.logits.tolist(),
                          "saturations": trace.saturations.tolist()}, f"sequence {number}"
    return traces


@pytest.mark.parametrize("case", MORE)
def test_more_of_them_match_the_reference(case):
    test_matches_reference(case)


@pytest.mark.parametrize("case", CASES)
def test_matches_reference(case):
    shape, lanes, stall = (CASES | MORE)[case]
    art = random_artifact(7, **shape)
    core = Core(art, HardwareConfig(lanes))
    values = sequences(art)
    results, taps, cycles = run(core, values, stall)
    traces = check(art, values, results, taps, core.geo)
    if not stall:
        spent = [cycle - cycles["i"][0] for cycle in cycles["o"]]
        assert spent == predict(art, core.hw, [len(seq) for seq in values]).results
    if case.endswith("stress"):
        assert all(min(trace.saturations) > 0 for trace in traces[-2:])


def test_lanes_change_nothing_but_time():
    art = random_artifact(8, n_layers=1, H=4, n=2, residual="clampfuse")
    values = sequences(art, (4, 2))
    spent = []
    for lanes in (1, 2, 4, 8):
        core = Core(art, HardwareConfig(lanes))
        results, taps, cycles = run(core, values)
        check(art, values, results, taps, core.geo)
        spent.append(cycles["o"][-1])
    assert spent == sorted(spent, reverse=True)


def test_fewer_registers_change_nothing_but_time():
    art = random_artifact(8, n_layers=2, H=6, n=2, residual="clampfuse")
    values = sequences(art, (4, 2))
    spent = []
    for spread in (True, False):
        core = Core(art, HardwareConfig(2, spread=spread))
        results, taps, cycles = run(core, values)
        check(art, values, results, taps, core.geo)
        spent.append(cycles["o"][-1] - cycles["i"][0])
        assert spent[-1] == predict(art, core.hw, [4, 2]).cycles
    assert spent[1] < spent[0]


@pytest.mark.parametrize("limit", [2, IN_FLIGHT])
def test_more_short_sequences_than_fit(limit, monkeypatch):
    """The saturation counts of sequences that wait inside stay with their sequences."""
    monkeypatch.setattr("rtl.plan.IN_FLIGHT", limit)
    art = random_artifact(9, n_layers=1, H=2, n=2, n_classes=12, residual="plain", stress=0.5,
                          fmt=TIGHT)
    core = Core(art, HardwareConfig(4, signature=False))
    values = sequences(art, [1, 1, 3, 2] * 4)
    results, _, _ = run(core, values, stall=0.2)
    traces = [reference.run(art, seq) for seq in values]
    assert [r["saturations"] for r in results] == [t.saturations.tolist() for t in traces]
    assert len({tuple(trace.saturations) for trace in traces}) > 2


@pytest.mark.parametrize("options", [
    dict(residual="plain"), dict(kind="glu"), dict(kind="gsu"), dict(kind="lif"),
    dict(kind="lif", n=0)], ids=["paper", "glu", "gsu", "lif", "lif, alone"])
def test_the_bus_loads_another_network(options):
    """A core whose every coefficient is written becomes the other artifact's."""
    shape = dict(H=4, n=2, n_layers=1, stress=0.2) | options
    art, other = random_artifact(10, **shape), random_artifact(11, **shape)
    ops = [replace(op, table=replace(op.table, raw=op.table.raw[::-1].copy()))
           if isinstance(op, Table) else op for op in other.blocks[0]]      # or they were alike
    other = replace(other, blocks=(tuple(ops),)).check()
    hw = HardwareConfig(4)      # rows of one to eight bus words, three among them
    core, values = Core(art, hw), sequences(art, (3, 2))
    results, taps, _ = run(core, values, writes=plan(other, hw).writes())
    check(other, values, results, taps, core.geo)
    assert results[0]["logits"] != reference.run(art, values[0]).logits.tolist()


def test_without_signature():
    art = random_artifact(12, H=4, n=2, n_layers=1)
    core = Core(art, HardwareConfig(2, signature=False))
    values = sequences(art, (2,))
    results, taps, _ = run(core, values)
    assert not steps_of(taps[0], core.geo, (2,))["signature"].any()
    assert results[0]["logits"] == reference.run(art, values[0]).logits.tolist()
