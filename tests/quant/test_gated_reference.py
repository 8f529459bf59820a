"""Each operation of the integers of Binary S4D and GSU against its formula in fractions."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from quant import gated_reference as ref
from golden.base.qformat import SQ, UQ
from quant.formats import QuantConfig
from quant.gated_tables import entries, gelu_table, sigmoid_table
from tests.quant import gated

SMALL = QuantConfig(state_bits=12, p_bits=8, input_bits=10, factor_bits=11, table_bits=7)


@pytest.fixture(scope="module")
def layers():
    return {kind: gated.artifact(kind, SMALL).layers[0] for kind in gated.KINDS}


def real(raw, fmt) -> list[Fraction]:
    return [Fraction(int(r)) / (Fraction(2) ** fmt.f_bits) for r in np.ravel(raw)]


def rounded(values, fmt) -> list[int]:
    """Half to even (what Python's round does to a Fraction), then the format's ends."""
    return [min(max(round(v * Fraction(2) ** fmt.f_bits), fmt.lo), fmt.hi) for v in values]


def every(fmt, H: int) -> np.ndarray:
    """All raws of a format, as columns for each of H neurons."""
    return np.repeat(np.arange(fmt.lo, fmt.hi + 1)[:, None], H, 1)


@pytest.mark.parametrize("kind", gated.KINDS)
def test_normalise_on_every_x(layers, kind):
    layer = layers[kind]
    f = layer.fmt
    x = every(f.x, 6)
    got, over = ref.normalise(x, layer, f.u)
    alpha, beta = real(layer.alpha, f.alpha), real(layer.beta, f.beta)
    exact = [alpha[i] * v + beta[i] for v in real(x[:, 0], f.x) for i in range(6)]
    assert got.ravel().tolist() == rounded(exact, f.u)
    top = Fraction(f.u.hi) / (Fraction(2) ** f.u.f_bits)
    assert 0 < over.sum() < over.size and over[-1].any() == (max(exact[-6:]) > top)


@pytest.mark.parametrize("kind", gated.KINDS)
def test_drive_is_exact(layers, kind):
    layer = layers[kind]
    f, rng = layer.fmt, np.random.default_rng(0)
    h, u = rng.integers(-5000, 5000, (50, 6)), rng.integers(f.u.lo, f.u.hi + 1, (50, 6))
    exact = [a + d * b for a, d, b in
             zip(real(h, f.h), real(np.tile(layer.d, (50, 1)), f.drive), real(u, f.u))]
    assert [v * 2 ** f.y_bits for v in exact] == ref.drive(h, u, layer).ravel().tolist()


def test_heaviside():
    y = np.array([-2, -1, 0, 1, 2])
    assert ref.heaviside(y, 1).tolist() == [0, 0, 1, 1, 1]
    assert ref.heaviside(y, 0).tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("index, table", [(UQ(2, 6), UQ(0, 8)), (UQ(2, 4), UQ(0, 6))])
def test_gelu_on_every_y(layers, index, table):
    """As near to GELU as half a step of |y| at its steepest and the roundings of two tables."""
    layer = layers["gsu"]
    fmt = replace(layer.fmt, y=SQ(4, 8), drive=SQ(2, 12), index=index, table=table)
    layer = replace(layer, fmt=fmt, table=gelu_table(index, table))
    raw = every(fmt.y, 1)
    got, over = ref.gelu(raw << fmt.y_bits - 8, layer)
    y = raw[:, 0] / 256
    expected = y * 0.5 * np.array([math.erfc(-v / math.sqrt(2)) for v in y])
    error = abs(got[:, 0] / 256 - expected)
    assert error.max() <= 0.5 * 2.0 ** -(index.f_bits + 1) + 2.0 ** -(table.f_bits + 1) + 1e-4
    assert not over.any() and got.min() > -256 * 0.18
    assert (got[y > 4] == raw[y > 4]).all() and (got[y < -4] == 0).all()
    top = np.array([fmt.y.hi + 1, fmt.y.lo - 1]) << fmt.y_bits - 8
    assert ref.gelu(top, layer)[1].all()


def test_gelu_takes_the_nearest_entry(layers):
    """|y| rounded half to even is the index, the last entry stands for all beyond."""
    fmt = replace(layers["gsu"].fmt, y=SQ(4, 8), drive=SQ(2, 12), index=UQ(2, 5), table=UQ(0, 8))
    layer = replace(layers["gsu"], fmt=fmt, table=np.arange(128))
    raw = every(fmt.y, 1)
    got, _ = ref.gelu(raw << fmt.y_bits - 8, layer)
    index = [min(round(Fraction(abs(int(r)), 8)), 127) for r in raw[:, 0]]
    assert (np.maximum(raw[:, 0], 0) - got[:, 0]).tolist() == index


def test_sigmoid_table_on_every_m():
    index, table = SQ(4, 4), UQ(1, 8)
    got = sigmoid_table(index, table) / 256
    assert abs(got - 1 / (1 + np.exp(-entries(index)))).max() <= 0.5 / 256
    mirrored = got[-np.arange(256) % 256]
    assert (got + mirrored)[1:].tolist() == [1] * 255
    assert (np.diff(got) >= 0).all() and got[0] == 0 and got[-1] == 1


def test_sigmoid_gate_takes_the_ends_entries(layers):
    layer = layers["binary"]
    f = layer.fmt
    big = 1 << 20
    for total, entry in ((-big, 0), (big, -1)):
        assert (ref.sigmoid_gate(np.full(6, total), layer) == layer.table[entry]).all()
    m = np.arange(-40, 40)[:, None] + np.zeros(6, np.int64)
    exact = [a * 2 ** int(s) + b for row in m for a, s, b in
             zip(real(row, f.gate_bias), layer.gate_shift, real(layer.gate_bias, f.gate_bias))]
    expected = layer.table[np.array(rounded(exact, f.index)) - f.index.lo]
    assert ref.sigmoid_gate(m, layer).ravel().tolist() == expected.tolist()


@pytest.mark.parametrize("threshold", [0, 38, 64, 255])
def test_ternary_on_every_pair(threshold):
    z = np.array([(a, b) for a in range(-40, 41) for b in range(-40, 41)])
    got = ref.ternary(z, threshold)
    for (a, b), s in zip(z.tolist(), got.tolist()):
        limit = Fraction(threshold, 256) * max(abs(a), abs(b))
        assert s == [(v > limit) - (v < -limit) for v in (a, b)]


@pytest.mark.parametrize("residual", ["plain", "none"])
@pytest.mark.parametrize("kind", gated.KINDS)
def test_fuse(layers, kind, residual):
    layer = layers[kind]
    f, rng = layer.fmt, np.random.default_rng(1)
    x, n, gate = (rng.integers(q.lo, q.hi + 1, (400, 6)) for q in (f.x, f.n, f.gate))
    n[:200] //= 16
    got, over = ref.fuse(x, n, gate, layer, residual)
    exact = [(a if residual == "plain" else 0) + b * c
             for a, b, c in zip(real(x, f.x), real(n, f.n), real(gate, f.gate))]
    assert got.ravel().tolist() == rounded(exact, f.x)
    assert (0 < over.sum() < over.size) == (residual == "plain")


def test_value_and_linear_gate(layers):
    layer = layers["gsu"]
    f, rng = layer.fmt, np.random.default_rng(2)
    s, z = rng.integers(-1, 2, (200, 6)), rng.integers(f.y.lo, f.y.hi + 1, (200, 6))
    w = layer.w * 2.0 ** (layer.shift - f.bias.f_bits)[:, None]
    n, _ = ref.value(ref.columns(layer.w, s), layer)
    exact = s @ w.T + layer.bias * 2.0 ** -f.bias.f_bits
    assert n.ravel().tolist() == rounded(map(Fraction, exact.ravel()), f.n)
    m, over = ref.linear_gate(ref.columns(layer.gate_w, z), layer)
    exact = (z @ layer.gate_w.T) * 2.0 ** -f.y.f_bits + layer.gate_bias * 2.0 ** -f.gate_bias.f_bits
    assert m.ravel().tolist() == rounded(map(Fraction, exact.ravel()), f.gate)
    assert set(np.unique(layer.gate_w)) == {-1, 0, 1} and over.any()


@pytest.mark.parametrize("length", [0, 21])
def test_lengths_are_checked(length):
    with pytest.raises(ValueError, match="1..20 steps"):
        ref.run(gated.artifact(), np.zeros(length, np.int64))
