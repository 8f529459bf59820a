"""Every cell alone against its operation, and cells behind each other."""

from itertools import product

import numpy as np
import pytest

from golden.base.qformat import SQ, UQ
from quant.formats import BIT, TERNARY, RandomFormat
from quant.integer import curves
from quant.integer.membrane import Integrate
from quant.integer.memory import Fire
from quant.integer.operation import Tensor
from quant.integer.ops import (Add, Clamp, Curve, Limit, Mix, Product, Round, Scale, Step, Table)
from rtl.layer import cells
from rtl.layer.cells import Cell
from rtl.layer.chains import CELLS
from rtl.layer.flow import of
from rtl.parts.config import HardwareError
from tests.rtl.chains import chain_of, check, spec_of

H = 4
ODD = SQ(3, 5)


def tensor(fmt, *raw) -> Tensor:
    """Of H neurons, the raws again and again."""
    return Tensor(np.resize(raw, H), fmt)


def ends(fmt) -> list[int]:
    return sorted({fmt.lo, fmt.lo + 1, -1 if fmt.signed else 0, 0, 1, fmt.hi - 1, fmt.hi,
                   *((half for half in (1 << max(0, fmt.f_bits - 1), 1 << fmt.f_bits)
                      if half <= fmt.hi))})


def operands(formats: dict, count: int = 30, seed: int = 1) -> dict:
    """(steps, H) of every input: all corners for every neuron, then random."""
    rng = np.random.default_rng(seed)
    corners = np.array(list(product(*map(ends, formats.values()))))
    return {name: np.concatenate([np.repeat(corners[:, [k]], H, axis=1),
                                  rng.integers(fmt.lo, fmt.hi + 1, (count, H))])
            for k, (name, fmt) in enumerate(formats.items())}


A, B = tensor(SQ(2, 4), -32, 31, 0, -1), tensor(SQ(4, 3), -64, 63, 0, 5)
SIGN = tensor(TERNARY, 1, -1, -1, 1)
SUM = SQ(9, 0)      # of a mixer

# name: operations, formats of what they read
CELL_CASES = {
    "Scale": ([Scale("x -> z", A, B)], {"x": ODD}),
    "Scale, no a": ([Scale("x -> z", None, B)], {"x": ODD}),
    "Scale, no b": ([Scale("x -> z", A)], {"x": ODD}),
    "Scale of a bit": ([Scale("x -> z", A, B)], {"x": BIT}),
    "Scale of a half": ([Scale("x -> z", A, B)], {"x": UQ(0, 1)}),
    "Scale, unsigned": ([Scale("x -> z", tensor(UQ(1, 3), 0, 15, 8, 1), tensor(UQ(2, 1), 7, 0))],
                        {"x": UQ(1, 4)}),
    "a sign": ([Scale("x -> z", SIGN, B)], {"x": ODD}),
    "a sign of the unsigned": ([Scale("x -> z", SIGN, B)], {"x": UQ(2, 3)}),
    "a sign, unsigned b": ([Scale("x -> z", SIGN, tensor(UQ(4, 3), 127, 0, 64, 1))], {"x": ODD}),
    "a sign, then a sum": ([Scale("z -> z", SIGN), Add("z x -> x")], {"z": ODD, "x": UQ(1, 5)}),
    "a sign, then a coarser sum": ([Scale("z -> z", SIGN), Add("z x -> x")],
                                   {"z": SQ(3, 6), "x": UQ(1, 5)}),
    "a sum of a sign": ([Scale("z -> z", SIGN), Add("x z -> x")], {"z": ODD, "x": SQ(2, 3)}),
    "a sum of two signs": ([Scale("z -> z", SIGN), Scale("x -> x", tensor(TERNARY, -1, 1)),
                            Add("x z -> z")], {"z": ODD, "x": UQ(1, 3)}),
    "a sign, twice": ([Scale("z -> z", SIGN), Scale("z -> z", tensor(TERNARY, -1, 1)),
                       Clamp("z -> x")], {"z": ODD}),
    "a sign, then all else": ([Scale("z -> z", SIGN), Step("z -> s"), Curve("z -> r"),
                               Round("z -> t", 2), Limit("z -> x", SQ(2, 2)),
                               Product("z r -> p"), Scale("z -> q", A)], {"z": ODD}),
    "Add": ([Add("x z -> z")], {"x": SQ(3, 2), "z": UQ(2, 4)}),
    "Add, signed": ([Add("x z -> z")], {"x": SQ(2, 5), "z": SQ(4, 1)}),
    "Product": ([Product("n gate -> z")], {"n": SQ(3, 3), "gate": UQ(1, 4)}),
    "Product, signed": ([Product("n gate -> z")], {"n": SQ(3, 3), "gate": SQ(2, 3)}),
    "Round": ([Round("x -> x", 2)], {"x": SQ(3, 5)}),
    "Round, unsigned": ([Round("x -> x", 1)], {"x": UQ(3, 3)}),
    "Round, nothing": ([Round("x -> x", 5)], {"x": ODD}),
    "Limit": ([Limit("x -> x", SQ(2, 3))], {"x": SQ(4, 5)}),
    "Limit to the unsigned": ([Limit("z -> x", UQ(1, 3))], {"z": SQ(4, 4)}),
    "Limit of the unsigned": ([Limit("z -> x", SQ(2, 2))], {"z": UQ(3, 3)}),
    "Limit, wider": ([Limit("z -> x", SQ(6, 3))], {"z": SQ(3, 4)}),
    "Limit, not counted": ([Limit("z -> x", SQ(2, 2), counted=False)], {"z": SQ(4, 4)}),
    "Clamp": ([Clamp("z -> x")], {"z": SQ(4, 4)}),
    "Clamp, unsigned": ([Clamp("z -> x")], {"z": UQ(2, 4)}),
    "Clamp, below one": ([Clamp("z -> x")], {"z": SQ(1, 4)}),
    "ReLU": ([Curve("z -> z")], {"z": SQ(4, 4)}),
    "ReLU, unsigned": ([Curve("z -> z")], {"z": UQ(2, 4)}),
    "Step": ([Step("y -> s")], {"y": SQ(3, 4)}),
    "Step above zero": ([Step("y -> s", False)], {"y": SQ(3, 4)}),
    "Step of a curve": ([Curve("y -> y"), Step("y -> s", False)], {"y": SQ(3, 4)}),
}


@pytest.mark.parametrize("held, P", [(0.0, 1), (0.4, 1), (0.4, 2)],
                         ids=["free", "held", "two steps"])
@pytest.mark.parametrize("case", CELL_CASES)
def test_cell(case, held, P):
    ops, formats = CELL_CASES[case]
    check(ops, formats, operands(formats), held=held, P=P)


@pytest.mark.parametrize("P", [1, 2])
@pytest.mark.parametrize("G", [1, 2, 4])
def test_words_of_any_size(G, P):
    """Parameters of the right neuron, in both steps; a row for each word; odd lengths."""
    formats = {"x": ODD, "z": SQ(2, 3)}
    ops = [Scale("x -> x", A, B), Add("x z -> z"), Limit("z -> x", SQ(3, 3))]
    values = operands(formats, 40)
    count = len(values["x"])
    check(ops, formats, values, (1, 4, 2, 3, count - 10), G=G, P=P)


@pytest.mark.parametrize("sampling", ["bernoulli", "sobol", "systematic"])
@pytest.mark.parametrize("p", [UQ(1, 5), SQ(3, 4), SQ(2, 12)], ids=str)
@pytest.mark.parametrize("P", [1, 2])
def test_fire(P, sampling, p):
    rng = np.random.default_rng(3)
    lengths, random = (5, 1, 1, 9), RandomFormat(k=8)
    values = rng.integers(0, (1 << p.f_bits) + 1, (sum(lengths), H))
    values = np.where(rng.random(values.shape) < 0.3, rng.choice(ends(p), values.shape), values)
    directions = Tensor(np.array([128, 192, 32, 240]), UQ(8, 0)) if sampling == "sobol" else None
    for G in (1, 4):        # of four, a step is one word: it waits for its phases
        check([Fire("x -> s", sampling, 0, directions)] if directions else
              [Fire("x -> s", sampling, 0)], {"x": p}, {"x": values}, lengths, G=G, random=random,
              P=P)


def membrane(v=SQ(3, 6), reset="subtract", leak=UQ(0, 5), theta=40) -> Integrate:
    return Integrate("y -> s", tensor(leak, 0, leak.hi, leak.hi >> 1, 3),
                     Tensor(np.array(theta), SQ(2, v.f_bits)), v, reset)


@pytest.mark.parametrize("G", [1, 2, 4])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("y", [SQ(4, 3), SQ(4, 9), SQ(2, 14), UQ(2, 4)], ids=str)
@pytest.mark.parametrize("P", [1, 2])
def test_membrane(P, y, reset, G):
    """Its sums are finer or coarser than leak v; steps are as short as ``loop`` allows."""
    rng, lengths = np.random.default_rng(5), (6, 1, 1, 12, 30)
    values = rng.integers(y.lo, y.hi + 1, (sum(lengths), H))
    values = values >> rng.integers(0, 5, (sum(lengths), 1))
    values[-20:] = rng.choice([y.lo, y.hi], (20, H))        # both ends of the membrane
    op = membrane(reset=reset)
    chain = check([op], {"y": y}, {"y": values}, lengths, G=G, P=P)
    kept, *_ = chain.flow.over
    assert chain.flow.loop > 4 >= H // G, "the case wants steps that wait"
    assert kept.hi == 1


@pytest.mark.parametrize("P", [1, 2])
def test_a_membrane_in_a_shorter_loop_is_seen(P, monkeypatch):
    """One cycle less than ``loop`` reads membranes that are not there yet."""
    y, lengths = SQ(4, 6), (12,)
    values = np.random.default_rng(7).integers(0, 60, (12, H))
    flow = type(chain_of([membrane()], {"y": y}, spec_of(H, 4, P=P)).flow)
    monkeypatch.setattr(flow, "loop", property(lambda s: s.__dict__.get("least", 0) - 1,
                                               lambda s, n: s.__dict__.update(least=n + 1)),
                        raising=False)
    check([membrane()], {"y": y}, {"y": values}, lengths, G=4, P=P)
    monkeypatch.setattr(flow, "loop", property(lambda s: s.__dict__.get("least", 0) - 1,
                                               lambda s, n: s.__dict__.update(least=n)))
    with pytest.raises(AssertionError):
        check([membrane()], {"y": y}, {"y": values}, lengths, G=4, P=P)


@pytest.mark.parametrize("f_bits", [0, 1, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_gelu_of_every_value(f_bits, signed):
    """All knots: below and above 6 fraction bits, ranges within the table and beyond."""
    for i_bits in (2, 5):
        y = SQ(i_bits, f_bits) if signed else UQ(i_bits, f_bits)
        raws = np.arange(y.lo, y.hi + 1)
        raws = np.resize(raws, -(-len(raws) // H) * H).reshape(-1, H)
        check([Curve("y -> y", "gelu")], {"y": y}, {"y": raws}, held=0.0)


def test_gelu_of_a_fine_format():
    """The ends of each interval of two knots, with many fraction bits."""
    y = SQ(5, 12)
    step = 1 << y.f_bits - curves.KNOTS
    raws = np.array([sign * (at + by) for at in range(0, 6 << y.f_bits, 7 * step)
                     for by in (-1, 0, 1, step // 2) for sign in (1, -1)] + [y.lo, y.hi, 0, 0])
    check([Curve("y -> y", "gelu")], {"y": y}, {"y": raws.reshape(-1, H)}, held=0.0)


@pytest.mark.parametrize("op, y", [
    (Table("y -> y", "sigmoid", SQ(3, 2), Tensor(
        curves.sigmoid_table(SQ(3, 2), UQ(1, 4)), UQ(1, 4))), SQ(3, 2)),
    (Table("y -> y", "gelu", UQ(2, 3), Tensor(
        curves.gelu_table(UQ(2, 3), UQ(0, 5)), UQ(0, 5))), SQ(4, 5)),
    (Table("y -> y", "gelu", UQ(2, 3), Tensor(
        curves.gelu_table(UQ(2, 3), UQ(0, 4)), UQ(0, 4))), SQ(1, 4))],
    ids=["sigmoid", "gelu", "gelu of less than the table"])
def test_table_of_every_value(op, y):
    raws = np.arange(y.lo, y.hi + 1).reshape(-1, H)
    for G, P in ((1, 1), (2, 1), (2, 2)):
        check([op], {"y": y}, {"y": raws}, G=G, P=P)


def test_mixed_and_what_stands_behind():
    """The sums of a mixer have the name of what it makes of them; shift, bias, sign, gate."""
    rng, formats = np.random.default_rng(9), {"z": SUM, "x": UQ(1, 5)}
    w = Tensor(np.zeros((H, H), np.int64), SQ(6, 0))
    mix = Mix("s -> z", w, tensor(SQ(4, 5), -256, 255, 0, 7), tensor(UQ(2, 0), 0, 1, 2, 3))
    spec = spec_of(H, 2)
    from rtl.cut import Wired
    from rtl.layer.chain import Chain
    from rtl.parts.memory import place
    from tests.rtl.chains import START, run
    wires = (Wired(mix, (BIT,), mix.format(BIT)),
             Wired(Add("z x -> x"), (mix.format(BIT), formats["x"]), SQ(9, 5)))
    chain = Chain(spec, "t", wires, {name: of(fmt, START) for name, fmt in formats.items()},
                  START, "row")
    spec.regions = {region.name: region for region in place(chain.regions())}
    values = {"z": rng.integers(SUM.lo, SUM.hi + 1, (20, H)), "x": rng.integers(0, 64, (20, H))}
    values["z"][:2] = [[SUM.lo] * H, [SUM.hi] * H]
    got, _ = run(chain, values, (20,), 0.3)
    z = mix.shifted(values["z"])
    np.testing.assert_array_equal(got["z"], z)
    np.testing.assert_array_equal(got["x"], z + values["x"])


def test_every_kind_of_cell_is_tested_here():
    tested = {type(op) for ops, _ in CELL_CASES.values() for op in ops}
    assert set(CELLS) == tested | {Fire, Integrate, Table, Mix}


def test_an_operation_without_a_cell():
    """One line, with layer and operation, and what there is."""
    from quant.integer.ops import Embed
    table = Tensor(np.zeros((3, H), np.int64), UQ(1, 3))
    with pytest.raises(HardwareError, match=r"^layer 0: Embed \(v -> x\) has no component in the "
                                            r"RTL, which has Scale, Mix, .* quant.evaluate$"):
        chain_of([Embed("v -> x", table)], {"v": BIT}, spec_of(H, 1))


def test_a_cell_without_build_is_refused_where_it_is_written():
    with pytest.raises(HardwareError, match="^cell mine:Own has no build; .*docs/operations.md$"):
        type("Own", (Cell,), {"__module__": "mine"})
    assert type("Inherits", (cells.Scale,), {}).build is cells.Scale.build
