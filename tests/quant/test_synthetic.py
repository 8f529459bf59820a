"""Random artifacts: any shape, reproducible, alive; with stress they reach the limits."""

import numpy as np
import pytest

from quant.integer.artifact import digest
from quant.integer.network import IntegerNetwork
from quant.integer.synthetic import LIMITS, random_artifact


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
