"""GELU on integers: exhaustive in small formats."""

import math
import zlib

import numpy as np
import pytest

from quant.integer.curves import gelu, knots, table


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
