"""GELU on integers: exhaustive in small formats."""

import math
import zlib

import numpy as np
import pytest

from quant.formats import RandomFormat
from quant.integer.curves import NEVER, crossings, fire_level, gelu, knots, table, thresholds
from quant.integer.sampling import fires


def every(f_bits, reach=10):
    return np.arange(-(reach << f_bits), (reach << f_bits) + 1)


@pytest.mark.parametrize("f_bits", range(17))
def test_near_the_real_function(f_bits):
    y = every(f_bits)
    if len(y) > 40000:
        y = np.unique(np.concatenate([np.random.default_rng(0).choice(y, 20000), y[::997]]))
    exact = [v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in y * 2.0 ** -f_bits]
    error = np.abs(gelu(y, f_bits) - np.array(exact) * 2.0 ** f_bits)
    # half a step from rounding, an eighth from the knot's, and the line between knots
    assert error.max() <= 0.63 + 2.4e-5 * 2.0 ** f_bits


@pytest.mark.parametrize("f_bits", range(15))
def test_falls_then_rises(f_bits):
    y = every(f_bits)
    G = gelu(y, f_bits)
    bottom = np.argmin(G)
    assert (np.diff(G[:bottom + 1]) <= 0).all() and (np.diff(G[bottom:]) >= 0).all()
    at = gelu(round(-0.7518 * 2 ** f_bits), f_bits)      # the real function's minimum
    assert G[bottom] <= at <= G[bottom] + 1


@pytest.mark.parametrize("f_bits", [0, 5, 12, 16])
def test_identity_above_and_zero_below(f_bits):
    end = len(table(f_bits)) - 1
    y = np.array([end, end + 1, 1 << 20, 1 << 40])
    np.testing.assert_array_equal(gelu(y, f_bits), y)
    np.testing.assert_array_equal(gelu(-y, f_bits), 0)
    assert end <= 5 << f_bits or end <= 1


def test_symmetry():
    y = every(7)
    np.testing.assert_array_equal(gelu(y, 7) - gelu(-y, 7), y)


def test_table_is_the_same_everywhere():
    """The knots come from this machine's erfc; another's must round to the same integers."""
    found = [zlib.crc32(knots(f).astype("<i8").tobytes()) for f in (6, 12, 16)]
    assert found == [1195565579, 2459652730, 1544729980]


@pytest.mark.parametrize("f_bits", [0, 3, 5, 8])
def test_crossings_are_the_inverse(f_bits):
    y = every(f_bits)
    G = gelu(y, f_bits)
    level = np.arange(G.min() - 3, (9 << f_bits) + 1)[:, None]
    low, high = crossings(level, f_bits)
    np.testing.assert_array_equal((y <= low) | (y >= high), G >= level)


def test_kinds_of_sets():
    f = 8
    lows, highs = crossings(np.array([100, 0, -10, -1000]), f)
    assert lows[0] == -NEVER and highs[0] > 100                 # a half line
    assert lows[1] < lows[2] < highs[2] < highs[1] <= 0         # all but an interval
    assert lows[3] >= highs[3] - 1                              # everything
    assert crossings(np.array([NEVER]), f)[1] == NEVER          # nothing


def test_levels():
    G = np.arange(-40, 41)
    for a in (-3, -1, 0, 1, 2, 7):
        for b in (-5, 0, 4):
            u = np.arange(-30, 31)[:, None]
            level, inverted = fire_level(u, a, b)
            np.testing.assert_array_equal((G >= level) != inverted, a * G + b > u)


@pytest.mark.parametrize("centred", [True, False], ids=["centred", "uncentred"])
@pytest.mark.parametrize("f_bits, a_bits, k", [(3, 2, 6), (5, 3, 6), (4, 0, 10), (7, 4, 5)])
def test_comparing_on_the_random_side_is_exact(f_bits, a_bits, k, centred):
    """Every y of the format and every random word, for a of both signs, zero and small ones."""
    random = RandomFormat(k=k, round_bits=1, centred=centred)
    y, r = every(f_bits), np.arange(1 << k)[:, None]
    one = 1 << a_bits
    for a in (one, -one, 0, 1, -1, 3 * one + 1, -2 * one - 1, one // 2):
        for b in (0, 1 << f_bits - 1, -(1 << f_bits - 2), 1 << f_bits, -1, (1 << f_bits) + 3):
            p = a * gelu(y, f_bits) + (b << a_bits)
            low, high, inverted = thresholds(r, a, b, f_bits, a_bits, random)
            np.testing.assert_array_equal(((y <= low) | (y >= high)) != inverted,
                                          fires(p, f_bits + a_bits, r, random) == 1)


def test_the_hardware_widths():
    """12 fraction bits and 16-bit words: random ones, and y at every threshold and next to it."""
    rng, random = np.random.default_rng(0), RandomFormat()
    a, b = (rng.integers(-(1 << 14), 1 << 14, 3000) for _ in range(2))
    b >>= 2
    r = rng.integers(0, 1 << 16, 3000)
    low, high, inverted = thresholds(r, a, b, 12, 12, random)
    for y in (np.clip(low, -1 << 20, 1 << 20), np.clip(high, -1 << 20, 1 << 20),
              rng.integers(-20000, 20000, 3000)):
        for move in (-1, 0, 1):
            p = a * gelu(y + move, 12) + (b << 12)
            fired = ((y + move <= low) | (y + move >= high)) != inverted
            np.testing.assert_array_equal(fired, fires(p, 24, r, random) == 1)
