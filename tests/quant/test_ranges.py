"""Ranges of the states: the proven one is tight, the seen one is what happens, misfits are named."""

import dataclasses
import itertools
import re

import numpy as np
import pytest
import torch

from quant.tune import ranges
from quant.tune.convert import formats_of, to_folded
from quant.tune.fit import ExportError, Extremes, NetworkFormats
from golden.base.qformat import SQ
from quant.formats import EdgeFormats, LayerFormats, RandomFormat
from quant.integer.synthetic import random_artifact
from tests.quant.toy import Toy


def test_proven_range_is_the_extreme_of_all_spike_trains():
    """Every one of the 2**8 inputs of 8 steps: extremes equal the bounds but for the rounding."""
    art = random_artifact(seed=1, H=5, n=3, n_layers=1)
    layer = art.spiking.layers[0]
    low, high = ranges.proven(layer, 8, "half_even")
    A = (layer.a_re + 1j * layer.a_im) / 2 ** 15
    g = (layer.g_re + 1j * layer.g_im) / 2 ** 14
    h = np.zeros((256, 5, 3), complex)
    trains = np.array(list(itertools.product((0, 1), repeat=8)))
    for t in range(8):
        h = A * h + g * trains[:, t, None, None]
    parts = np.stack([h.real, h.imag], 1)
    slack = np.sqrt(2) * 2.0 ** -13 / (1 - np.abs(A))
    np.testing.assert_allclose(high - slack, parts.max(0), atol=1e-12)
    np.testing.assert_allclose(low + slack, parts.min(0), atol=1e-12)
    stochastic = ranges.proven(layer, 8, "stochastic")[1]
    np.testing.assert_allclose(stochastic - high, [slack, slack], atol=1e-12)


def test_proven_range_holds_for_rounded_states(monkeypatch):
    """The reference's states under either rounding stay inside, and come near."""
    from quant.integer import reference
    for rounding in ("stochastic", "half_even"):
        art = random_artifact(seed=6, n_layers=1, rounding=rounding, length=64)
        fmt = dataclasses.replace(art.spiking.layers[0].fmt, h=SQ(12, 12))     # never saturates
        art = dataclasses.replace(art, layers=(dataclasses.replace(art.spiking.layers[0], fmt=fmt),))
        seen, update = [], reference.state_update

        def keep(*args):
            out = update(*args)
            seen.append(np.stack(out[:2]) * 2.0 ** -12)
            return out

        monkeypatch.setattr(reference, "state_update", keep)
        for seed in (1, 2, 3):
            reference.run(art, np.full(64, 200), seed)
        monkeypatch.setattr(reference, "state_update", update)
        low, high = ranges.proven(art.spiking.layers[0], 64, rounding)
        assert (np.min(seen, 0) >= low).all() and (np.max(seen, 0) <= high).all()
        assert np.max(np.max(seen, 0) / high) > 0.5


def test_seen_range_of_a_network_that_always_fires():
    """p_in = 2 at every step: the states are the step response up to each sequence's end."""
    art = random_artifact(seed=2, H=4, n=2, n_layers=1)
    folded = to_folded(art)
    folded = dataclasses.replace(folded, enc_w=np.zeros(4), enc_b=np.full(4, 2.0))
    split = Toy().load("train")
    torch.manual_seed(0)
    seen = ranges.seen(folded, split, Toy(), np.arange(48), batch=20)
    layer = folded.layers[0]
    h, response = np.zeros((4, 2), complex), [np.zeros((4, 2), complex)]
    for _ in range(split.lengths.max()):
        h = layer.A_bar * h + layer.g
        response.append(h)
    parts = np.stack([np.real(response), np.imag(response)], 1)          # (t, 2, H, n)
    inside = (seen.h_hi[0] >= parts.max(0) - 1e-4).all()
    assert inside and (seen.h_lo[0] <= parts.min(0) + 1e-4).all()
    # nothing beyond it, except what decays after a shorter sequence's end in the same batch
    assert seen.h_hi[0].max() <= np.abs(parts).max() * 1.5


def test_seen_range_of_x():
    art = random_artifact(seed=3, residual="plain")
    split = Toy().load("train")
    torch.manual_seed(0)
    seen = ranges.seen(to_folded(art), split, Toy(), np.arange(8))
    assert seen.x_lo.shape == (8,) and (seen.x_lo <= 0).all() and seen.x_hi.max() > 0.5


def formats(i_bits: int) -> NetworkFormats:
    fmt = LayerFormats(h=SQ(i_bits, 12), drive=SQ(4, 12))
    return NetworkFormats((LayerFormats(), fmt), EdgeFormats(), RandomFormat(), "stochastic")


def extremes(high: float) -> Extremes:
    """Two layers, H = 2, n = 3; two of layer 1's twelve parts reach ``high`` and ``-high``."""
    low, top = np.zeros((2, 2, 2, 3)), np.ones((2, 2, 2, 3))
    top[1, 0, 1, 2], low[1, 1, 0, 0] = high, -high
    return Extremes(low, top, np.zeros(2), np.ones(2))


@pytest.mark.parametrize("high, fits", [(5.3333, True), (5.3334, False), (80.0, False)])
def test_margin(high, fits):
    """1.5 times 5.3333 is 7.99995 < 8 - 2**-12: the last value that fits SQ(4, 12) is 7.99976."""
    high = 7.99975 / 1.5 if fits else high
    if fits:
        ranges.check_seen(extremes(high), formats(4), 1.5, streams=False)
        return
    with pytest.raises(ExportError, match=re.escape("layer 1, h: ") + r"\d of 12 values leave "
                       + re.escape("SQ(4,12) [-8, 7.99976]: seen [-")) as caught:
        ranges.check_seen(extremes(high), formats(4), 1.5, streams=False)
    assert "\n" not in str(caught.value) and "more integer bits" in str(caught.value)


def test_misfit_counts_values():
    with pytest.raises(ExportError, match="2 of 12 values"):
        ranges.check_seen(extremes(9.0), formats(4), 1.5, streams=False)
    ranges.check_seen(extremes(9.0), formats(5), 1.5, streams=False)


def test_misfit_of_x_only_where_there_is_one():
    seen = dataclasses.replace(extremes(1.0), x_hi=np.array([1.0, 30.0]))
    ranges.check_seen(seen, formats(4), 1.5, streams=False)
    with pytest.raises(ExportError, match=r"residual stream, x: 1 of 2 values leave SQ\(6,12\)"):
        ranges.check_seen(seen, formats(4), 1.5, streams=True)


def test_report_rows():
    art = random_artifact(seed=3, residual="plain")
    torch.manual_seed(0)
    seen = ranges.seen(to_folded(art), Toy().load("train"), Toy(), np.arange(8))
    rows = ranges.report(art, seen)
    assert [(r["layer"], r["tensor"]) for r in rows] == [(0, "h"), (1, "h"), (2, "x")]
    for row, fmt in zip(rows, [*(f.h for f in formats_of(art).layers), art.spiking.layers[0].fmt.x]):
        assert row["format"] == str(fmt)
        assert row["holds"] == pytest.approx([fmt.lo / 2 ** fmt.f_bits, fmt.hi / 2 ** fmt.f_bits],
                                             abs=1e-6)
    for row in rows[:2]:
        assert row["proven"][0] <= row["seen"][0] and row["seen"][1] <= row["proven"][1]
