"""The integer reference against real arithmetic, published checks and a network done by hand."""

import numpy as np
import pytest

from quant.integer import lfsr, reference, sampling
from quant.integer.artifact import Artifact, Layer
from golden.base.qformat import SQ, UQ
from quant.formats import EdgeFormats, LayerFormats, RandomFormat
from quant.integer.synthetic import random_artifact


@pytest.mark.parametrize("shift", [0, 1, 2, 5])
def test_requantize_is_rint_then_clip(shift):
    src, dst = SQ(6, 4 + shift), SQ(4, 4)
    raw = np.arange(src.lo, src.hi + 1)
    want = np.clip(np.rint(raw / 2.0 ** shift), dst.lo, dst.hi)
    np.testing.assert_array_equal(reference.requantize(raw, src, dst), want)


@pytest.mark.parametrize("shift, bits", [(1, 0), (2, 1), (3, 1), (4, 3), (5, 2)])
def test_round_stochastic_exhaustively(shift, bits):
    """Floor of the sum with u = (r + 1/2) 2**-bits; its mean is within half a bit's weight."""
    raw = np.arange(-64, 65)
    r = np.arange(1 << bits)
    got = reference.round_stochastic(raw[:, None], shift, r, bits)
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


def test_saturate_counts():
    out, count = reference.saturate(np.array([-9, -8, 0, 7, 8, 100]), SQ(4, 0))
    assert (out.tolist(), count) == ([-8, -8, 0, 7, 7, 7], 3)


@pytest.mark.parametrize("rounding", ["stochastic", "half_even"])
def test_state_update_is_complex_arithmetic(rounding):
    fmt, random = LayerFormats(), RandomFormat()
    rng = np.random.default_rng(0)
    a, h = (rng.integers(-20000, 20000, (2, 500)) for _ in range(2))
    g, s, r = rng.integers(-9000, 9000, (2, 500)), rng.integers(0, 2, 500), rng.integers(
        0, 1 << 16, 500)
    got_re, got_im, over = reference.state_update(*h, s, *a, *g, r, rounding, fmt, random)
    exact = (a[0] + 1j * a[1]) * 2.0 ** -15 * (h[0] + 1j * h[1]) + (g[0] + 1j * g[1]) / 4 * s
    for got, want, low in ((got_re, exact.real, r & 255), (got_im, exact.imag, r >> 8)):
        rounded = np.rint(want) if rounding == "half_even" else np.floor(want + (low + 0.5) / 256)
        np.testing.assert_array_equal(got, np.clip(rounded, fmt.h.lo, fmt.h.hi))
    assert over == 0
    edge = reference.state_update(*[np.array([v]) for v in (
        32767, -32768, 1, 32000, 6000, 32767, 32767, 0)], rounding, fmt, random)
    assert (edge[0][0], edge[2]) == (32767, 1)


def test_crc_is_crc_32_mpeg_2():
    """Catalogue value of CRC-32/MPEG-2: 0x0376E6E7 over the nine bytes "123456789"."""
    assert reference.crc32([]) == 0xFFFFFFFF
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
    assert reference.crc32([0x31323334, 0x35363738]) == bytewise


@pytest.mark.parametrize("x, by, want", [(1, 0, 1), (0x80000000, 1, 1), (-1, 7, 0xFFFFFFFF),
                                         (0x1_0000_0001, 32, 1), (0x12345678, 36, 0x23456781)])
def test_rotl(x, by, want):
    assert reference.rotl(x, by) == want


def test_neuron_word_sees_every_bit():
    """Flipping any single bit of any operand changes the word."""
    rng = np.random.default_rng(0)
    operands = [rng.integers(0, 1 << 16, shape) for shape in
                ((1, 3), (1, 3), (1, 3), 1, 1, 1, 1)]
    word = reference.neuron_word(*operands)
    for operand in operands:
        for index in np.ndindex(operand.shape):
            for bit in range(16):
                operand[index] ^= 1 << bit
                assert reference.neuron_word(*operands) != word
                operand[index] ^= 1 << bit


def by_hand(residual="clampfuse"):
    """One neuron, one mode, one layer; draws of one bit, un-centred: u is 0 or 1/2."""
    fmt = LayerFormats(a_bar=SQ(1, 3), g=SQ(2, 2), h=SQ(3, 2), drive=SQ(3, 2), p=UQ(1, 2),
                       bias=SQ(3, 2), addend=SQ(3, 2), x=SQ(3, 2))
    one = {name: np.array([[v]]) for name, v in
           {"a_re": 4, "a_im": 2, "g_re": 3, "g_im": -2, "w": 2}.items()}
    rest = {name: np.array([v]) for name, v in
            {"d": 1, "b": 1, "shift": 1, "negate": 0, "bias": -1, "addend": -2}.items()}
    layer = Layer(fmt, **one, **rest, alpha=np.zeros(0, int), beta=np.zeros(0, int))
    edge = EdgeFormats(sample=UQ(2, 0), enc_w=SQ(2, 2), enc_b=SQ(2, 2), dec_w=SQ(4, 0),
                       dec_b=SQ(4, 2))
    return Artifact("hand", 2, 4, 0, "relu", residual, "half_even", 1, RandomFormat(
        width=5, taps=(5, 3), k=1, round_bits=0, centred=False, stream_jump=4), edge, (layer,),
        np.array([4]), np.array([0]), np.array([[1], [-1]]), np.array([0, 4])).check()


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


@pytest.mark.parametrize("steps", [0, 5])
def test_run_refuses_lengths(steps):
    with pytest.raises(ValueError, match="1..4 steps"):
        reference.run(by_hand(), np.zeros(steps, int))


def test_each_sequence_restarts_the_streams():
    art = random_artifact(1)
    values = np.arange(20)
    first, again = reference.run(art, values), reference.run(art, values)
    np.testing.assert_array_equal(first.signature, again.signature)
    shorter = reference.run(art, values[:7])
    np.testing.assert_array_equal(first.signature[:, :7], shorter.signature)
    assert (reference.run(art, values, seed=9).signature != first.signature).any()
