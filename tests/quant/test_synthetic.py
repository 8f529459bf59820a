"""Random artifacts: any shape, reproducible, alive; with stress they reach the limits."""

import itertools

import numpy as np
import pytest

from quant.integer import reference
from quant.integer.artifact import digest
from quant.integer.network import IntegerNetwork
from quant.integer.operation import ArtifactError
from quant.integer.synthetic import LIMITS, random_artifact

LEAKY = list(itertools.product(("subtract", "zero"), (4, 0),
                               ("none", "clampfuse", "plain")))
STREAMS = list(itertools.product(("glu", "gsu"), ("pre", "post"), ("plain", "none")))


def test_reproducible_and_different():
    assert digest(random_artifact(3)) == digest(random_artifact(3))
    assert digest(random_artifact(3)) != digest(random_artifact(4))


@pytest.mark.parametrize("options", [
    {"H": 1, "n": 1, "n_layers": 1}, {"H": 3, "n": 5, "n_classes": 1}, {"vocab": 2}, {"length": 1},
    {"residual": "plain", "vocab": 4, "stress": 1.0}], ids=str)
def test_shapes(options):
    art = random_artifact(0, **options)
    assert (art.H, art.n) == (options.get("H", 8), options.get("n", 4))
    assert len(art.spiking.dec_w) == options.get("n_classes", 3)


@pytest.mark.parametrize("residual", ["none", "clampfuse", "plain"])
def test_spikes_at_moderate_rates(residual):
    art = random_artifact(1, residual=residual, H=16, n_layers=3)
    values = np.random.default_rng(0).integers(0, 256, (4, 60))
    rates = IntegerNetwork(art, threads=1).run(values).spikes.sum(0) / (4 * 60 * 16)
    assert (rates > 0.02).all() and (rates < 0.98).all()


def test_stress_saturates_and_uses_both_ends():
    art = random_artifact(1, residual="plain", H=16, stress=0.5)
    values = np.random.default_rng(0).integers(0, 256, (4, 60))
    assert IntegerNetwork(art, threads=1).run(values).saturations.sum(0).all()
    for tensor, fmt in (("w", "w"), ("g_re", "g"), ("bias", "bias"), ("d", "drive")):
        q, raw = getattr(art.spiking.layers[0].fmt, fmt), getattr(art.spiking.layers[0], tensor)
        assert raw.min() == q.lo and raw.max() == q.hi, tensor


@pytest.mark.parametrize("limits", LIMITS)
def test_every_coefficient_at_its_limit(limits):
    art = random_artifact(2, residual="plain", limits=limits)
    for layer in art.spiking.layers:
        for tensor, name in layer.FORMAT_OF.items():
            raw, q = getattr(layer, tensor), getattr(layer.fmt, name)
            if not raw.size:        # of an option that is off
                continue
            want = {"lowest": q.lo, "highest": q.hi, "zero": 0}[limits]
            if tensor in ("a_re", "a_im"):
                want = {"a_im": 0}.get(tensor, np.sign(want) * q.hi)
            assert (raw == want).all(), tensor
    assert (art.spiking.dec_w == {"lowest": -128, "highest": 127, "zero": 0}[limits]).all()


def test_todays_draws_stay():
    """Fuzz cases and tests name networks by their seeds."""
    assert digest(random_artifact(3, residual="plain", stress=0.2)) == "f438673b1bf53ac1"


def values_of(kind, position, residual, seed, **options):
    """Values of a random network's reference, 3 layers, 80 steps."""
    art = random_artifact(seed, 3, kind=kind, norm_position=position, residual=residual,
                          length=80, **options)
    return art, reference.execute(art, np.random.default_rng(seed).integers(0, 256, 80))


@pytest.mark.parametrize("kind, position, residual", STREAMS)
@pytest.mark.parametrize("H", [6, 24])
def test_numbers_of_streams_vary(kind, position, residual, H):
    """In every layer spikes come and go, -1 too, gates go through their range, x moves."""
    saturated = 0
    for seed in range(3):
        art, found = values_of(kind, position, residual, seed, H=H)
        fired = found.values["s_out"] != 0
        assert 0.02 < fired.mean((1, 2)).min() and fired.mean((1, 2)).max() < 0.98
        assert (fired.any(1) & ~fired.all(1)).any(1).all(), "no neuron of a layer that changes"
        assert (found.values["x"].std(1) > 50).mean() > 0.8
        gate = found.values["gate"]
        if kind == "gsu":
            assert (found.values["s_out"] == -1).any() and (gate < 0).any() and (gate > 0).any()
        else:
            assert np.histogram(gate, 8, (0, 1024))[0].all(), "a part of the table is not read"
            assert gate.min() < 8 and gate.max() == 1024
        saturated += sum(over.sum() for over in found.over.values())
    assert saturated > 0


@pytest.mark.parametrize("kind, position, residual", STREAMS)
def test_stress_saturates_streams(kind, position, residual):
    seen = [values_of(kind, position, residual, seed, stress=0.4)[1].over for seed in range(4)]
    names = {name for over in seen for name, count in over.items() if count.any()}
    assert names >= {"h", "n", "x"} | ({"u"} if position == "pre" else set())
    assert sum(sum(over.values()) for over in seen)[:3].all()


def test_a_neuron_at_zero_shows_what_fires_there():
    for fires in (True, False):
        art, found = values_of("glu", "pre", "plain", 1, fires_at_zero=fires)
        assert (found.values["s_out"][..., -1] == fires).all()
        assert not found.values["y"][..., -1].any()


@pytest.mark.parametrize("reset, n, residual", LEAKY)
def test_membranes_fire_leak_and_saturate(reset, n, residual):
    """In every layer spikes come and go; under stress membranes reach the ends of their format."""
    for seed, stress in itertools.product(range(4), (0, 0.4)):
        art = random_artifact(seed, 3, 16, n, kind="lif", reset=reset, length=80,
                              residual=residual, stress=stress)
        assert art.n == n
        values = np.random.default_rng(seed).integers(0, 256, 80)
        found = reference.execute(art, values)
        if stress:
            assert found.over["v"][:-1].all()
            assert residual != "plain" or found.over["x"].any()
            continue
        for name in ("s_in", "s_out"):
            fired = found.values[name]
            assert 0.02 < fired.mean((1, 2)).min() and fired.mean((1, 2)).max() < 0.98
            assert (fired.any(1) & ~fired.all(1)).any(1).all(), "no neuron of a layer that changes"


@pytest.mark.parametrize("kind", ["glu", "gsu", "lif"])
def test_kinds_take_every_shape_and_option(kind):
    for options in ({"H": 1, "n": 1, "n_layers": 1, "length": 1}, {"vocab": 3, "features": 2},
                    {"rounding": "half_even", "n_classes": 1},
                    *({"limits": end} for end in LIMITS)):
        art = random_artifact(2, kind=kind, **options)
        assert digest(art) == digest(random_artifact(2, kind=kind, **options))
        IntegerNetwork(art, threads=1).run(np.zeros((1, 1), int), record=True)
        with pytest.raises(ArtifactError, match="hardware"):
            art.spiking
    assert digest(random_artifact(2, kind=kind)) != digest(random_artifact(3, kind=kind))
