"""Each operation in integers against its formula in fractions; their wiring and names."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from golden.base.qformat import SQ, UQ
from quant.formats import BIT, TERNARY, THRESHOLD, QuantConfig
from quant.integer import curves
from quant.integer.curves import entries, gelu_table, sigmoid_table
from quant.integer.memory import States
from quant.integer.operation import ArtifactError, Operation, Tensor, wired
from quant.integer.ops import (Add, Clamp, Curve, Embed, Limit, Mix, Product, Round, Scale, Step,
                               Table, Ternary)
from tests.quant import stream
from tests.quant.toy import at, place_of

SMALL = QuantConfig(state_bits=12, p_bits=8, input_bits=10, factor_bits=11, table_bits=7)


@pytest.fixture(scope="module")
def arts():
    return {kind: stream.artifact(kind, SMALL) for kind in stream.KINDS}


def first(art, kind, makes=None):
    """(operation, formats of its inputs) of the first block."""
    return at(art, place_of(art, 0, kind, makes))


def real(raw, fmt) -> list[Fraction]:
    return [Fraction(int(r)) / (Fraction(2) ** fmt.f_bits) for r in np.ravel(raw)]


def rounded(values, fmt) -> list[int]:
    """Half to even (what Python's round does to a Fraction), then the format's ends."""
    return [min(max(round(v * Fraction(2) ** fmt.f_bits), fmt.lo), fmt.hi) for v in values]


def exactly(op, formats, *raws) -> list[Fraction]:
    """The real numbers that an operation computes."""
    return real(op.apply(formats, *raws), op.format(*formats))


def every(fmt, H: int) -> np.ndarray:
    """All raws of a format, as columns for each of H neurons."""
    return np.repeat(np.arange(fmt.lo, fmt.hi + 1)[:, None], H, 1)


@pytest.mark.parametrize("kind", stream.KINDS)
def test_scale_and_limit_on_every_x(arts, kind):
    (op, formats), (limit, sums) = first(arts[kind], Scale), first(arts[kind], Limit, "u")
    x = every(formats[0], 6)
    got, over = limit.apply(sums, op.apply(formats, x))
    a, b = real(op.a.raw, op.a.fmt), real(op.b.raw, op.b.fmt)
    exact = [a[i] * v + b[i] for v in real(x[:, 0], formats[0]) for i in range(6)]
    assert exactly(op, formats, x) == exact
    assert got.ravel().tolist() == rounded(exact, limit.to)
    top = Fraction(limit.to.hi) / (Fraction(2) ** limit.to.f_bits)
    assert 0 < over.sum() < over.size and over[-1].any() == (max(exact[-6:]) > top)


@pytest.mark.parametrize("a, b", [(SQ(2, 3), None), (None, SQ(4, 2)), (None, SQ(4, 5)),
                                  (SQ(2, 3), SQ(4, 8)), (SQ(3, -2), SQ(2, 1))], ids=str)
def test_scale_with_and_without_either(a, b):
    rng, fmt = np.random.default_rng(0), SQ(5, 5)
    ta, tb = (q and Tensor(rng.integers(q.lo, q.hi + 1, 3), q) for q in (a, b))
    op, x = Scale("x -> z", ta, tb), every(fmt, 3)
    exact = [(real(ta.raw, a)[i] if a else 1) * v + (real(tb.raw, b)[i] if b else 0)
             for v in real(x[:, 0], fmt) for i in range(3)]
    assert exactly(op, (fmt,), x) == exact
    made, out = op.apply((fmt,), x), op.format(fmt)
    assert out.lo <= made.min() and made.max() <= out.hi
    assert abs(made).max() <= op.bound((fmt,), -fmt.lo)


@pytest.mark.parametrize("kind", stream.KINDS)
def test_output_of_states_is_exact(arts, kind):
    (op, (u_fmt,)), rng = first(arts[kind], States), np.random.default_rng(0)
    h, u = rng.integers(-5000, 5000, (50, 6)), rng.integers(u_fmt.lo, u_fmt.hi + 1, (50, 6))
    exact = [a + d * b for a, d, b in
             zip(real(h, op.h), real(np.tile(op.d.raw, (50, 1)), op.d.fmt), real(u, u_fmt))]
    assert real(op.output(u_fmt, h, u), op.format(u_fmt)) == exact


def test_step():
    y = np.array([-2, -1, 0, 1, 2])
    assert Step("y -> s").apply((SQ(4, 2),), y).tolist() == [0, 0, 1, 1, 1]
    assert Step("y -> s", fires_at_zero=False).apply((SQ(4, 2),), y).tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("index, table", [(UQ(2, 6), UQ(0, 8)), (UQ(2, 4), UQ(0, 6))])
def test_gelu_table_on_every_y(index, table):
    """As near to GELU as half a step of |y| at its steepest and the roundings of two tables."""
    fmt = SQ(4, 8)
    op = Table("y_in -> a", "gelu", index, Tensor(gelu_table(index, table), table))
    raw = every(fmt, 1)
    got = op.apply((fmt,), raw)
    y = raw[:, 0] / 256
    expected = y * 0.5 * np.array([math.erfc(-v / math.sqrt(2)) for v in y])
    error = abs(got[:, 0] / 256 - expected)
    assert error.max() <= 0.5 * 2.0 ** -(index.f_bits + 1) + 2.0 ** -(table.f_bits + 1) + 1e-4
    assert got.min() > -256 * 0.18
    assert (got[y > 4] == raw[y > 4]).all() and (got[y < -4] == 0).all()


def test_gelu_table_takes_the_nearest_entry():
    """|y| rounded half to even is the index, the last entry stands for all beyond."""
    fmt = SQ(4, 8)
    op, raw = Table("y_in -> a", "gelu", UQ(2, 5), Tensor(np.arange(128), UQ(0, 8))), every(fmt, 1)
    got = op.apply((fmt,), raw)
    index = [min(round(Fraction(abs(int(r)), 8)), 127) for r in raw[:, 0]]
    assert (np.maximum(raw[:, 0], 0) - got[:, 0]).tolist() == index


def test_what_goes_into_a_gelu_table_is_limited(arts):
    (op, (y,)) = first(arts["gsu"], Limit, "y_in")
    top = np.array([op.to.hi + 1, op.to.lo - 1]) << y.f_bits - op.to.f_bits
    assert op.counted and op.apply((y,), top)[1].all()


def test_sigmoid_table_on_every_m():
    index, table = SQ(4, 4), UQ(1, 8)
    got = sigmoid_table(index, table) / 256
    assert abs(got - 1 / (1 + np.exp(-entries(index)))).max() <= 0.5 / 256
    mirrored = got[-np.arange(256) % 256]
    assert (got + mirrored)[1:].tolist() == [1] * 255
    assert (np.diff(got) >= 0).all() and got[0] == 0 and got[-1] == 1


def test_sigmoid_gate_takes_the_ends_entries(arts):
    """From the sums of columns on: shift, bias, rounding to the index, its ends, the table."""
    (mix, (s,)), (limit, sums), (table, index) = (
        first(arts["binary"], kind, "gate") for kind in (Mix, Limit, Table))

    def gate(total):
        return table.apply(index, limit.apply(sums, mix.shifted(total))[0])

    assert s == BIT and not limit.counted and index == (limit.to,)
    for total, entry in ((-1 << 20, 0), (1 << 20, -1)):
        assert (gate(np.full(6, total)) == table.table.raw[entry]).all()
    m = np.arange(-40, 40)[:, None] + np.zeros(6, np.int64)
    exact = [a * 2 ** int(k) + b for row in m for a, k, b in
             zip(real(row, mix.bias.fmt), mix.shift.raw, real(mix.bias.raw, mix.bias.fmt))]
    expected = table.table.raw[np.array(rounded(exact, limit.to)) - limit.to.lo]
    assert gate(m).ravel().tolist() == expected.tolist()


@pytest.mark.parametrize("threshold", [0, 38, 64, 255])
def test_ternary_on_every_pair(threshold):
    z = np.array([(a, b) for a in range(-40, 41) for b in range(-40, 41)])
    op = Ternary("z -> s", Tensor(np.array(threshold), THRESHOLD))
    for (a, b), s in zip(z.tolist(), op.apply((SQ(8, 0),), z).tolist()):
        limit = Fraction(threshold, 256) * max(abs(a), abs(b))
        assert s == [(v > limit) - (v < -limit) for v in (a, b)]


@pytest.mark.parametrize("residual", ["plain", "none"])
@pytest.mark.parametrize("kind", stream.KINDS)
def test_gates_product_and_sum(arts, kind, residual):
    art = arts[kind]
    product, (n_fmt, gate_fmt) = first(art, Product)
    limit, sums = first(art, Limit, "x")[0], (product.format(n_fmt, gate_fmt),)
    rng, x_fmt = np.random.default_rng(1), art.x_format
    x, n, gate = (rng.integers(q.lo, q.hi + 1, (400, 6)) for q in (x_fmt, n_fmt, gate_fmt))
    n[:200] //= 16
    z = product.apply((n_fmt, gate_fmt), n, gate)
    if residual == "plain":
        add, formats = first(art, Add)
        assert add.reads == ("z", "x") and formats[1] == x_fmt
        z, sums = add.apply(formats, z, x), (add.format(*formats),)
    got, over = limit.apply(sums, z)
    exact = [(a if residual == "plain" else 0) + b * c
             for a, b, c in zip(real(x, x_fmt), real(n, n_fmt), real(gate, gate_fmt))]
    assert got.ravel().tolist() == rounded(exact, limit.to)
    assert (0 < over.sum() < over.size) == (residual == "plain")


def test_value_and_linear_gate(arts):
    """Products with a power of two per row, and with ternary weights."""
    art, rng = arts["gsu"], np.random.default_rng(2)
    for makes, low, high in (("n", -1, 2), ("gate", -300, 300)):
        (mix, (fmt,)), (limit, sums) = first(art, Mix, makes), first(art, Limit, makes)
        s = rng.integers(low, high, (200, 6))
        w = mix.w.raw * (2.0 ** (mix.shift.raw - mix.bias.fmt.f_bits)[:, None] if mix.shift
                         else 2.0 ** -fmt.f_bits)
        exact = s @ w.T + mix.bias.real
        got, over = limit.apply(sums, mix.apply((fmt,), s))
        assert got.ravel().tolist() == rounded(map(Fraction, exact.ravel()), limit.to)
        assert fmt == TERNARY or set(np.unique(mix.w.raw)) == {-1, 0, 1}
    assert over.any()


def test_round_clamp_add_and_curves_on_every_value():
    fmt = SQ(4, 5)
    raw = every(fmt, 1)
    values = real(raw, fmt)
    assert [round(v * 4) for v in values] == Round("z -> z", 2).apply((fmt,), raw).ravel().tolist()
    assert Round("z -> z", 2).format(fmt).f_bits == 2
    assert exactly(Clamp("z -> x"), (fmt,), raw) == [min(max(v, 0), 1) for v in values]
    assert exactly(Curve("y -> v", "relu"), (fmt,), raw) == [max(v, 0) for v in values]
    assert Curve("y -> v", "gelu").apply((fmt,), raw).tolist() == curves.gelu(raw, 5).tolist()
    other = SQ(3, 7)
    z = np.random.default_rng(0).integers(other.lo, other.hi + 1, raw.shape)
    assert exactly(Add("x z -> z"), (fmt, other), raw, z) == [
        a + b for a, b in zip(values, real(z, other))]
    assert exactly(Add("z x -> z"), (other, fmt), z, raw) == exactly(Add("x z -> z"), (fmt, other),
                                                                    raw, z)


def test_embed_takes_the_tokens_row():
    table = np.arange(12).reshape(4, 3)
    op = Embed("v -> x", Tensor(table, UQ(1, 12)))
    assert op.apply((UQ(2, 0),), np.array([[2], [0]])).tolist() == [[6, 7, 8], [0, 1, 2]]
    assert op.format(UQ(2, 0)) == UQ(1, 12)


def test_wired():
    """Formats go from value to value, a name may be made again; what is not there is named."""
    scale = Scale("x -> z", Tensor(np.array([3]), SQ(3, 1)))
    ops = scale, Add("x z -> z"), Limit("z -> x", SQ(4, 2))
    found, formats = wired(ops, {"x": SQ(4, 2)})
    assert [inputs for _, inputs in found] == [(SQ(4, 2),), (SQ(4, 2), scale.format(SQ(4, 2))),
                                               (SQ(4, 2) + scale.format(SQ(4, 2)),)]
    assert formats == {"x": SQ(4, 2), "z": SQ(4, 2) + scale.format(SQ(4, 2))}
    with pytest.raises(ArtifactError, match=r"Add \(x z -> z\) reads z, which nothing makes before"
                                            r" it") as error:
        wired(ops[1:], {"x": SQ(4, 2)})
    assert "\n" not in str(error.value)
    with pytest.raises(ArtifactError, match=r"Limit \(w -> x\) reads w, which"):
        wired((scale, replace(ops[2], wiring="w -> x")), {"x": SQ(4, 2)})


def test_an_operation_changed_by_its_tensors():
    op = Scale("x -> z", Tensor(np.array([3]), SQ(3, 1)))
    seen = op.on_tensors(lambda name, t: Tensor(t.raw + ord(name), t.fmt))
    assert seen.a.raw.tolist() == [100] and seen.b is None and seen.wiring == "x -> z"
    assert Tensor(np.array([3]), SQ(3, 1)).real.tolist() == [1.5]
    assert Tensor(np.array([3.25])).real.tolist() == [3.25] and str(op) == "Scale (x -> z)"


def known(name):
    return lambda self, *values: values[0]


@pytest.mark.parametrize("states, has, lacks", [
    (False, (), "has no format and no apply; one without a memory needs format and apply"),
    (False, ("format",), "has no apply; one without"), (False, ("apply",), "has no format; one"),
    (False, ("format", "begin"), "has no apply; one without"),
    (True, ("format", "apply"), "has no begin; one with a memory needs format and begin"),
    (True, ("begin",), "has no format; one with")])
def test_an_operation_that_lacks_what_runs_it_is_refused_where_it_is_written(states, has, lacks):
    with pytest.raises(ArtifactError, match=f"^operation mine:Own {lacks}.*docs/operations.md$"):
        type("Own", (Operation,), {"states": states, "__module__": "mine",
                                   **{name: known(name) for name in has}})


def test_an_operation_is_run_in_its_own_way():
    class Own(Operation):
        format = apply = known("apply")

    class Inherits(Own):
        """What its base has is enough."""

    class Remembers(Operation):
        states = True
        format = begin = known("begin")
    assert Inherits("x -> x").apply((None,), 3) == (None,)
    with pytest.raises(TypeError, match="has no memory: it runs by apply"):
        Own("x -> x").begin((None,), None)
    with pytest.raises(TypeError, match="has a memory: it runs by begin"):
        Remembers("x -> x").apply((None,), 3)
    with pytest.raises(TypeError, match="base of all operations"):
        Operation("x -> x").format(SQ(1, 1))
