"""The integer reference against real arithmetic, published checks and a network done by hand."""

from dataclasses import replace

import numpy as np
import pytest

from golden.base.qformat import SQ, UQ
from quant.formats import EdgeFormats, LayerFormats, RandomFormat
from quant.integer import lfsr, reference, sampling
from quant.integer.artifact import Artifact
from quant.integer.memory import States, round_stochastic, sampler_word
from quant.integer.operation import Tensor
from quant.integer.ops import Limit
from quant.integer.signature import SUM, crc32, crc_tables, rotl, state_word
from quant.integer.spiking import Layer, Spiking
from quant.integer.synthetic import random_artifact
from tests.quant import stream


@pytest.mark.parametrize("shift", [0, 1, 2, 5])
def test_limit_is_rint_then_clip(shift):
    src, dst = SQ(6, 4 + shift), SQ(4, 4)
    raw = np.arange(src.lo, src.hi + 1)
    rounded = np.rint(raw / 2.0 ** shift)
    got, over = Limit("z -> x", dst).apply((src,), raw)
    np.testing.assert_array_equal(got, np.clip(rounded, dst.lo, dst.hi))
    np.testing.assert_array_equal(over, (rounded < dst.lo) | (rounded > dst.hi))


@pytest.mark.parametrize("shift, bits", [(1, 0), (2, 1), (3, 1), (4, 3), (5, 2)])
def test_round_stochastic_exhaustively(shift, bits):
    """Floor of the sum with u = (r + 1/2) 2**-bits; its mean is within half a bit's weight."""
    raw = np.arange(-64, 65)
    r = np.arange(1 << bits)
    got = round_stochastic(raw[:, None], shift, r, bits)
    u = (r + 0.5) / (1 << bits)
    np.testing.assert_array_equal(got, np.floor(raw[:, None] / 2.0 ** shift + u))
    error = got.mean(1) - raw / 2.0 ** shift
    assert abs(error).max() <= 0.5 / (1 << bits)
    whole = raw % (1 << shift) == 0
    assert (error[whole] == 0).all()                # a value on the grid stays where it is
    assert abs(error.reshape(-1)[:128].mean()) <= 0.5 / (1 << shift)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("f_bits", [0, 1, 3, 4, 7])
@pytest.mark.parametrize("centred", [True, False])
def test_fires_exhaustively(k, f_bits, centred):
    random = RandomFormat(k=k, centred=centred)
    one = 1 << f_bits
    p = np.arange(-2 * one, 2 * one + 1)[:, None]
    r = np.arange(1 << k)
    got = sampling.fires(p, f_bits, r, random)
    u = (r + 0.5 * centred) * 2.0 ** -k
    np.testing.assert_array_equal(got, p / one > u)
    assert not got[p[:, 0] <= 0].any() and got[p[:, 0] >= one].all()
    if centred and f_bits <= k:
        inside = (p[:, 0] >= 0) & (p[:, 0] <= one)
        np.testing.assert_array_equal(got.mean(1)[inside], p[inside, 0] / one)    # no bias


def test_saturations_are_counted():
    out, over = Limit("z -> x", SQ(4, 0)).apply((SQ(9, 0),), np.array([-9, -8, 0, 7, 8, 100]))
    assert (out.tolist(), over.sum()) == ([-8, -8, 0, 7, 7, 7], 3)


@pytest.mark.parametrize("rounding", ["stochastic", "half_even"])
def test_states_are_complex_arithmetic(rounding):
    fmt, random = LayerFormats(), RandomFormat()
    rng = np.random.default_rng(0)
    a, h = (rng.integers(-20000, 20000, (2, 500)) for _ in range(2))
    g, s, r = rng.integers(-9000, 9000, (2, 500)), rng.integers(0, 2, 500), rng.integers(
        0, 1 << 16, 500)

    def update(h_re, h_im, s, a_re, a_im, g_re, g_im, r):
        parts = (Tensor(a_re, fmt.a_bar), Tensor(a_im, fmt.a_bar), Tensor(g_re, fmt.g),
                 Tensor(g_im, fmt.g), Tensor(np.zeros(1, int), fmt.drive))
        op = States("s_in -> y", *parts, fmt.h, rounding)
        return op.update(UQ(1, 0), h_re, h_im, s, r, random)

    got_re, got_im, over = update(*h, s, *a, *g, r)
    exact = (a[0] + 1j * a[1]) * 2.0 ** -15 * (h[0] + 1j * h[1]) + (g[0] + 1j * g[1]) / 4 * s
    for got, want, low in ((got_re, exact.real, r & 255), (got_im, exact.imag, r >> 8)):
        rounded = np.rint(want) if rounding == "half_even" else np.floor(want + (low + 0.5) / 256)
        np.testing.assert_array_equal(got, np.clip(rounded, fmt.h.lo, fmt.h.hi))
    assert not over.any()
    edge = update(*[np.array([v]) for v in (32767, -32768, 1, 32000, 6000, 32767, 32767, 0)])
    assert (edge[0][0], edge[2].sum()) == (32767, 1)


def test_crc_is_crc_32_mpeg_2():
    """Catalogue value of CRC-32/MPEG-2: 0x0376E6E7 over the nine bytes "123456789"."""
    assert crc32([]) == 0xFFFFFFFF
    want = 0xFFFFFFFF
    for byte in b"123456789":
        want ^= byte << 24
        for _ in range(8):
            want = (want << 1 ^ (0x04C11DB7 if want >> 31 else 0)) & 0xFFFFFFFF
    assert want == 0x0376E6E7                       # the bytewise form here is the catalogue's
    bytewise = 0xFFFFFFFF
    for byte in b"12345678":
        bytewise ^= byte << 24
        for _ in range(8):
            bytewise = (bytewise << 1 ^ (0x04C11DB7 if bytewise >> 31 else 0)) & 0xFFFFFFFF
    assert crc32([0x31323334, 0x35363738]) == bytewise


@pytest.mark.parametrize("x, by, want", [(1, 0, 1), (0x80000000, 1, 1), (-1, 7, 0xFFFFFFFF),
                                         (0x1_0000_0001, 32, 1), (0x12345678, 36, 0x23456781)])
def test_rotl(x, by, want):
    assert rotl(x, by) == want


def test_tables_of_bytes_are_the_crc():
    crc = 0xFFFFFFFF
    for word in (0, 0x31323334, 0xFFFFFFFF):
        mixed = crc ^ word
        crc = int(np.bitwise_xor.reduce([table[mixed >> 8 * c & 255]
                                         for c, table in enumerate(crc_tables())]))
    assert crc == crc32([0, 0x31323334, 0xFFFFFFFF])


def test_neuron_words_see_every_bit():
    """Flipping any single bit of any operand changes the word."""
    def neuron_word(h_re, h_im, r_round, p, r_in, y, r_out):
        return (state_word(h_re, h_im, r_round) ^ sampler_word(p, r_in, 0) ^ rotl(y, SUM)
                ^ sampler_word(0, r_out, 1))
    rng = np.random.default_rng(0)
    operands = [rng.integers(0, 1 << 16, shape) for shape in
                ((1, 3), (1, 3), (1, 3), 1, 1, 1, 1)]
    word = neuron_word(*operands)
    for operand in operands:
        for index in np.ndindex(operand.shape):
            for bit in range(16):
                operand[index] ^= 1 << bit
                assert neuron_word(*operands) != word
                operand[index] ^= 1 << bit


def by_hand(residual="clampfuse"):
    """One neuron, one mode, one layer; draws of one bit, un-centred: u is 0 or 1/2."""
    fmt = LayerFormats(a_bar=SQ(1, 3), g=SQ(2, 2), h=SQ(3, 2), drive=SQ(3, 2), p=UQ(1, 2),
                       bias=SQ(3, 2), addend=SQ(3, 2), x=SQ(3, 2))
    one = {name: np.array([[v]]) for name, v in
           {"a_re": 4, "a_im": 2, "g_re": 3, "g_im": -2, "w": 2}.items()}
    rest = {name: np.array([v]) for name, v in
            {"d": 1, "b": 1, "shift": 1, "negate": 0, "bias": -1, "addend": -2}.items()}
    edge = EdgeFormats(sample=UQ(2, 0), enc_w=SQ(2, 2), enc_b=SQ(2, 2), dec_w=SQ(4, 0),
                       dec_b=SQ(4, 2))
    net = Spiking("relu", residual, "half_even", "bernoulli", edge, (Layer(fmt, **one, **rest),),
                  np.array([4]), np.array([0]), np.array([[1], [-1]]), np.array([0, 4]))
    return Artifact(task="hand", n_classes=2, length=4, vocab=0, sample=edge.sample, seed=1,
                    random=RandomFormat(width=5, taps=(5, 3), k=1, round_bits=0, centred=False,
                                        stream_jump=4), **net.parts()).check()


def test_network_by_hand():
    """Values 2, 0, 0: p_in is 1 then 0, so exactly the first step has an input spike.

    h: 0 -> g = 3 - 2i -> A h = (0.5 + 0.25i)(3 - 2i) = 2 - 0.25i -> 2 + 0i -> A h = 1 + 0.5i,
    the imaginary tie to even 0. In quarters y = Re h + d s + b = 5, 3, 2. Step 1 fires (y >= 4);
    steps 2 and 3 fire unless u = 1/2 reaches them: 3 > 2 fires, 2 > 2 does not (but 2 > 0 does).
    Mixer: (2 s << 1) - 1 = 3 or relu(-1) = 0; with addend -2: clamp(p + 1), clamp(p - 2).
    """
    art = by_hand()
    start = lfsr.stream_start(art.random, 1, lfsr.stream_index(0, lfsr.SAMPLER_OUT))
    draws = lfsr.words(art.random, start, 1, 3)
    trace = reference.run(art, np.array([2, 0, 0]))
    third = int(draws[2] == 0)
    assert trace.s_in.ravel().tolist() == [1, 0, 0]
    assert trace.s_out.ravel().tolist() == [1, 1, third]
    total = 4 + 1 + third
    assert trace.logits.tolist() == [total, -total + 3 * 4]
    assert trace.label == int(12 - total > total)
    assert trace.saturations.tolist() == [0, 0]
    found = reference.execute(art, np.array([2, 0, 0]))
    assert found.h_re.ravel().tolist() == [3, 2, 1] and found.h_im.ravel().tolist() == [-2, 0, 0]
    assert found.values["y"].ravel().tolist() == [5, 3, 2]
    assert found.values["x"].ravel().tolist() == [4, 1, third]


@pytest.mark.parametrize("make", [by_hand, lambda: replace(stream.artifact(), length=4)],
                         ids=["samplers", "stream"])
@pytest.mark.parametrize("steps", [0, 5])
def test_run_refuses_lengths(steps, make):
    for run in (reference.execute, reference.run):
        with pytest.raises(ValueError, match="1..4 steps"):
            run(make(), np.zeros(steps, int))


def test_only_what_is_asked_for_is_kept():
    """``execute`` gives every value; fewer names, fewer values, and the same logits."""
    art, values = stream.artifact("gsu"), np.arange(9)
    whole, part = reference.execute(art, values), reference.execute(art, values, keep=("n",))
    assert set(whole.values) == {"u", "y", "y_in", "a", "s_out", "n", "gate", "z", "x"}
    assert set(part.values) == {"n"} and part.h_re.shape[1] == 0
    np.testing.assert_array_equal(part.values["n"], whole.values["n"])
    np.testing.assert_array_equal(part.logits, whole.logits)


def test_each_sequence_restarts_the_streams():
    art = random_artifact(1)
    values = np.arange(20)
    first, again = reference.run(art, values), reference.run(art, values)
    np.testing.assert_array_equal(first.signature, again.signature)
    shorter = reference.run(art, values[:7])
    np.testing.assert_array_equal(first.signature[:, :7], shorter.signature)
    assert (reference.run(art, values, seed=9).signature != first.signature).any()
