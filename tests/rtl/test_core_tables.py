"""A core whose mixers are tables: equal to the reference, in the cycles that are predicted."""

import pytest

from golden.base.qformat import SQ
from quant.formats import LayerFormats, StreamFormats
from quant.integer import reference
from quant.integer.synthetic import random_artifact
from rtl.core import Core
from rtl.cycles import predict
from rtl.parts.config import HardwareConfig
from rtl.plan import plan
from tests.rtl.test_core import check, run, sequences

W7, GLU = dict(fmt=LayerFormats(w=SQ(7, 0))), dict(fmt=StreamFormats(w=SQ(7, 0)))
LENGTHS = (3, 1, 1, 6, 2)

# name: artifact, lanes, probability of a stall
CASES = {
    "three layers": (dict(H=6, n=2, n_layers=3, residual="clampfuse") | W7, 2, 0.0),
    "words of two": (dict(H=8, n=2, residual="plain") | W7, 4, 0.3),
    "slow engine": (dict(H=5, n=4, residual="none") | W7, 2, 0.0),
    "many words": (dict(H=24, n=2, n_layers=3) | W7, 2, 0.0),
    "many words of two": (dict(H=40, n=2, residual="clampfuse") | W7, 4, 0.0),
    "single neuron": (dict(H=1, n=2, n_layers=2) | W7, 2, 0.0),
    "a word a step": (dict(H=2, n=2, n_layers=2) | W7, 4, 0.0),
    "glu": (dict(kind="glu", H=6, n=2) | GLU, 2, 0.3),
    "lif": (dict(kind="lif", H=6, n=2) | W7, 2, 0.3),
    "lif, alone": (dict(kind="lif", n=0, H=4) | W7, 1, 0.0),
}


@pytest.mark.parametrize("case", CASES)
def test_matches_reference(case):
    options, lanes, stall = CASES[case]
    art = random_artifact(9, **options)
    hw = HardwareConfig(lanes, mixer="tables")
    core, values = Core(art, hw), sequences(art, LENGTHS)
    results, taps, cycles = run(core, values, stall)
    check(art, values, results, taps, core.geo)
    if not stall:
        first = cycles["i"][0]
        assert [at - first for at in cycles["o"]] == predict(art, hw, LENGTHS).results


@pytest.mark.parametrize("kind, formats", [("paper", W7), ("glu", GLU)])
def test_the_bus_loads_another_network(kind, formats):
    """``plan.apart`` cycles from one write to the next."""
    shape = dict(kind=kind, H=4, n=2, n_layers=1) | formats
    art, other = random_artifact(10, **shape), random_artifact(11, **shape)
    hw = HardwareConfig(2, mixer="tables")
    core, values = Core(art, hw), sequences(art, (3, 2))
    assert core.plan.spacing > 100
    results, taps, _ = run(core, values, writes=plan(other, hw).writes(), apart=core.plan.apart)
    check(other, values, results, taps, core.geo)
    assert results[0]["logits"] != reference.run(art, values[0]).logits.tolist()


def test_the_core_waits_for_the_last_weight():
    """It is written just before the first sample."""
    art, other = (random_artifact(seed, H=4, n=2, n_layers=2, **W7) for seed in (10, 11))
    hw = HardwareConfig(2, mixer="tables")
    core, values = Core(art, hw), sequences(art, (2,))
    writes = plan(other, hw).writes()
    region = core.plan.layers[-1].regions["mixer.w0"]
    writes.sort(key=lambda write: write[0] in region)
    results, taps, _ = run(core, values, writes=writes, apart=core.plan.apart, settle=0)
    check(other, values, results, taps, core.geo)
