"""Two steps per update of the states: the fast networks and vector files equal the reference."""

from dataclasses import replace

import numpy as np
import pytest

from golden.base.qformat import SQ, UQ
from quant.formats import LayerFormats, RandomFormat
from quant.integer import compiled, reference, vectors
from quant.integer.bounds import bounds, types_of
from quant.integer.compiled import Compiled
from quant.integer.network import IntegerNetwork, Vectorised
from quant.integer.sampling import FORMS
from quant.integer.synthetic import random_artifact

FIELDS = ("s_in", "s_out", "signature", "logits", "label", "saturations")
LENGTHS = np.array([40, 1, 17, 2, 33, 39])
WIDE = LayerFormats(a_bar=SQ(1, 21), h=SQ(6, 18), drive=SQ(8, 18))
ODD = LayerFormats(a_bar=SQ(1, 11), g=SQ(3, 9), h=SQ(2, 7), drive=SQ(4, 7), w=SQ(4, 0),
                   p=UQ(1, 10), bias=SQ(4, 10), addend=SQ(4, 10), x=SQ(4, 10), alpha=SQ(3, 5),
                   beta=SQ(3, 8))


def values_of(art, steps=40, count=len(LENGTHS), seed=0):
    low, top = (0, art.vocab - 1) if art.vocab else (art.sample.lo, art.sample.hi)
    return np.random.default_rng(seed).integers(low, top + 1, (count, steps))


def assert_equal(art, values, lengths, net):
    batch = net.run(values, lengths, record=True)
    assert batch.signature.shape[2] == -(-max(lengths) // 2)
    for b, L in enumerate(lengths):
        want, got = reference.run(art, values[b, :L], net.seed), batch.trace(b)
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(got, name), getattr(want, name), f"{b}, {name}")
        assert not batch.signature[b, :, -(-L // 2):].any() and not batch.s_out[b, :, L:].any()
        np.testing.assert_array_equal(batch.spikes[b, :, -1], (want.s_out != 0).sum((1, 2)))
    return batch


PAPER = [{}, {"stress": 0.4, "residual": "plain"}, {"rounding": "half_even", "n": 8, "H": 9},
         {"gelu_out": True, "gain": True, "act": "gelu"}, {"fmt": WIDE},
         {"fmt": ODD, "stress": 0.2},
         {"residual": "replace", "vocab": 7}, {"n": 1, "H": 1, "n_layers": 1},
         {"random": RandomFormat(k=7)}]


@pytest.mark.parametrize("options", PAPER, ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_both_networks_on_samplers(options, form):
    art = random_artifact(3, **{"H": 5, "n": 3, "length": 40, "sampling": form, "block": 2}
                          | options)
    values = values_of(art)
    found = [assert_equal(art, values, LENGTHS, kind(art, threads=1))
             for kind in (Compiled, Vectorised)]
    assert isinstance(IntegerNetwork(art), Compiled)
    np.testing.assert_array_equal(*(batch.logits for batch in found))
    for name, over in found[0].over.items():
        if name == "h" or name in found[1].over:
            np.testing.assert_array_equal(over.sum(), found[1].over[name].sum(), name)


@pytest.mark.parametrize("kind, options", [
    ("glu", {}), ("glu", {"stress": 0.4, "rounding": "half_even"}), ("gsu", {"stress": 0.2}),
    ("glu", {"norm_position": "post", "vocab": 9}), ("lif", {"stress": 0.3}), ("lif", {"n": 0})])
@pytest.mark.parametrize("longest", [40, 39])
def test_every_other_kind(kind, options, longest):
    art = random_artifact(3, kind=kind, block=2, length=40, **options)
    lengths = np.minimum(LENGTHS, longest)
    net = IntegerNetwork(art, 77, threads=1)
    assert isinstance(net, Vectorised)
    assert_equal(art, values_of(art, longest), lengths, net)


@pytest.mark.parametrize("limits", ["lowest", "highest", "zero"])
@pytest.mark.parametrize("kind", ["paper", "glu", "gsu", "lif"])
def test_every_coefficient_at_its_end(kind, limits):
    art = random_artifact(3, kind=kind, block=2, limits=limits, H=3, n=2, length=9)
    values = np.full((2, 9), art.sample.hi)
    assert_equal(art, values, np.array([9, 8]), IntegerNetwork(art, threads=1))


@pytest.mark.parametrize("form", FORMS)
def test_spans_of_time(form, monkeypatch):
    """States, phases and words go on from span to span, spikes and signatures too."""
    monkeypatch.setattr(compiled, "MEMORY", 1)
    art = random_artifact(7, sampling=form, stress=0.2, H=5, n=3, block=2)
    lengths = np.random.default_rng(1).integers(1, 64, 70)
    values = values_of(art, 63, 70)
    net = IntegerNetwork(art, threads=1)
    for span in (16, 22):
        monkeypatch.setattr(net, "_span", lambda: span)
        found = net.run(values, lengths, record=True)
        first = slice(0, 3)
        assert_equal(art, values[first], lengths[first], net)
    monkeypatch.undo()
    whole = IntegerNetwork(art, threads=1).run(values, lengths, record=True)
    np.testing.assert_equal(vars(found), vars(whole))


def test_values_after_the_end_do_not_matter():
    art = random_artifact(7, block=2)
    values, lengths = values_of(art, 12, 2), np.array([5, 12])
    net = IntegerNetwork(art, threads=1)
    before = net.run(values, lengths, record=True)
    values[0, 5:] = 0
    np.testing.assert_equal(vars(net.run(values, lengths, record=True)), vars(before))


def test_a_sum_of_many_modes_has_its_own_width():
    """64 modes of 16 bits: states in 32 bits, the sum of Re(A_bar h) needs more."""
    art = random_artifact(1, H=3, n=64, n_layers=1, block=2, limits="highest", length=8)
    found = bounds(art)
    assert found.state < 1 << 31 <= found.ahead and types_of(art)[0] is np.int32
    assert_equal(art, values_of(art, 8), np.array([8, 7, 1, 2, 3, 4]), Compiled(art, threads=1))


@pytest.mark.parametrize("kind", ["paper", "gsu"])
def test_vector_files(kind, tmp_path):
    art = random_artifact(2, kind=kind, block=2)
    made = vectors.make(art, values_of(art), LENGTHS)
    again = vectors.load(vectors.save(made, tmp_path / "v.npz"), art)
    np.testing.assert_equal(vars(replace(again, traces=[])), vars(replace(made, traces=[])))
    for got, want in zip(again.traces, made.traces, strict=True):
        np.testing.assert_equal(vars(got), vars(want))
    assert again.block == 2 and again.traces[2].signature.shape == (2, 9)
