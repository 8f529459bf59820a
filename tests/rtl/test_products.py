"""Which products are made of LUTs where a device has too few multipliers."""

import pytest

from quant.integer.synthetic import random_artifact
from rtl import products
from rtl.core import Core
from rtl.cycles import predict
from rtl.parts.config import HardwareConfig
from rtl.plan import plan
from tests.rtl.test_core import check, run, sequences

PAIR = random_artifact(3, H=4, n=2, n_layers=3, block=2)
NEEDED = products.multipliers(*plan(PAIR, HardwareConfig(4)).parts)


@pytest.mark.parametrize("short, encoder, layers, decoder", [
    (-1, 0, (0, 0, 0), 0), (0, 0, (0, 0, 0), 0), (1, 0, (0, 0, 0), 1), (3, 1, (0, 0, 0), 2),
    (6, 4, (0, 0, 0), 2), (7, 4, (0, 0, 1), 2), (10, 4, (1, 1, 2), 2), (30, 4, (8, 8, 8), 2),
    (31, 0, (0, 0, 0), 0)])
def test_the_ends_first_then_all_layers_alike(short, encoder, layers, decoder):
    first, middle, last = parts = plan(PAIR, HardwareConfig(4, multipliers=NEEDED - short)).parts
    assert (first.logic, tuple(spec.logic for spec in middle), last.logic) == (
        encoder, layers, decoder)
    assert products.multipliers(*parts) == NEEDED - (max(0, short) if short < 31 else 0)


def test_they_change_neither_spikes_nor_cycles():
    lengths = (3, 4, 1)
    core, values = Core(PAIR, HardwareConfig(4, multipliers=NEEDED - 13)), sequences(PAIR, lengths)
    assert sum(spec.logic for spec in core.plan.layers) == 7
    results, taps, cycles = run(core, values)
    check(PAIR, values, results, taps, core.geo)
    spent = [at - cycles["i"][0] for at in cycles["o"]]
    assert spent == predict(PAIR, HardwareConfig(4), lengths).results
