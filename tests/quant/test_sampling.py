"""The sampling forms in integers: rates, running sums and Sobol's points, all of them where few."""

from dataclasses import replace

import numpy as np
import pytest

from golden.base.qformat import SQ
from golden.kernels import sampling as golden
from quant.formats import LayerFormats, RandomFormat
from quant.integer import lfsr
from quant.integer.artifact import ArtifactError
from quant.integer.memory import Draws, Fire
from quant.integer.sampling import (FORMS, accumulate, direction_columns, fires, sobol_points,
                                    start_phase)
from quant.integer.synthetic import random_artifact
from quant.tune.draws import sobol_directions
from tests.quant.toy import at, place_of, with_op


@pytest.mark.parametrize("f_bits", [1, 2, 3, 5])
@pytest.mark.parametrize("k", [3, 5, 6])
@pytest.mark.parametrize("centred", [True, False])
def test_every_systematic_spike_is_bernoulli_over_the_words(f_bits, k, centred):
    """All words, a random walk of p beyond both ends: each step's share of spikes is clamp(p)."""
    random, one = RandomFormat(k=k, centred=centred), 1 << f_bits
    phase = start_phase(np.arange(1 << k), f_bits, random)
    assert phase.min() >= 0 and phase.max() < one
    p = np.concatenate([[-one, -1, 0, one, one + 1, 5 * one],
                        np.random.default_rng(0).integers(-1, one + 2, 50)])
    for value in p:
        s, phase = accumulate(np.full(1 << k, value), f_bits, phase)
        want = min(max(value / one, 0), 1)
        error = abs(s.mean() - want)
        assert error == 0 if f_bits <= k else error < 2.0 ** -k


@pytest.mark.parametrize("f_bits, k", [(4, 4), (3, 6), (7, 4)])
def test_running_counts_stay_within_one_of_the_sum_of_p(f_bits, k):
    rng, one = np.random.default_rng(1), 1 << f_bits
    p = rng.integers(0, one + 1, 400)
    p[100:150], p[150:200] = 0, one
    phase = start_phase(np.arange(1 << k), f_bits, RandomFormat(k=k))
    count = total = 0
    worst = 0.0
    for value in p:
        s, phase = accumulate(np.full(1 << k, value), f_bits, phase)
        count, total = count + s, total + value
        worst = max(worst, abs(count - total / one).max())
    assert 0.5 < worst < 1


@pytest.mark.parametrize("p, spike", [(-3, 0), (0, 0), (8, 1), (9, 1), (1 << 20, 1)])
def test_the_ends_are_certain_and_leave_the_phase(p, spike):
    phase = np.arange(8)
    s, after = accumulate(np.full(8, p), 3, phase)
    assert (s == spike).all() and (after == phase).all()


def test_finer_phases_start_in_the_middle():
    """k = 2, five fraction bits: quarters, and with ``centred`` half a quarter."""
    r = np.arange(4)
    assert start_phase(r, 5, RandomFormat(k=2)).tolist() == [4, 12, 20, 28]
    assert start_phase(r, 5, RandomFormat(k=2, centred=False)).tolist() == [0, 8, 16, 24]
    assert start_phase(r, 1, RandomFormat(k=2)).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("length", [1, 2, 3, 100, 128, 784])
def test_points_are_those_of_the_golden_model(length):
    k = 16
    directions = sobol_directions(6, length, k)
    assert directions.shape == (6, direction_columns(length))
    for j in range(6):
        want = golden.sobol_words(j, (length, 1, 1)).numpy() >> golden.SOBOL_BITS - k
        np.testing.assert_array_equal(sobol_points(directions[j], length), want)


def test_points_by_hand():
    """Gray code: 0, 1, 11, 10, 110 ...: XORs of the columns 100, 110, 101."""
    assert sobol_points([4, 6, 5], 8).tolist() == [0, 4, 2, 6, 3, 7, 1, 5]


def test_every_sobol_spike_is_bernoulli_over_the_masks():
    random = RandomFormat(k=5)
    points = sobol_points(sobol_directions(3, 32, 5)[2], 32)
    assert sorted(points) == list(range(32))
    words = points[:, None] ^ np.arange(32)
    for p in range(-1, 34):
        assert (fires(p, 5, words, random).mean(1) == min(max(p / 32, 0), 1)).all()
        gap = np.cumsum(fires(p, 5, words, random) - min(max(p / 32, 0), 1), axis=0)
        assert abs(gap).max() <= 3      # independent draws would reach 8


@pytest.mark.parametrize("residual", ["clampfuse", "plain"])
@pytest.mark.parametrize("form", FORMS)
def test_a_sampler_of_a_network(form, residual):
    """Which words it takes, step by step, and that the words kept are those compared."""
    art = random_artifact(4, H=5, sampling=form, residual=residual, length=9)
    draws = Draws(art.random, 7, 5, art.n, 9)
    for kind, makes, f_bits in ((lfsr.SAMPLER_IN, "s_in", 24 if residual == "plain" else 12),
                                (lfsr.SAMPLER_OUT, "s_out", 12)):
        op, formats = at(art, place_of(art, 1, Fire, makes))
        assert (op.number, op.form, formats[0].f_bits) == (2 + kind, form, f_bits)
        start = lfsr.stream_start(art.random, 7, lfsr.stream_index(1, kind))
        stream = lfsr.words(art.random, start, 16, 9 * 5).reshape(9, 5)
        points = sobol_points(art.spiking.directions[2 + kind], 9) if form == "sobol" else None
        sampler, p = op.begin(formats, draws), np.full(5, 3 << f_bits - 3)
        phase = start_phase(stream[0], f_bits, art.random)
        seen = []
        for t in range(9):
            s, words = sampler(p), sampler.word
            seen.append(s)
            assert (sampler.p == p).all()
            if form == "systematic":
                assert (words == phase).all()
                assert (s == (phase + p) >> f_bits).all()
                phase = (phase + p) % (1 << f_bits)
            else:
                want = stream[t] if form == "bernoulli" else points[t] ^ stream[0]
                assert (words == want).all()
                assert (s == (p * 2.0 ** -f_bits > (want + 0.5) * 2.0 ** -16)).all()
        many, *_ = op.along(formats, draws, np.tile(p, (2, 9, 1)))
        np.testing.assert_array_equal(many, [seen] * 2)


@pytest.mark.parametrize("form", FORMS)
def test_words_of_a_part_of_the_time(form):
    op = at(random_artifact(4, H=5, sampling=form), "1.0")[0]
    draws = Draws(RandomFormat(), 7, 5, 4, 30)
    whole, part = op.words(12, draws), op.words(12, replace(draws, first=11, steps=6))
    np.testing.assert_array_equal(part, whole if form == "systematic" else whole[11:17])


def test_what_an_artifact_must_have():
    art = random_artifact(1, sampling="sobol")
    place = place_of(art, 1, Fire, "s_out")
    directions = at(art, place)[0].directions
    broken, wide = directions.raw.copy(), directions.raw.copy()
    broken[2] ^= 1 << 13
    wide[0] |= 1 << 16
    free = replace(directions, fmt=SQ(40, 0))
    where = r"layer 1, Fire \(y -> s_out\)"
    for change, text in (
            ({"form": "mean"}, "bernoulli, sobol, systematic, not 'mean'"),
            ({"form": "systematic"}, "Sobol directions with sampling systematic"),
            ({"directions": None}, r"directions: shape \(0,\), expected \(6,\)"),
            ({"directions": directions.raw[:3]}, r"shape \(3,\), expected \(6,\)"),
            ({"directions": broken}, "1 of 6 are not direction numbers of 16 bits, first at .* 2"),
            ({"directions": wide}, r"directions: 1 of 6 values outside UQ\(0,16\)"),
            ({"directions": replace(free, raw=wide)}, "1 of 6 are not direction .* column 0")):
        with pytest.raises(ArtifactError, match=f"{where}.*{text}"):
            with_op(art, place, **change).check()
    with pytest.raises(ArtifactError, match="repeats after 32 steps, the longest sequence has 64"):
        replace(art, random=RandomFormat(k=5)).check()
    with pytest.raises(ArtifactError, match="layer 0, .* a sampler's p has 0 fraction bits"):
        random_artifact(1, sampling="systematic", fmt=LayerFormats(h=SQ(16, 0), drive=SQ(16, 0),
                                                                   g=SQ(16, 0)))
