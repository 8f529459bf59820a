"""Two-sided kernels in integers: what they compute, lengths, random words, QAT, files, refusals."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from golden.base.qformat import SQ
from quant.formats import BIT, QuantConfig, RandomFormat
from quant.integer import artifact, lfsr, reference
from quant.integer.artifact import ArtifactError, digest
from quant.integer.bounds import bounds
from quant.integer.future import Future
from quant.integer.memory import Draws, States, round_stochastic
from quant.integer.network import IntegerNetwork, Vectorised, along
from quant.integer.operation import Tensor, round_half_even
from quant.integer.ops import Add
from quant.integer.record import described
from quant.integer.sampling import FORMS
from quant.integer.synthetic import random_artifact
from quant.tune import ranges
from quant.tune.convert import to_artifact
from quant.tune.draws import LfsrDraws
from tests.quant import stream
from tests.quant.test_qat import as_model, assert_equals_reference, values_of
from tests.quant.test_qat_forms import assert_learns
from tests.quant.test_vectorised import assert_equal, inputs_of
from tests.quant.toy import at, content, op_at, place_of, with_op
from tests.quant.two_sided import random_two_sided

FINE = SQ(4, 20)            # of states that need no rounding in the small case
A, G = SQ(1, 9), SQ(3, 1)
CASES = {
    **{f"{form}-{residual}": dict(sampling=form, residual=residual, H=6, n=3,
                                  stress=0.3 * (k % 2), gelu_out=k % 3 == 0, gain=k % 3 > 0,
                                  rounding=("stochastic", "half_even")[k // 2 % 2],
                                  vocab=7 * (k % 4 == 1), act=("relu", "gelu", "identity")[k % 3])
       for k, (form, residual) in enumerate(itertools.product(
           FORMS, ("none", "clampfuse", "plain", "replace")))},
    "one": dict(H=1, n=1, n_layers=1, n_classes=1), "three": dict(n_layers=3, stress=0.2)}
STREAMS = {
    "binary": ("binary", {}, QuantConfig()), "gsu": ("gsu", {}, QuantConfig(rounding="half_even")),
    "saturates": ("gsu", {"residual": "none", "vocab": 17}, QuantConfig(
        state_bits=9, p_bits=6, input_bits=9, factor_bits=9, margin=0.6))}


def art_of(case: str):
    """An artifact of ``CASES`` or ``STREAMS``."""
    if case in STREAMS:
        kind, options, config = STREAMS[case]
        return stream.artifact(kind, config, kernel="two_sided", **options)
    return random_two_sided(len(case), length=48, **CASES[case])


def pair(rounding: str = "half_even", h=FINE):
    """One neuron of two modes: its two sides and their sum, of spikes x."""
    def t(fmt, *raws):
        return Tensor(np.array([raws]), fmt)
    past = States("x -> y", t(A, 256, -128), t(A, 128, 64), t(G, 3, -2), t(G, 1, 5),
                  Tensor(np.array([3]), SQ(2, 20)), h, rounding, 0)
    future = Future("x -> future", t(A, 128, 384), t(A, -64, 0), t(G, -3, 1), t(G, 2, 1), h=h,
                    rounding=rounding, layer=1)
    return past, future, Add("y future -> x")


def kernel(op: States, lag: int) -> float:
    """``sum_k Re(g_k A_bar_k**lag)``, exact for the coefficients of :func:`pair`."""
    gain = op.g_re.real[0] + 1j * op.g_im.real[0]
    return (gain * (op.a_re.real[0] + 1j * op.a_im.real[0]) ** lag).sum().real


@pytest.mark.parametrize("rounding", ["stochastic", "half_even"])
def test_every_short_spike_train_against_the_sum_over_both_directions(rounding):
    """States so fine that nothing is rounded: exactly a convolution, the own step once."""
    past, future, add = ops = pair(rounding)
    for L in range(1, 6):
        trains = np.array(list(itertools.product((0, 1), repeat=L)))
        draws = Draws(RandomFormat(), 1, 1, 2, L)
        for train in trains:
            want = [past.d.real[0] * train[t]
                    + sum(kernel(past, t - s) * train[s] for s in range(t + 1))
                    + sum(kernel(future, s - t - 1) * train[s] for s in range(t + 1, L))
                    for t in range(L)]
            block, xs = reference.Running(ops, {"x": BIT}, draws), [np.array([s]) for s in train]
            block.foresee(xs)
            got = np.array([block(x=x)[0] for x in xs])
            np.testing.assert_array_equal(got * 2.0 ** -add.format(
                past.format(BIT), future.format(BIT)).f_bits, want)


@pytest.mark.parametrize("rounding", ["stochastic", "half_even"])
def test_rounding_of_the_future_written_out(rounding):
    """Coarse states, in Python's integers: the word of a step is the one that rounds it."""
    _, op, _ = pair(rounding, SQ(2, 6))
    L, random = 9, RandomFormat()
    draws, train = Draws(random, 7, 1, 2, L), [1, 0, 1, 1, 0, 1, 1, 1, 0]
    words = lfsr.words(random, lfsr.stream_start(random, 7, 5), 16, L * 2).reshape(L, 2)
    want, h = [0] * L, [(0, 0), (0, 0)]
    for t in range(L - 1, -1, -1):
        want[t], old = sum(re for re, _ in h), h
        h = []
        for k, (re, im) in enumerate(old):
            a, b, u = int(op.a_re.raw[0, k]), int(op.a_im.raw[0, k]), train[t] << op.align(BIT)
            sums = (a * re - b * im + int(op.g_re.raw[0, k]) * u,
                    a * im + b * re + int(op.g_im.raw[0, k]) * u)
            r = int(words[t, k])
            parts = [round_stochastic(x, 9, w, 8) if rounding == "stochastic" else
                     round_half_even(x, 9) for x, w in zip(sums, (r & 255, r >> 8))]
            h.append(tuple(min(max(x, op.h.lo), op.h.hi) for x in parts))
    run = op.begin((BIT,), draws)
    run.foresee([np.array([s]) for s in train])
    got = [(int(run(np.array([s]))[0]), run.h_re.copy()) for s in train]
    assert [y for y, _ in got] == want
    np.testing.assert_array_equal(got[0][1], [[re for re, _ in h]])
    bits = 8 * (rounding == "stochastic")
    fast, *_ = along(op, BIT, np.array(train)[None, :, None], draws.rounding(1), bits, None)
    np.testing.assert_array_equal(fast[0, :, 0], want)


@pytest.mark.parametrize("case", [*CASES, *STREAMS])
def test_batches_equal_the_reference(case):
    """Lengths 1, 2 and mixed ones, with anything behind their ends."""
    art = art_of(case)
    assert isinstance(IntegerNetwork(art), Vectorised)
    with pytest.raises(ArtifactError, match="hardware needs|hardware has only"):
        art.spiking
    values, lengths = inputs_of(art, 7)
    lengths[2:4] = 2, 1
    batch = assert_equal(art, values, lengths, range(7))
    ends = bool(CASES.get(case, {}).get("stress"))      # most of these saturate
    assert ends or (batch.over["h_future"].sum() > 0) == (case == "saturates")


def test_the_future_counts_and_the_past_stays():
    """Another later half gives other sums in front of the last step, and there none."""
    art = random_two_sided(3, n_layers=1, H=6, n=3)
    place = place_of(art, 0, Future)
    other = with_op(art, place, g_re=-op_at(art, place).g_re.raw)
    values = np.arange(12) * 20 % 256
    one, two = (reference.execute(each, values) for each in (art, other))
    np.testing.assert_array_equal(one.h_re, two.h_re)
    assert (one.values["future"][0, :-1] != two.values["future"][0, :-1]).any()
    assert not one.values["future"][0, -1].any()


def test_streams_of_random_words():
    """Those of the past are as without a future; the future's come behind all of them."""
    art, causal = random_two_sided(1, n_layers=3), random_artifact(1, n_layers=3)
    random, draws = art.random, Draws(art.random, art.seed, art.H, art.n, 4)
    assert [op.layer for ops in art.blocks for op in ops if isinstance(op, Future)] == [3, 4, 5]
    assert [op.layer for ops in art.blocks for op in ops if type(op) is States] == [0, 1, 2]
    for j in range(3):
        start = lfsr.stream_start(random, art.seed, 3 * (3 + j) + 2)
        np.testing.assert_array_equal(draws.rounding(3 + j).ravel(), lfsr.words(
            random, start, 16, 4 * art.H * art.n))
    values = np.arange(30)
    np.testing.assert_array_equal(*(reference.execute(each, values).values["s_in"][0]
                                    for each in (art, causal)))
    with pytest.raises(ArtifactError, match="66 streams need"):
        random_two_sided(1, n_layers=11, H=2, n=1)
    net = as_model(random_two_sided(1, n_layers=10, H=2, n=1))
    assert to_artifact(net, "synthetic", 64, 1, {}).random == RandomFormat()


@pytest.mark.parametrize("case", [*CASES, *STREAMS])
def test_qat_recurrence_equals_the_reference(case):
    start = art_of(case)
    net = as_model(start)
    art = to_artifact(net, "synthetic", 48, start.seed, {}, start.random)
    assert_equals_reference(net, art, values_of(art))
    for steps in (1, 2):
        assert_equals_reference(net, art, values_of(art, steps))


@pytest.mark.parametrize("case", ["bernoulli-none", "sobol-plain", "gsu"])
def test_qat_of_several_lengths(case):
    start = art_of(case)
    net, (values, lengths) = as_model(start), inputs_of(start, 6)
    art = to_artifact(net, "synthetic", 48, start.seed, {}, start.random)
    lengths[2:4] = 2, 1
    v = torch.from_numpy(values)
    v = v if art.vocab else v * 2.0 ** -art.sample.f_bits
    with torch.no_grad():
        mean = net(v, torch.from_numpy(lengths), "recurrence", LfsrDraws(art))
    got = np.round(mean.numpy() * lengths[:, None] * 2.0 ** art.decoder_b.fmt.f_bits)
    np.testing.assert_array_equal(got, IntegerNetwork(art, threads=1).run(values, lengths).logits)


@pytest.mark.parametrize("form", ["convolution", "recurrence"])
def test_every_parameter_learns(form):
    art = random_two_sided(4, H=8, n=2)
    draws = LfsrDraws(art, 5) if form == "recurrence" else None
    assert_learns(as_model(art), torch.rand(2, 30, dtype=torch.float64), form=form, draws=draws)


@pytest.mark.parametrize("case", ["systematic-plain", "gsu"])
def test_files(case, tmp_path):
    art = art_of(case)
    again = artifact.load(artifact.save(art, tmp_path / "a"))
    np.testing.assert_equal(content(again), content(art))
    assert digest(again) == digest(art)
    place = place_of(art, 1, Future)
    g = op_at(art, place).g_re.raw.copy()
    g[0, 0] ^= 1
    assert digest(with_op(art, place, g_re=g)) != digest(art)


def test_artifacts_without_a_future_keep_their_digest():
    """As they were before there was one."""
    assert digest(random_artifact(1)) == "ff1ba36ffed95986"
    assert digest(random_artifact(2, residual="plain", sampling="sobol")) == "308f9e4d0c6750c9"
    assert set(described(op_at(random_artifact(1), "0.1"))) == {
        "operation", "wiring", "a_re", "a_im", "g_re", "g_im", "d", "h", "rounding", "layer"}


@pytest.mark.parametrize("change, text", [
    (lambda art: with_op(art, place_of(art, 1, Future), layer=2),
     r"States, layer: each must have one of its own in 0..3, .* not \[0, 2, 1, 2\]"),
    (lambda art: replace(art, first=(*art.first, replace(
        op_at(art, place_of(art, 0, Future)), wiring="x -> x"))),
     "encoder: only an operation of a layer can go backwards"),
    (lambda art: with_op(art, place_of(art, 0, Future), rounding="up"),
     r"layer 0, Future \(s_in -> future\): rounding must be one of"),
    (lambda art: with_op(art, place_of(art, 0, Future), a_re=np.full((8, 4), -1 << 15)),
     r"layer 0, Future \(s_in -> future\): a_bar: 32 of 32 modes have \|A_bar\| >= 1")])
def test_wrong_artifacts(change, text):
    with pytest.raises(ArtifactError, match=text) as error:
        change(random_two_sided(1)).check()
    assert "\n" not in str(error.value)


def test_bounds_hold_where_states_saturate():
    art = random_two_sided(4, stress=1.0)
    largest = bounds(art).stream
    found = reference.execute(art, values_of(art, 20))
    assert found.over["h_future"].any()
    assert max(abs(raw).max() for raw in found.values.values()) <= largest


@pytest.mark.parametrize("make", [lambda: random_two_sided(4), lambda: art_of("gsu")],
                         ids=["samplers", "gsu"])
def test_proven_ranges_hold(make):
    art = make()
    low, high = {}, {}

    def watch(j, t, block):
        run = block.memory[[type(op) for op, _ in block.steps if op.states].index(Future)]
        parts = np.stack([run.h_re, run.h_im])
        low[j], high[j] = np.minimum(low.get(j, 0), parts), np.maximum(high.get(j, 0), parts)
    for seed in (1, 2):
        reference.execute(art, values_of(art, 20), seed, after=watch)
    for j in low:
        op, (u,) = at(art, place_of(art, j, Future))
        least, most = ranges.proven(op, u, 20)
        assert (low[j] >= least * 2.0 ** op.h.f_bits).all()
        assert (high[j] <= most * 2.0 ** op.h.f_bits).all() and high[j].any()
