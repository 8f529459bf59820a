"""Number formats: text, limits, exact growth, checks."""

import itertools

import numpy as np
import pytest

from golden.base.qformat import SQ, UQ, FormatError, QFormat, cover_signed, fit_signed
from quant.formats import EdgeFormats, LayerFormats, QuantConfig, RandomFormat
from quant.tune.fit import random_format

SMALL = [q(i, f) for q in (SQ, UQ) for i in range(4) for f in range(-1, 4)
         if 1 <= i + f <= 4 and not (q is SQ and i < 1)]


def fits(value: int, f_bits: int, fmt: QFormat) -> bool:
    """Whether ``value * 2**-f_bits`` is a value of ``fmt``."""
    scaled = value * 2.0 ** (fmt.f_bits - f_bits)
    return scaled == int(scaled) and fmt.lo <= scaled <= fmt.hi


@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_text_and_limits(fmt):
    assert QFormat.parse(str(fmt)) == fmt
    assert fmt.hi - fmt.lo == 2 ** fmt.width - 1
    assert (fmt.lo < 0) == fmt.signed
    assert fmt.lo * 2.0 ** -fmt.f_bits == (-2.0 ** (fmt.i_bits - 1) if fmt.signed else 0)


@pytest.mark.parametrize("text", ["", "SQ(1)", "Q(1,2)", "SQ(1,2) ", "SQ(1.0,2)", "uq(1,2)", None])
def test_parse_refuses(text):
    with pytest.raises(FormatError, match="write SQ"):
        QFormat.parse(text)


@pytest.mark.parametrize("make, i, f", [(SQ, 0, 4), (SQ, 1, -1), (UQ, 0, 0), (UQ, -3, 2)])
def test_refuses_formats_without_room(make, i, f):
    with pytest.raises(FormatError, match="no room"):
        make(i, f)


def test_products_and_sums_are_exact():
    """Every corner of every pair of small formats: products and sums are monotone between them."""
    for a, b in itertools.product(SMALL, SMALL):
        product, total = a * b, a + b
        for x, y in itertools.product((a.lo, a.lo + 1, 0, a.hi), (b.lo, b.lo + 1, 0, b.hi)):
            assert fits(x * y, a.f_bits + b.f_bits, product), (a, b, x, y)
            f = max(a.f_bits, b.f_bits)
            value = (x << f - a.f_bits) + (y << f - b.f_bits)
            assert fits(value, f, total), (a, b, x, y)
        assert product.width == a.width + b.width


@pytest.mark.parametrize("fmt", SMALL, ids=str)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 9, 128])
def test_total_is_exact_and_tight(fmt, count):
    total = fmt.total(count)
    assert total.lo <= count * fmt.lo and count * fmt.hi <= total.hi
    if fmt.signed and total.width > 1:
        assert count * fmt.lo < total.lo // 2 or count == 1


def test_check_names_count_and_range():
    raw = np.array([[0, -9], [7, 8]])
    with pytest.raises(FormatError, match=r"layer 2, w: 2 of 4 values outside SQ\(4,0\) \[-8, 7\]; "
                                          r"seen \[-9, 8\]"):
        SQ(4, 0).check(raw, "layer 2, w")
    inside = np.array([-8, 7])
    assert SQ(4, 0).check(inside, "w") is inside


@pytest.mark.parametrize("fmt", [LayerFormats(), LayerFormats(h=SQ(3, 9), drive=SQ(5, 9)),
                                 LayerFormats(a_bar=SQ(1, 7), g=SQ(1, 3))])
def test_derived_formats_hold_their_sums(fmt):
    n, H = 8, 16
    g = max(fmt.g.hi, -fmt.g.lo) << fmt.a_bar.f_bits + fmt.h.f_bits - fmt.g.f_bits
    assert 2 * fmt.a_bar.lo * fmt.h.lo + g <= fmt.acc.hi
    assert fmt.acc.f_bits == fmt.a_bar.f_bits + fmt.h.f_bits
    y = fmt.y(n)
    assert y.lo <= n * fmt.h.lo + 2 * fmt.drive.lo and n * fmt.h.hi + 2 * fmt.drive.hi <= y.hi
    z, fused = fmt.z(H), fmt.fused(H)
    low = (H * fmt.w.lo << fmt.shift.hi) + fmt.bias.lo
    high = (H * fmt.w.hi << fmt.shift.hi) + fmt.bias.hi
    assert z.lo <= low and high <= z.hi
    assert fused.lo <= min(low, -high) + fmt.addend.lo + fmt.x.lo
    assert max(high, -low) + fmt.addend.hi + max(fmt.x.hi, fmt.p.hi) <= fused.hi


@pytest.mark.parametrize("change", [{"drive": SQ(4, 11)}, {"bias": SQ(6, 11)},
                                    {"addend": SQ(6, 13)}, {"x": SQ(6, 10)}])
def test_layer_formats_refuse_unlike_fractions(change):
    with pytest.raises(FormatError, match=f"{next(iter(change))} .* must have the 12 fraction"):
        LayerFormats(**change)


@pytest.mark.parametrize("p", [UQ(2, 12), SQ(1, 12)], ids=str)
def test_layer_formats_refuse_other_p(p):
    with pytest.raises(FormatError, match="p must be UQ"):
        LayerFormats(p=p)


@pytest.mark.parametrize("fmt", [LayerFormats(w=SQ(4, 0)), EdgeFormats(sample=None), EdgeFormats(),
                                 RandomFormat(k=5, centred=False)])
def test_dictionaries_round_trip(fmt):
    assert type(fmt).from_dict(fmt.to_dict()) == fmt


@pytest.mark.parametrize("change", [{"k": 0}, {"k": 33}, {"round_bits": 17}, {"round_bits": -1},
                                    {"taps": (31, 3)}, {"taps": (32, 0)}, {"taps": ()}])
def test_random_format_refuses(change):
    with pytest.raises(FormatError, match="must be"):
        RandomFormat(**change)


@pytest.mark.parametrize("change", [{"margin": float("inf")}, {"margin": float("nan")},
                                    {"margin": 0}, {"shift_bits": 0}, {"shift_bits": 6},
                                    {"rounding": "up"}, {"state_i_bits": 0}, {"state_bits": 25}])
def test_configurations_refuse(change):
    with pytest.raises(FormatError, match=f"{next(iter(change))} must be"):
        QuantConfig(**change)


def test_sums_of_tiny_weights_have_a_sign():
    """Weights and shifts too small to reach 1: the format keeps its sign bit."""
    fmt = LayerFormats(w=SQ(2, 0), shift=UQ(1, 0))
    assert fmt.z(4).i_bits >= 1 and fmt.z(4).lo <= -(4 * 2 << 1) and fmt.z(4).hi >= 4 << 1


@pytest.mark.parametrize("values, width, f_max, expected", [
    ([0.0], 16, None, "SQ(1,15)"), ([0.999], 8, None, "SQ(2,6)"), ([0.99], 8, None, "SQ(1,7)"),
    ([-1.0], 8, None, "SQ(2,6)"), ([7.99], 16, None, "SQ(4,12)"), ([8.0], 16, None, "SQ(5,11)"),
    ([0.5], 16, 4, "SQ(1,4)"), ([], 16, None, "SQ(1,15)")])
def test_fit_signed(values, width, f_max, expected):
    assert str(fit_signed(np.array(values), width, f_max)) == expected


@pytest.mark.parametrize("low, high, expected", [
    (0, 0, SQ(1, 4)), (-1, 0, SQ(1, 4)), (0, 1, SQ(2, 4)), (-1.1, 0, SQ(2, 4)), (-9, 9, SQ(5, 4))])
def test_cover_signed(low, high, expected):
    assert cover_signed(low, high, 4) == expected


def test_long_sequences_get_the_longer_generator():
    assert random_format(784, 4, 128, 8).width == 32
    assert random_format(784, 21, 128, 8).width == 48       # too many streams
    assert random_format(1 << 14, 4, 128, 8).width == 48    # streams too long
