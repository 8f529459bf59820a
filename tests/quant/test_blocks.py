"""Two steps per update of the states: the reference against the contract, word by word."""

import itertools
import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from golden.base.qformat import SQ
from quant.formats import BIT, RandomFormat
from quant.integer import artifact, lfsr, reference
from quant.integer.artifact import ArtifactError
from quant.integer.memory import Draws, Fire, States
from quant.integer.operation import Tensor, wired
from quant.integer.signature import SECOND, SUM, crc32, rotl
from quant.integer.synthetic import KINDS, random_artifact
from tests.quant.toy import place_of, with_op
from tests.quant.two_sided import random_two_sided

TINY = RandomFormat(width=8, taps=(8, 6, 5, 4), k=3, round_bits=1, stream_jump=1)
A, G, H, D = SQ(1, 3), SQ(2, 2), SQ(2, 2), SQ(2, 2)


def tensor(fmt, *raws):
    return Tensor(np.array([raws]), fmt)


def half_even(value: Fraction) -> int:
    return round(value)     # of a Fraction half to even


def clip(value: int, fmt) -> int:
    return min(max(value, fmt.lo), fmt.hi)


@pytest.mark.parametrize("rounding", ["stochastic", "half_even"])
@pytest.mark.parametrize("u_fmt, inputs", [(BIT, (0, 1)), (SQ(2, 1), (-4, -1, 0, 3))])
def test_a_block_exhaustively(rounding, u_fmt, inputs):
    """Every state of two modes, inputs and rounding words, against fractions."""
    a, a2, g, g1 = [(6, -3), (1, 5)], [(3, -5), (0, 6)], [(3, -2), (-8, 1)], [(-1, 4), (7, -8)]
    parts = {f"{name}_{part}": tensor(fmt, *(pair[i] for pair in pairs)) for name, pairs, fmt in (
        ("a", a, A), ("a2", a2, A), ("g", g, G), ("g1", g1, G))
        for i, part in enumerate(("re", "im"))}
    op = States("u -> y", **parts, h=H, rounding=rounding, d=Tensor(np.array([3]), D),
                d1=Tensor(np.array([-5]), D))
    op.check(lambda condition, text: condition or pytest.fail(text), u_fmt)
    one, two = 2 ** H.f_bits, 2 ** op.format(u_fmt).f_bits
    seen = set()
    for state in itertools.product((H.lo, -3, 0, 2, H.hi), repeat=4):
        h = [Fraction(state[0], one), Fraction(state[1], one)], [Fraction(state[2], one),
                                                                 Fraction(state[3], one)]
        h_re, h_im = np.array([state[:2]]), np.array([state[2:]])
        for u1, u2 in itertools.product(inputs, repeat=2):
            v1, v2 = (Fraction(u, 2 ** u_fmt.f_bits) for u in (u1, u2))
            exact = sum(Fraction(a[k][0], 8) * h[0][k] - Fraction(a[k][1], 8) * h[1][k]
                        for k in range(2))
            y = op.ahead(u_fmt, h_re, h_im, np.array([u1]))[0]
            assert Fraction(int(y), two) == Fraction(half_even(exact * one), one) + v1 * Fraction(
                -5, 4)
            seen.add((exact * one).denominator)
            for r in range(4) if rounding == "stochastic" else (0,):
                re, im, over = op.update(u_fmt, h_re, h_im, (np.array([[u1]]), np.array([[u2]])),
                                         np.array([[r, r]]), TINY)
                count = 0
                for k in range(2):
                    p, q = Fraction(a2[k][0], 8), Fraction(a2[k][1], 8)
                    want = (p * h[0][k] - q * h[1][k], p * h[1][k] + q * h[0][k])
                    for i, (value, got) in enumerate(zip(want, (re, im))):
                        value += (g1[k][i] * v1 + g[k][i] * v2) / 4
                        if rounding == "stochastic":
                            word = r >> i & 1
                            whole = (value * one + Fraction(2 * word + 1, 4)).__floor__()
                        else:
                            whole = half_even(value * one)
                        assert got[0, k] == clip(whole, H)
                        count += got[0, k] != whole
                assert over.sum() == count
    assert len(seen) > 2        # ties and others


def by_the_contract(art, values):
    """y (N, L, H), h (N, blocks, H, n) and signatures of P-SpikeSSM's blocks, from its spikes."""
    found, L = reference.execute(art, values), len(values)
    blocks = -(-L // 2)
    ys, hs, signatures = [], [], []
    for j, ops in enumerate(art.blocks):
        wires, formats = wired(ops, {"x": art.x_format})
        op = next(op for op in ops if isinstance(op, States))
        fires = [(op, inputs[0].f_bits) for op, inputs in wires if isinstance(op, Fire)]
        draws = []
        for fire, _ in fires:
            layer, kind = divmod(fire.number, 2)
            start = lfsr.stream_start(art.random, art.seed, 3 * layer + kind)
            draws.append(lfsr.words(art.random, start, art.random.k, 2 * blocks * art.H))
        start = lfsr.stream_start(art.random, art.seed, 3 * j + 2)
        rounding = lfsr.words(art.random, start, 2 * art.random.round_bits,
                              blocks * art.H * art.n).reshape(blocks, art.H, art.n)
        h = np.zeros((2, art.H, art.n), np.int64)
        s_in, x = found.values["s_in"][j], found.values["x"][j - 1] if j else np.array(
            [reference.encode(v, art)[0] for v in values])
        y_of, h_of = np.zeros((L, art.H), np.int64), np.zeros((blocks, 2, art.H, art.n), np.int64)
        for b in range(blocks):
            first = 2 * b
            u1 = s_in[first]
            u2 = s_in[first + 1] if first + 1 < L else np.zeros_like(u1)
            total = (op.a_re.raw * h[0] - op.a_im.raw * h[1]).sum(-1)
            y_of[first] = np.rint(total * 2.0 ** -op.a_re.fmt.f_bits) + op.d1.raw * u1
            align = op.a_re.fmt.f_bits + op.h.f_bits - op.g_re.fmt.f_bits
            entered = [part.raw * u1[:, None] + other.raw * u2[:, None] << align
                       for part, other in ((op.g1_re, op.g_re), (op.g1_im, op.g_im))]
            acc = (op.a2_re.raw * h[0] - op.a2_im.raw * h[1] + entered[0],
                   op.a2_re.raw * h[1] + op.a2_im.raw * h[0] + entered[1])
            r = rounding[b] & 255, rounding[b] >> 8
            h = np.stack([np.clip(np.floor(part * 2.0 ** -op.a_re.fmt.f_bits + (word + 0.5) / 256),
                                  op.h.lo, op.h.hi).astype(np.int64) for part, word in zip(acc, r)])
            h_of[b] = h
            words = np.zeros(art.H, np.int64)
            for k in range(art.n):
                words ^= (rotl(h[0, :, k], 5 * k + 1) ^ rotl(h[1, :, k], 5 * k + 17)
                          ^ rotl(rounding[b, :, k], 5 * k + 9))
            if first + 1 < L:
                y_of[first + 1] = h[0].sum(-1) + op.d.raw * u2
            for step in range(first, min(first + 2, L)):
                y_of[step] += next(o for o in ops if o.wiring == "y -> y").b.raw
                at = [draw.reshape(blocks, art.H, 2)[b, :, step - first] for draw in draws]
                terms = (rotl(x[step], 0) ^ rotl(at[0], 11) ^ rotl(y_of[step], SUM)
                         ^ rotl(at[1], 23))
                words ^= rotl(terms, SECOND * (step - first))
            signatures.append(crc32(words))
        ys.append(y_of)
        hs.append(h_of)
    return found, np.array(ys), np.array(hs), np.array(signatures).reshape(-1, blocks)


@pytest.mark.parametrize("L", [1, 2, 3, 8, 17])
def test_the_reference_keeps_the_contract(L):
    art = random_artifact(L, H=5, n=3, stress=0.2, block=2, length=17)
    values = np.random.default_rng(L).integers(0, 256, L)
    found, y, h, signature = by_the_contract(art, values)
    np.testing.assert_array_equal(found.values["y"], y)
    np.testing.assert_array_equal((found.h_re, found.h_im), h.transpose(2, 0, 1, 3, 4))
    trace = reference.run(art, values)
    np.testing.assert_array_equal(trace.signature, signature)
    np.testing.assert_array_equal(trace.s_in, found.values["s_in"])


def test_spikes_follow_each_other_in_a_samplers_stream():
    art = random_artifact(1, H=3, block=2)
    fire = art.blocks[0][0]
    whole, odd, part = (fire.words(12, Draws(art.random, 9, 3, 4, steps, first, 2)).reshape(-1, 3)
                        for steps, first in ((8, 0), (7, 0), (4, 4)))
    start = lfsr.stream_start(art.random, 9, 0)
    stream = lfsr.words(art.random, start, art.random.k, 24)
    for t, i in np.ndindex(8, 3):
        assert whole[t, i] == stream[(t // 2 * 3 + i) * 2 + t % 2]
    np.testing.assert_array_equal(odd, whole[:7])
    np.testing.assert_array_equal(part, whole[4:])
    rounding = [Draws(art.random, 9, 3, 4, steps, first, 2).rounding(0) for steps, first in
                ((8, 0), (7, 0), (3, 4))]
    assert [len(words) for words in rounding] == [4, 4, 2]
    np.testing.assert_array_equal(rounding[2], rounding[0][2:])


@pytest.mark.parametrize("form", ["bernoulli", "sobol", "systematic"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_follows_does_not_change_what_was(kind, form):
    """A sequence cut off has the same spikes and signatures, but that of a half block."""
    options = {"sampling": form} if kind == "paper" else {}
    art = random_artifact(4, kind=kind, H=5, n=3, block=2, stress=0.2, length=11, **options)
    values = np.random.default_rng(0).integers(0, 256, 11)
    whole = reference.run(art, values)
    for L in range(1, 11):
        part = reference.run(art, values[:L])
        for name in ("s_in", "s_out"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[:, :L])
        assert part.signature.shape[1] == -(-L // 2)
        np.testing.assert_array_equal(part.signature[:, :L // 2], whole.signature[:, :L // 2])
        if L % 2:
            assert (part.signature[:, L // 2] != whole.signature[:, L // 2]).all()


@pytest.mark.parametrize("kind", ["glu", "lif"])
def test_in_wide_formats_it_is_the_network_of_one_step(kind):
    """Steps and membranes of a network that never rounds much: the same spikes."""
    one, two = (random_artifact(3, kind=kind, H=5, block=block, length=20) for block in (1, 2))
    values = np.random.default_rng(0).integers(0, 256, 13)
    found = [reference.execute(art, values) for art in (one, two)]
    np.testing.assert_array_equal(*(f.values["s_out"] for f in found))
    difference = abs(found[0].values["y"] * 2.0 ** -one_f(one) - found[1].values["y"] * 2.0
                     ** -one_f(two))
    assert 0 < difference.max() < 0.01
    np.testing.assert_allclose(found[0].h_re[:, 1::2], found[1].h_re[:, :6], atol=40)


def one_f(art) -> int:
    return wired(art.blocks[0], {"x": art.x_format})[1]["y"].f_bits


@pytest.mark.parametrize("kind", KINDS)
def test_files(kind, tmp_path):
    one, two = (random_artifact(2, kind=kind, block=block, H=4) for block in (1, 2))
    folders = [artifact.save(art, tmp_path / str(art.block)) for art in (one, two)]
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
    assert "block" not in manifests[0] and manifests[1]["block"] == 2
    assert artifact.digest(one) != artifact.digest(two)
    again = artifact.load(folders[1])
    assert again.block == 2 and artifact.digest(again) == artifact.digest(two)
    values = np.arange(9) * 20
    np.testing.assert_equal(vars(reference.run(again, values)), vars(reference.run(two, values)))
    if kind == "lif":
        bare = random_artifact(2, kind=kind, block=2, H=4, n=0)
        assert reference.run(bare, values).signature.shape == (2, 5)


def changed(art, **tensors):
    place = place_of(art, 0, States)
    op = art.blocks[0][int(place.split(".")[1])]
    return with_op(art, place, **{name: value if value is None else Tensor(
        *value(getattr(op, name))) for name, value in tensors.items()})


def unstable(t):
    raw = t.raw.copy()
    raw[1, 2] = 1 << t.fmt.f_bits
    return raw, SQ(2, t.fmt.f_bits)


WRONG = [
    ({"a2_re": unstable},
     "a2_re SQ(2,15) and a2_im SQ(1,15) must have the format of a_bar, SQ(1,15)"),
    ({"a2_re": lambda t: (t.raw * 0 + t.fmt.hi, t.fmt),
      "a2_im": lambda t: (t.raw * 0 + 300, t.fmt)},
     "a2: 24 of 24 modes have |A_bar^2| >= 1, first at neuron, mode [0 0]"),
    ({"a2_im": None}, "missing: a2_im"),
    ({"d1": None}, "missing: d1"),
    ({"g1_re": lambda t: (t.raw, SQ(3, 14))}, "must have the format of g, SQ(2,14)"),
    ({"d1": lambda t: (t.raw, SQ(8, 8))}, "d SQ(8,8) * UQ(1,0) has fewer fraction bits than h"),
    ({"a2_re": None, "a2_im": None, "g1_re": None, "g1_im": None, "d1": None},
     "it has 1 steps per update, the network 2")]


@pytest.mark.parametrize("tensors, text", WRONG, ids=[text[:20] for _, text in WRONG])
def test_refusals(tensors, text):
    art = random_artifact(0, H=6, block=2)
    with pytest.raises(ArtifactError) as caught:
        changed(art, **tensors).check()
    assert text in str(caught.value) and str(caught.value).startswith("layer 0, States (s_in -> y)")


@pytest.mark.parametrize("block", [0, 3, True, "2", None])
def test_other_numbers_of_steps_are_refused(block):
    with pytest.raises(ArtifactError, match="must be 1 or 2, not"):
        replace(random_artifact(0), block=block).check()


def test_a_block_of_another_network_is_refused():
    with pytest.raises(ArtifactError, match="2 steps per update, the network 1"):
        replace(random_artifact(0, block=2), block=1).check()
    with pytest.raises(ArtifactError, match="goes backwards in time has one step per update"):
        replace(random_two_sided(0), block=2).check()
