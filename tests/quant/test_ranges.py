"""Ranges of the states: the proven one is tight, the seen one happens, misfits are named."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from golden.base.qformat import SQ, UQ
from quant.formats import BIT
from quant.integer import reference
from quant.integer.memory import States
from quant.integer.operation import Tensor
from quant.integer.ops import Limit
from quant.integer.synthetic import random_artifact
from quant.tune import ranges
from quant.tune.convert import to_program, without_formats
from quant.tune.fit import ExportError, Extremes
from tests.quant import stream
from tests.quant.toy import Toy, at, changed, place_of, with_op


def states_of(art, block: int = 0) -> States:
    return at(art, place_of(art, block, States))[0]


def test_proven_range_is_the_extreme_of_all_spike_trains():
    """Every one of the 2**8 inputs of 8 steps: extremes equal the bounds but for the rounding."""
    op = states_of(random_artifact(seed=1, H=5, n=3, n_layers=1, rounding="half_even"))
    low, high = ranges.proven(op, BIT, 8)
    A, g = op.a_re.real + 1j * op.a_im.real, op.g_re.real + 1j * op.g_im.real
    h = np.zeros((256, 5, 3), complex)
    trains = np.array(list(itertools.product((0, 1), repeat=8)))
    for t in range(8):
        h = A * h + g * trains[:, t, None, None]
    parts = np.stack([h.real, h.imag], 1)
    slack = np.sqrt(2) * 2.0 ** -13 / (1 - np.abs(A))
    np.testing.assert_allclose(high - slack, parts.max(0), atol=1e-12)
    np.testing.assert_allclose(low + slack, parts.min(0), atol=1e-12)
    stochastic = ranges.proven(replace(op, rounding="stochastic"), BIT, 8)[1]
    np.testing.assert_allclose(stochastic - high, [slack, slack], atol=1e-12)


@pytest.mark.parametrize("rounding", ["stochastic", "half_even"])
def test_proven_range_holds_for_rounded_states(rounding):
    """The reference's states under either rounding stay inside, and come near."""
    art = random_artifact(seed=6, n_layers=1, rounding=rounding, length=64)
    art = changed(art, 0, fmt=replace(art.spiking.layers[0].fmt, h=SQ(12, 12)))  # never saturates
    runs = [reference.execute(art, np.full(64, 200), seed) for seed in (1, 2, 3)]
    seen = np.stack([(run.h_re[0], run.h_im[0]) for run in runs]) * 2.0 ** -12  # (3, 2, L, H, n)
    low, high = ranges.proven(states_of(art), BIT, 64)
    assert (seen.min((0, 2)) >= low).all() and (seen.max((0, 2)) <= high).all()
    assert np.max(seen.max((0, 2)) / high) > 0.5


@pytest.mark.parametrize("kind", stream.KINDS)
def test_proven_range_of_a_real_valued_input(kind):
    """No state leaves it in a run or in calibration; real decays and the end's input reach it."""
    net, extremes = stream.quantised(stream.network(kind))
    art = stream.artifact(kind)
    found = reference.execute(art, np.arange(20) * 7 % (art.sample.hi + 1))
    for j in range(2):
        op, (u,) = at(art, place_of(art, j, States))
        limit, one = ranges.proven(op, u, 20)[1], 2 ** op.h.f_bits
        low, high = extremes.blocks[j, "h"]
        assert max(abs(found.h_re[j]).max(), abs(found.h_im[j]).max()) <= limit.max() * one
        assert (np.maximum(-low, high) <= limit).all()
    op, (u,) = at(art, place_of(art, 0, States))
    op = replace(op, h=SQ(24, op.h.f_bits), rounding="half_even", a_re=replace(
        op.a_re, raw=abs(op.a_re.raw)), **{name: Tensor(0 * t.raw, t.fmt) for name, t in (
            ("a_im", op.a_im), ("g_im", op.g_im))})
    h = 0 * op.a_re.raw
    for _ in range(20):
        h, _, _ = op.update(u, h, 0 * h, np.full((6, 1), u.lo), 0 * h, art.random)
    low, high = ranges.proven(op, u, 20)
    np.testing.assert_array_equal(low, -high)
    limit = high[0] * 2 ** op.h.f_bits
    assert 0.99 * limit.max() < abs(h).max() <= limit.max() and (abs(h) <= limit).all()
    ranges.check_seen(extremes, art, 1.5)
    extremes.blocks[0, "u"][1][:2] = 99
    with pytest.raises(ExportError, match="layer 0, u: 2 of 6 values leave SQ"):
        ranges.check_seen(extremes, art, 1.5)


def test_seen_range_of_a_network_that_always_fires():
    """p_in = 2 at every step: the states are the step response up to each sequence's end."""
    folded = without_formats(to_program(random_artifact(seed=2, H=4, n=2, n_layers=1)))
    folded = with_op(folded, "first.0", a=Tensor(np.zeros(4)), b=Tensor(np.full(4, 2.0)))
    split = Toy().load("train")
    torch.manual_seed(0)
    low, high = ranges.seen(folded, split, Toy(), np.arange(48), batch=20).blocks[0, "h"]
    op = next(op for op in folded.blocks[0] if isinstance(op, States))
    A, g = op.a_re.raw + 1j * op.a_im.raw, op.g_re.raw + 1j * op.g_im.raw
    h, response = np.zeros((4, 2), complex), [np.zeros((4, 2), complex)]
    for _ in range(split.lengths.max()):
        h = A * h + g
        response.append(h)
    parts = np.stack([np.real(response), np.imag(response)], 1)          # (t, 2, H, n)
    assert (high >= parts.max(0) - 1e-4).all() and (low <= parts.min(0) + 1e-4).all()
    # nothing beyond it, except what decays after a shorter sequence's end in the same batch
    assert high.max() <= np.abs(parts).max() * 1.5


def test_seen_range_of_what_is_limited():
    """Of samplers the residual stream, of a gate its factors too; before any saturation."""
    torch.manual_seed(0)
    program = without_formats(to_program(random_artifact(seed=3, residual="plain")))
    seen = ranges.seen(program, Toy().load("train"), Toy(), np.arange(8))
    assert set(seen.blocks) == {("first", "x"), *((j, name) for j in (0, 1) for name in "hx")}
    assert seen.blocks[0, "x"][0].shape == (8,)
    assert seen.of("x").max() > 0.5 > 0 > seen.of("x").min()
    _, seen = stream.quantised(stream.network("gsu"))
    assert {name for place, name in seen.blocks if place == 1} == {"u", "h", "y_in", "n", "gate",
                                                                   "x"}


def extremes(high: float, x: float = 1.0) -> Extremes:
    """Two layers, H = 8, n = 4; two of layer 1's 64 parts reach ``high`` and ``-high``."""
    low, top = np.zeros((2, 2, 8, 4)), np.ones((2, 2, 8, 4))
    top[1, 0, 1, 2], low[1, 1, 0, 0] = high, -high
    stream = np.append(np.full(7, 1.0), x)
    return Extremes({(j, "h"): (low[j], top[j]) for j in (0, 1)}
                    | {(place, "x"): (np.zeros(8), np.ones(8)) for place in ("first", 0)}
                    | {(1, "x"): (np.zeros(8), stream)}, {})


def fitting(i_bits: int, residual: str = "clampfuse"):
    """An artifact whose second layer's states have so many integer bits."""
    return with_op(random_artifact(1, residual=residual), "1.2" if residual == "plain" else "1.1",
                   h=SQ(i_bits, 12))


@pytest.mark.parametrize("high, fits", [(5.3333, True), (5.3334, False), (80.0, False)])
def test_margin(high, fits):
    """1.5 times 5.3333 is 7.99995 < 8 - 2**-12: the last value that fits SQ(4, 12) is 7.99976."""
    high = 7.99975 / 1.5 if fits else high
    if fits:
        ranges.check_seen(extremes(high), fitting(4), 1.5)
        return
    with pytest.raises(ExportError, match=re.escape("layer 1, h: ") + r"\d of 64 values leave "
                       + re.escape("SQ(4,12) [-8, 7.99976]: seen [-")) as caught:
        ranges.check_seen(extremes(high), fitting(4), 1.5)
    assert "\n" not in str(caught.value) and "more integer bits" in str(caught.value)


def test_misfit_counts_values():
    with pytest.raises(ExportError, match="2 of 64 values"):
        ranges.check_seen(extremes(9.0), fitting(4), 1.5)
    ranges.check_seen(extremes(9.0), fitting(5), 1.5)


def test_misfit_of_x_only_where_there_is_one():
    ranges.check_seen(extremes(1.0, 30.0), fitting(4), 1.5)
    with pytest.raises(ExportError, match=r"layer 1, x: 1 of 8 values leave SQ\(6,12\)"):
        ranges.check_seen(extremes(1.0, 30.0), fitting(4, "plain"), 1.5)
    seen = extremes(1.0)
    seen.blocks["first", "x"][1][:3] = 40
    with pytest.raises(ExportError, match=r"encoder, x: 3 of 8 values leave SQ\(6,12\)"):
        ranges.check_seen(seen, fitting(4, "plain"), 1.5)


@pytest.mark.parametrize("make, names", [
    (lambda: random_artifact(seed=3, residual="plain"), "hx"),
    (lambda: random_artifact(seed=3), "h"),
    (lambda: stream.artifact("gsu"), ("h", "u", "y_in", "n", "gate", "x"))],
    ids=["plain", "clampfuse", "gsu"])
def test_report_rows(make, names):
    art = make()
    torch.manual_seed(0)
    program = without_formats(to_program(art))
    seen = ranges.seen(program, Toy().load("train"), Toy(), np.arange(8))
    rows = ranges.report(art, seen)
    want = [("encoder", "x")] * ("x" in names) + [(j, name) for j in (0, 1) for name in names]
    assert [(r["layer"], r["tensor"]) for r in rows] == want
    formats = {("h", str(states_of(art, j).h)) for j in (0, 1)} | {
        (op.makes, str(op.to)) for _, op, _ in art.operations() if isinstance(op, Limit)}
    for row in rows:
        assert (row["tensor"], row["format"]) in formats
        fmt = (SQ if row["format"][0] == "S" else UQ)(*map(int, row["format"][3:-1].split(",")))
        assert row["holds"] == pytest.approx([fmt.lo / 2 ** fmt.f_bits, fmt.hi / 2 ** fmt.f_bits],
                                             abs=1e-6)
        assert (row["proven"] is None) == (row["tensor"] != "h")
        if row["proven"]:
            assert row["proven"][0] <= row["seen"][0] and row["seen"][1] <= row["proven"][1]
