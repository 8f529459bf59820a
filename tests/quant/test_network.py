"""The compiled network equals the integer reference, bit for bit."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from golden.base.qformat import SQ, UQ
from golden.tasks.formats import MU_LAW, PCM
from quant.formats import LayerFormats, RandomFormat
from quant.integer import compiled, reference, sampling
from quant.integer.artifact import ArtifactError
from quant.integer.bounds import bounds, types_of
from quant.integer.compiled import Compiled
from quant.integer.network import IntegerNetwork
from quant.integer.synthetic import random_artifact
from tests.quant.toy import changed

FIELDS = ("s_in", "s_out", "signature", "logits", "label", "saturations")
WIDE = LayerFormats(a_bar=SQ(1, 21), h=SQ(6, 18), drive=SQ(5, 18))
ODD = LayerFormats(a_bar=SQ(1, 11), g=SQ(3, 9), h=SQ(2, 7), drive=SQ(3, 7), w=SQ(4, 0),
                   p=UQ(1, 10), bias=SQ(4, 10), addend=SQ(4, 10), x=SQ(4, 10), alpha=SQ(3, 5),
                   beta=SQ(3, 8))
WIDE_X = LayerFormats(w=SQ(14, 0), p=UQ(1, 20), bias=SQ(8, 20), addend=SQ(8, 20), x=SQ(9, 20))
SMALL_K = RandomFormat(width=5, taps=(5, 3), k=3, round_bits=2, stream_jump=1)
LONG = RandomFormat(width=48, taps=(48, 47, 21, 20), k=31, round_bits=20, stream_jump=1 << 30)
UNCENTRED = RandomFormat(k=6, centred=False, round_bits=5)


def values_of(art, count, steps, seed=0):
    lo, hi = (0, art.vocab) if art.vocab else (art.sample.lo, art.sample.hi + 1)
    return np.random.default_rng(seed).integers(lo, hi, (count, steps))


def assert_equal(art, values, lengths=None, seed=None):
    net = IntegerNetwork(art, seed, threads=1)
    assert isinstance(net, Compiled)
    batch = net.run(values, lengths, record=True)
    for b in range(len(values)):
        L = values.shape[1] if lengths is None else lengths[b]
        want, got = reference.run(art, values[b, :L], seed), batch.trace(b)
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(got, name), getattr(want, name),
                                          f"sequence {b}, {name}")
        np.testing.assert_array_equal(batch.spikes[b, :, 0], want.s_in.sum((1, 2)))
        np.testing.assert_array_equal(batch.spikes[b, :, 1], want.s_out.sum((1, 2)))
    return batch


CASES = list(itertools.product(("none", "clampfuse", "plain"), ("relu", "identity"),
                               ("stochastic", "half_even")))


@pytest.mark.parametrize("residual, act, rounding", CASES)
@pytest.mark.parametrize("vocab, stress", [(0, 0.0), (0, 0.4), (7, 0.0), (7, 0.4)])
def test_every_option(residual, act, rounding, vocab, stress):
    seed = CASES.index((residual, act, rounding))
    art = random_artifact(seed, residual=residual, act=act, rounding=rounding, vocab=vocab,
                          stress=stress, n_layers=2, H=6, n=3)
    assert_equal(art, values_of(art, 2, 19, seed))


@pytest.mark.parametrize("fmt", [WIDE, ODD, WIDE_X], ids=["wide", "odd", "wide_x"])
@pytest.mark.parametrize("residual", ["clampfuse", "plain"])
@pytest.mark.parametrize("rounding", ["stochastic", "half_even"])
def test_formats(fmt, residual, rounding):
    art = random_artifact(3, fmt=fmt, residual=residual, rounding=rounding, stress=0.2, H=7, n=5)
    assert_equal(art, values_of(art, 2, 18))


@pytest.mark.parametrize("sample", [MU_LAW, PCM, SQ(4, 6)], ids=str)
@pytest.mark.parametrize("residual", ["clampfuse", "plain"])
def test_signed_samples(sample, residual):
    art = random_artifact(6, residual=residual, sample=sample, stress=0.2)
    values = np.concatenate([values_of(art, 2, 19), np.full((1, 19), sample.lo)])
    batch = assert_equal(art, values)
    x, _ = reference.encode(sample.lo, art)
    assert (x > 0).any() and (x != reference.encode(sample.hi, art)[0]).any()
    assert batch.saturations[:, -1].any() == (residual == "plain")
    with pytest.raises(ValueError, match=f"seen {sample.lo - 1}"):
        IntegerNetwork(art, threads=1).run(np.array([[sample.lo - 1]]))


@pytest.mark.parametrize("form", sampling.FORMS)
@pytest.mark.parametrize("span", [16, 23])
def test_spans_of_time_and_groups_of_sequences(form, span, monkeypatch):
    """Words of so many steps at once, groups of one block."""
    monkeypatch.setattr(compiled, "MEMORY", 1)
    art = random_artifact(7, sampling=form, stress=0.2, H=5, n=3)
    net = IntegerNetwork(art, threads=1)
    assert net._span() == 16 and net._group(40, False) == compiled.BLOCK
    monkeypatch.setattr(net, "_span", lambda: span)
    lengths = np.random.default_rng(1).integers(1, 41, 70)
    values = values_of(art, 70, 40)
    found, first = net.run(values, lengths, record=True), slice(0, 3)
    assert_equal(art, values[first], lengths[first])
    monkeypatch.undo()
    whole = IntegerNetwork(art, threads=1).run(values, lengths, record=True)
    np.testing.assert_equal(vars(found), vars(whole))


@pytest.mark.parametrize("H, n, layers", [(1, 1, 1), (5, 2, 3), (16, 8, 1), (9, 7, 2)])
def test_shapes(H, n, layers):
    art = random_artifact(4, H=H, n=n, n_layers=layers, stress=0.1)
    assert_equal(art, values_of(art, 2, 17))


@pytest.mark.parametrize("random", [LONG, UNCENTRED], ids=["long", "uncentred"])
@pytest.mark.parametrize("rounding", ["stochastic", "half_even"])
def test_random_formats(random, rounding):
    fmt = LayerFormats(a_bar=SQ(1, 22))
    art = random_artifact(5, random=random, rounding=rounding, fmt=fmt)
    assert_equal(art, values_of(art, 2, 33), seed=77)


@pytest.mark.parametrize("residual", ["none", "clampfuse", "plain"])
@pytest.mark.parametrize("form", ["sobol", "systematic"])
def test_sampling_forms(form, residual):
    """More steps than a chunk, lengths, both word lengths against p's, 32 and 64 bits."""
    lengths = np.array([40, 1, 17])
    for options in ({}, {"stress": 0.4}, {"random": RandomFormat(k=7)}, {"fmt": WIDE},
                    {"fmt": ODD}):
        art = random_artifact(3, sampling=form, residual=residual, H=5, n=2, **options)
        assert_equal(art, values_of(art, 3, 40), lengths, seed=77)


def test_variable_lengths_and_more_sequences_than_a_block():
    art = random_artifact(6, stress=0.6, residual="plain", H=8, n=2, n_layers=1)
    lengths = np.random.default_rng(0).integers(1, 20, 67)
    lengths[:3] = 1, 20, 16
    batch = assert_equal(art, values_of(art, 67, 20), lengths)
    assert batch.saturations.all(axis=1).any()     # both kinds are counted
    for b, L in enumerate(lengths):
        assert not batch.s_in[b, :, L:].any() and not batch.signature[b, :, L:].any()


def test_values_after_the_end_do_not_matter():
    art = random_artifact(7)
    values = values_of(art, 2, 12)
    lengths = np.array([5, 12])
    net = IntegerNetwork(art, threads=1)
    before = net.run(values, lengths)
    values[0, 5:] = -1
    np.testing.assert_array_equal(net.run(values, lengths).logits, before.logits)


def test_seeds_differ_and_threads_do_not():
    art = random_artifact(8)
    values = values_of(art, 80, 30)
    logits = IntegerNetwork(art, threads=1).run(values).logits
    np.testing.assert_array_equal(IntegerNetwork(art, art.seed, threads=2).run(values).logits,
                                  logits)
    assert (IntegerNetwork(art, 99, threads=1).run(values).logits != logits).any()


def test_a_longer_batch_after_a_shorter_one():
    art = random_artifact(9)
    values = values_of(art, 1, 40)
    net = IntegerNetwork(art, threads=1)
    net.run(values[:, :3])
    np.testing.assert_array_equal(net.run(values).logits[0], reference.run(art, values[0]).logits)


def test_default_formats_run_in_32_bits_and_others_in_64():
    narrow = (np.int32, np.int32, np.int16)
    assert types_of(random_artifact(0, H=64, n=8, stress=1.0)) == narrow
    assert types_of(random_artifact(0, fmt=WIDE)) == (np.int64,) * 3
    assert types_of(random_artifact(0, fmt=WIDE_X)) == (np.int64,) * 3


@pytest.mark.parametrize("residual", ["clampfuse", "plain"])
def test_bounds_hold_for_what_is_computed(residual):
    """The bounds are at least the largest sums of a run, in exact Python integers."""
    art = random_artifact(1, stress=1.0, residual=residual, n_layers=1)
    layer, f = art.spiking.layers[0], art.spiking.layers[0].fmt
    h = f.h.lo
    acc = max(abs(int(a) * h) + abs(int(b) * h) for a, b in zip(layer.a_re.flat, layer.a_im.flat))
    acc += max(int(abs(layer.g_re).max()), int(abs(layer.g_im).max())) << 13
    assert acc <= bounds(art).state
    x = f.x.lo if residual == "plain" else f.p.hi
    row = max(sum(abs(int(v)) for v in r) for r in layer.w)
    assert bounds(art).mixer == row
    assert (row << int(layer.shift.max())) + abs(x) <= bounds(art).stream


def test_refuses_sums_of_more_than_64_bits():
    fmt = LayerFormats(a_bar=SQ(1, 40), h=SQ(6, 30), drive=SQ(6, 30))
    with pytest.raises(ArtifactError, match="64 are the most"):
        IntegerNetwork(random_artifact(0, fmt=fmt))


@pytest.mark.parametrize("values, lengths, text", [
    ([[256]], None, "0..255, seen 256..256"), ([[0, -1]], None, "seen -1..0"),
    ([[0]], [2], "1..1"), ([[0]], [0], "1..1"), ([[0]], [1, 1], "1 lengths"),
    ([[0] * 65], None, "1..64")])
def test_refuses_bad_input(values, lengths, text):
    with pytest.raises(ValueError, match=text):
        IntegerNetwork(random_artifact(0), threads=1).run(
            np.array(values), None if lengths is None else np.array(lengths))


def test_refuses_tokens_outside_the_vocabulary_and_missing_traces():
    art = random_artifact(0, vocab=5)
    with pytest.raises(ValueError, match="0..4, seen 5..5"):
        IntegerNetwork(art, threads=1).run(np.array([[5]]))
    with pytest.raises(ValueError, match="record=True"):
        IntegerNetwork(art, threads=1).run(np.array([[4]])).trace(0)


@pytest.mark.parametrize("random", [RandomFormat(), UNCENTRED], ids=["centred", "uncentred"])
def test_thresholds_are_the_largest_p_that_does_not_fire(random):
    art = random_artifact(5, random=random, n_layers=1)
    limits, words, *_ = IntegerNetwork(art)._draw(0, 40)
    for limit, r, f_bits in zip(limits, words, (art.spiking.layers[0].fmt.p.f_bits,
                                                art.spiking.layers[0].fmt.h.f_bits), strict=True):
        limit, r = limit.astype(np.int64), r.astype(np.int64)
        assert not sampling.fires(limit, f_bits, r, random).any()
        assert sampling.fires(limit + 1, f_bits, r, random).all()


CURVED = list(itertools.product(("none", "clampfuse", "plain", "replace"), ("relu", "gelu"),
                                (False, True), (False, True)))


@pytest.mark.parametrize("residual, act, gelu_out, gain", CURVED)
def test_gelu_gains_and_streams(residual, act, gelu_out, gain):
    seed = CURVED.index((residual, act, gelu_out, gain))
    art = random_artifact(seed, residual=residual, act=act, gelu_out=gelu_out, gain=gain, H=6, n=3,
                          stress=0.3 * (seed % 2), vocab=7 * (seed % 3 == 1),
                          sampling=("bernoulli", "sobol", "systematic")[seed % 3])
    batch = assert_equal(art, values_of(art, 2, 19, seed))
    assert batch.spikes.sum() > 0


@pytest.mark.parametrize("fmt", [
    LayerFormats(a_bar=SQ(1, 11), g=SQ(3, 9), h=SQ(2, 5), drive=SQ(3, 5), w=SQ(4, 0), p=UQ(1, 4),
                 bias=SQ(4, 4), addend=SQ(4, 4), x=SQ(4, 4), alpha=SQ(3, 5), beta=SQ(3, 8),
                 a=SQ(3, 0), gain=SQ(3, 0)),
    LayerFormats(a_bar=SQ(1, 21), h=SQ(6, 16), drive=SQ(5, 16), a=SQ(2, 18), gain=SQ(4, 1))],
    ids=["narrow", "wide"])
def test_formats_of_gelu_and_gains(fmt):
    for seed, residual in enumerate(("plain", "clampfuse")):
        art = random_artifact(seed, fmt=fmt, residual=residual, act="gelu", stress=0.2, H=5, n=2)
        assert_equal(art, values_of(art, 2, 17))


def test_layers_may_have_gelus_of_other_formats():
    art = random_artifact(1, gelu_out=True, H=5, n=2)
    layer = art.spiking.layers[1]
    art = changed(art, 1, fmt=replace(layer.fmt, h=SQ(6, 10), drive=SQ(4, 10)), d=layer.d >> 2,
                  b=layer.b >> 2, g_re=layer.g_re >> 2).check()
    assert_equal(art, values_of(art, 2, 17))


@pytest.mark.parametrize("residual", ["clampfuse", "plain"])
def test_bounds_hold_with_gelu_and_gains(residual):
    """Extreme coefficients whose sums need 64 bits get them, and the result is still exact."""
    fmt = LayerFormats(a=SQ(3, 13), gain=SQ(13, 3))
    art = random_artifact(2, fmt=fmt, residual=residual, act="gelu", stress=1.0, H=6, n=2)
    assert types_of(art)[1] is np.int64 and bounds(art).stream > 1 << 31
    assert_equal(art, values_of(art, 2, 17))


@pytest.mark.parametrize("options, wide", [({}, False), ({"gelu_out": True}, True)])
def test_the_product_behind_a_gelu_counts(options, wide):
    art = random_artifact(2, H=6, n=4, stress=1.0, **options)
    assert (types_of(art)[1] is np.int64) == wide
    assert_equal(art, values_of(art, 2, 17))
