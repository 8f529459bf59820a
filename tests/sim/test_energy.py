"""Operations of a step, counted by hand for a small network."""

import numpy as np
import pytest

from quant.integer import vectors
from quant.integer.synthetic import random_artifact
from sim.measure import energy

RATES = np.array([[0.5, 0.25], [0.0, 1.0]])


def counted(rates=RATES, **options):
    return energy.counted(random_artifact(
        seed=7, n_layers=2, H=4, n=2, n_classes=3, length=12, **options), rates)


def test_counts():
    work = counted(residual="none")
    assert work.products == 2 * 4 * 4 * 2 + 4           # 4 per mode, and the encoder's
    per_layer = [2 * 8 + 2 * 8 * r_in + 8 + 4 * (1 + r_in) + 16 * r_out + 8
                 for r_in, r_out in RATES]
    assert work.sums == sum(per_layer) + 4              # and the decoder's
    assert work.memory_bits == sum(8 * (4 * 16 + 2 * 16 + 2 * 16) + 16 * r_out * 8
                                   for _, r_out in RATES)
    assert work.total == pytest.approx(
        1000 * work.to_dict()["nJ_per_step"]) and set(work.picojoules) == {
            "products", "sums", "memory"}


def test_price_of_a_product():
    """Without spikes and sums: 16 x 16 bits cost a quarter of 32 x 32."""
    assert counted(vocab=5).picojoules["products"] == pytest.approx(64 * 3.1 / 4)


def test_more_spikes_cost_more_and_streams_multiply():
    assert counted(RATES * 0).total < counted().total < counted(np.ones((2, 2))).total
    assert counted(residual="plain").products == counted(residual="none").products + 2 * 4


def test_rates():
    art = random_artifact(seed=7, n_layers=2, H=4, n=2, n_classes=3, length=12)
    values = np.random.default_rng(1).integers(0, 256, (3, 12))
    traces = vectors.expected(art, values, np.array([12, 1, 7]), threads=1)
    found = energy.rates(traces)
    assert found.shape == (2, 2)
    assert found[1, 0] == sum(t.s_in[1].sum() for t in traces) / (20 * 4)
    assert found[0, 1] == sum(t.s_out[0].sum() for t in traces) / (20 * 4)
