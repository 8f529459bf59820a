"""All layers on the hardware of one: against the reference, and its cycles as predicted."""

import re
from dataclasses import replace

import numpy as np
import pytest

from golden.base.qformat import SQ
from quant.formats import LayerFormats
from quant.integer.memory import States
from quant.integer.operation import Tensor
from quant.integer.synthetic import random_artifact
from rtl.core import Core
from rtl.cycles import RingRun, predict
from rtl.parts.config import HardwareConfig, HardwareError
from rtl.plan import plan
from tests.rtl.test_core import check, run, sequences
from tests.rtl.test_cycles import simulate

TIGHT = LayerFormats(h=SQ(2, 12), x=SQ(3, 12))
LENGTHS = (3, 1, 1, 6, 2)

# name: artifact, lanes. Of two layers if nothing else is said; every family, every kind of memory.
CASES = {
    "no residual, three layers": (dict(n_layers=3, H=6, n=2, residual="none"), 2),
    "whole layer": (dict(n_layers=3, H=4, n=4, residual="plain", stress=0.4, fmt=TIGHT), 16),
    "tokens": (dict(H=4, n=2, vocab=5, rounding="half_even"), 2),
    "sobol": (dict(n_layers=3, H=4, n=2, sampling="sobol", length=64), 2),
    "sobol, a word a step": (dict(H=2, n=1, sampling="sobol", length=64), 2),
    "systematic": (dict(H=4, n=2, gelu_out=True, gain=True, residual="replace",
                        sampling="systematic"), 2),
    "single neuron": (dict(H=1, n=2, n_classes=1), 2),
    "glu": (dict(kind="glu", H=6, n=2, stress=0.2), 2),
    "gsu": (dict(kind="gsu", H=6, n=2, stress=0.3), 4),
    "lif": (dict(kind="lif", H=4, n=2), 2),
    "lif, alone": (dict(kind="lif", n=0, H=4, residual="plain", reset="zero"), 2),
    # two steps per update of the states
    "2: no residual, three layers": (dict(n_layers=3, H=6, n=2, residual="none", block=2), 2),
    "2: whole layer": (dict(n_layers=3, H=4, n=4, residual="plain", stress=0.4, fmt=TIGHT,
                            block=2), 16),
    "2: tokens": (dict(H=4, n=2, vocab=5, rounding="half_even", block=2), 2),
    "2: sobol": (dict(n_layers=3, H=4, n=2, sampling="sobol", length=64, block=2), 2),
    "2: sobol, a word a step": (dict(H=2, n=1, sampling="sobol", length=64, block=2), 2),
    "2: systematic": (dict(H=4, n=2, gelu_out=True, gain=True, residual="replace",
                           sampling="systematic", block=2), 2),
    "2: single neuron": (dict(H=1, n=2, n_classes=1, block=2), 2),
    "2: glu": (dict(kind="glu", H=6, n=2, stress=0.2, block=2), 2),
    "2: gsu": (dict(kind="gsu", H=6, n=2, stress=0.3, block=2), 4),
    "2: lif": (dict(kind="lif", H=4, n=2, block=2), 2),
    "2: lif, alone": (dict(kind="lif", n=0, H=4, residual="plain", reset="zero", block=2), 2),
}
MORE = {        # that only make test-long runs
    "one lane, five layers": (dict(n_layers=5, H=3, n=3, residual="clampfuse"), 1),
    "gelu": (dict(H=4, n=2, act="gelu", gain=True, residual="clampfuse"), 4),
    "glu, post": (dict(kind="glu", n_layers=3, H=4, n=4, norm_position="post", residual="none",
                       fires_at_zero=False), 2),
    "gsu, a word a step": (dict(kind="gsu", H=4, n=2, n_layers=3), 8),
    "2: one lane, five layers": (dict(n_layers=5, H=3, n=3, residual="clampfuse", block=2), 1),
    "2: gelu": (dict(H=4, n=2, act="gelu", gain=True, residual="clampfuse", block=2), 4),
    "2: glu, post": (dict(kind="glu", n_layers=3, H=4, n=4, norm_position="post", residual="none",
                          fires_at_zero=False, block=2), 2),
    "2: gsu, a word a step": (dict(kind="gsu", H=4, n=2, n_layers=3, block=2), 8),
}


def made(case):
    shape, lanes = (CASES | MORE)[case]
    return random_artifact(7, **shape), HardwareConfig(lanes, folded=True)


@pytest.mark.parametrize("case", MORE)
def test_more_of_them_match_the_reference(case):
    test_matches_the_reference(case)


@pytest.mark.parametrize("case", CASES)
def test_matches_the_reference(case):
    """Sequences of mixed lengths back to back: as they come, and held back at both ends."""
    art, hw = made(case)
    values = sequences(art, LENGTHS)
    for stall in (0.0, 0.3):
        core = Core(art, hw)
        results, taps, cycles = run(core, values, stall)
        traces = check(art, values, results, taps, core.geo)
        if not stall:
            found = [cycle - cycles["i"][0] for cycle in cycles["o"]]
            assert found == predict(art, hw, list(LENGTHS)).results
    if case.endswith("whole layer"):
        assert all(min(trace.saturations) > 0 for trace in traces[-2:])


@pytest.mark.parametrize("case, lengths", [
    ("whole layer", (6, 1, 1, 1, 1, 4)), ("tokens", (1,) * 20), ("gsu", (1, 5, 3, 1, 1)),
    ("sobol, a word a step", (1,) * 22), ("2: whole layer", (6, 1, 1, 2, 1, 1, 5)),
    ("2: gsu", (1, 5, 4, 2, 1, 1)), ("2: sobol, a word a step", (1, 2) * 11)])
def test_prediction_is_exact(case, lengths):
    """Short sequences, where the decoder and the sequences inside hold everything up."""
    art, hw = made(case)
    hw = replace(hw, signature=False)
    assert predict(art, hw, list(lengths)).results == simulate(art, hw, lengths)


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("H, n", [(6, 3), (8, 2), (2, 4), (1, 3)])
def test_where_registers_are_few(H, n, folded):
    """A shorter queue behind the mixer, a copy of the bus less: still equal, and as predicted."""
    art = random_artifact(8, n_layers=2, H=H, n=n, sampling="systematic")
    hw = HardwareConfig(1, folded=folded, spread=False, bank_bits=16)
    values = sequences(art, LENGTHS)
    for stall in (0.0, 0.3):
        core = Core(art, hw)
        results, taps, cycles = run(core, values, stall)
        check(art, values, results, taps, core.geo)
        if not stall:
            found = [cycle - cycles["i"][0] for cycle in cycles["o"]]
            assert found == predict(art, hw, list(LENGTHS)).results


@pytest.mark.parametrize("case", CASES)
def test_skipping_changes_nothing(case):
    art, hw = made(case)
    lengths = np.random.default_rng(3).choice([1, 2, 3, 7, 40, 64], 40).tolist()
    free, slow = (RingRun(plan(art, hw)) for _ in range(2))
    for length in lengths:
        blocks = slow.geo.blocks(length)
        for t in range(blocks):
            last = t == blocks - 1
            slow.step(t == 0, last, last and length % slow.geo.P)
    slow.ring.finish()
    assert free.results(lengths) == slow.ring.taken()


@pytest.mark.parametrize("H, n, n_layers, lanes", [(64, 4, 4, 1), (64, 4, 4, 4), (64, 4, 2, 16),
                                                   (128, 8, 4, 8), (48, 2, 3, 4)])
@pytest.mark.parametrize("block", [1, 2])
def test_a_step_costs_the_state_updates_of_all_layers(H, n, n_layers, lanes, block):
    art = random_artifact(1, n_layers, H, n, length=784, block=block)
    found = predict(art, HardwareConfig(lanes, folded=True), [784] * 1000)
    assert found.cycles_per_step == found.roofline == n_layers * H * n / lanes / block
    assert found.utilisation == 1
    assert found.results[-1] - found.results[0] <= 999 * 784 * found.roofline


def test_ten_thousand_sequences_are_quick(monkeypatch):
    steps, step = [], RingRun.step
    monkeypatch.setattr(RingRun, "step", lambda *args: (steps.append(1), step(*args)))
    predict(random_artifact(1, 4, 64, 4, length=784), HardwareConfig(4, folded=True),
            [784] * 10_000)
    assert len(steps) < 1500


@pytest.mark.parametrize("block", [1, 2])
def test_a_network_is_written_over_the_bus(block):
    """Every row and register of all layers: the core was made for another network and seed."""
    art, other = (random_artifact(seed, 3, 4, 2, sampling="sobol", length=64, block=block)
                  for seed in (7, 8))
    core = Core(other, HardwareConfig(2, folded=True))
    values = sequences(art, LENGTHS)
    results, taps, _ = run(core, values, writes=plan(art, core.hw).writes())
    check(art, values, results, taps, core.geo)


def test_other_random_words_are_written_over_the_bus():
    art = random_artifact(7, 3, 4, 2)
    core, values = Core(art, HardwareConfig(2, folded=True)), sequences(art, LENGTHS)
    writes = core.plan.seed_writes(99)
    assert len(writes) == 9, "three streams of each layer"
    results, taps, _ = run(core, values, writes=writes)
    check(replace(art, seed=99), values, results, taps, core.geo)


def test_one_layer_shares_nothing():
    art = random_artifact(1, 1)
    assert plan(art, HardwareConfig(4, folded=True)).regions == plan(art, HardwareConfig(4)).regions


@pytest.mark.parametrize("block", [1, 2])
def test_the_memories_of_all_layers(block):
    art = random_artifact(1, 3, 6, 4, block=block)
    alone, shared = (plan(art, HardwareConfig(2, folded=folded)) for folded in (False, True))
    assert len(alone.layers) == 3 and len(shared.layers) == 1
    for name in ("state_coefficients", "neuron_coefficients", "mixer.w0",
                 *(["state_inputs0"] if block == 2 else [])):
        assert shared.layers[0].regions[name].rows == sum(
            (spec.regions[name].rows for spec in alone.layers), ())
    assert [spec.geo.layers for spec in (shared.encoder, shared.decoder)] == [1, 1]


def test_tables_are_not_folded():
    art = random_artifact(1, 2, H=4, n=2, fmt=LayerFormats(w=SQ(7, 0)))
    with pytest.raises(HardwareError, match="layer 0: tables have the weights of one layer, folded "
                                            "layers share a mixer; or take --mixer columns"):
        plan(art, HardwareConfig(2, folded=True, mixer="tables"))
    found, = plan(art, HardwareConfig(2, folded=True, mixer="fitting")).layers
    assert not found.tables and plan(art, HardwareConfig(2, mixer="fitting")).layers[0].tables


def other(change):
    """A network whose last layer is changed."""
    art = random_artifact(1, 3, 4, 2)
    return replace(art, blocks=(*art.blocks[:2], tuple(map(change, art.blocks[2]))))


def wider(op):
    return op if not isinstance(op, States) else replace(
        op, d=Tensor(op.d.raw, replace(op.d.fmt, i_bits=op.d.fmt.i_bits + 1)))


@pytest.mark.parametrize("art, said", [
    (lambda: other(wider), r"folded: d of States (s_in -> y) is SQ(4,12) in layer 0, but SQ(5,12) "
                           r"in layer 2; layers share the hardware only with the same operations "
                           r"and formats: export with --one-format, or leave out --folded"),
    (lambda: other(lambda op: replace(op, rounding="half_even") if isinstance(op, States) else op),
     "folded: rounding of States (s_in -> y) is stochastic in layer 0, but half_even in layer 2"),
    (lambda: other(lambda op: replace(op, form="systematic") if hasattr(op, "form") else op),
     "folded: form of Fire (x -> s_in) is bernoulli in layer 0, but systematic in layer 2"),
    (lambda: replace(random_artifact(1, 2), blocks=(
        random_artifact(1, 2).blocks[0], random_artifact(1, 2, residual="none").blocks[1])),
     "folded: a block is Fire")])
def test_layers_that_differ_are_refused(art, said):
    with pytest.raises(HardwareError, match=re.escape(said)):
        plan(art(), HardwareConfig(2, folded=True))
