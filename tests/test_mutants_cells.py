"""Sabotage of the nodes of a layer: each mutant is seen by the test of a chain or a threshold."""

import numpy as np
import pytest

from golden.base.qformat import SQ, UQ
from quant.integer import curves
from quant.integer.membrane import Integrate
from quant.integer.operation import Tensor
from quant.integer.ops import Clamp, Curve, Product, Round, Scale, Table
from quant.integer.synthetic import random_artifact
from rtl.layer import cells, columns, flow, membrane, table, tables, ternary
from rtl.layer.mixer import Mixer
from rtl.layer.neuron_memory import NeuronMemory
from rtl.layer.ternary import Ternary
from rtl.parts.config import HardwareConfig
from rtl.plan import plan
from sim.benches.stimulus import (mixed_formats, mixed_values, threshold_steps, threshold_words,
                                  words_of)
from tests.rtl.chains import check
from tests.rtl.streams import exchange
from tests.rtl.test_chain import CELL_CASES, H, operands, tensor
from tests.test_mutants import mutate

Y = SQ(4, 3)


def cell(name: str):
    ops, formats = CELL_CASES[name]
    return lambda: check(ops, formats, operands(formats))


def chain(formats: dict, *ops):
    return lambda: check(ops, formats, operands(formats))


def neurons(reset: str = "subtract"):
    op = Integrate("y -> s", tensor(UQ(0, 5), 0, 31, 15, 3), Tensor(np.array(40), SQ(2, 6)),
                   SQ(3, 6), reset)
    values = np.random.default_rng(5).integers(-4, 8, (80, H))
    values[-8:] = [[Y.hi] * H, [Y.lo] * H] * 4
    return lambda: check([op], {"y": Y}, {"y": values}, (40, 1, 39))


def every(op, y):
    raws = np.arange(y.lo, y.hi + 1).reshape(-1, H)
    return lambda: check([op], {"y": y}, {"y": raws})


SIGMOID = Table("y -> y", "sigmoid", SQ(3, 2), Tensor(
    curves.sigmoid_table(SQ(3, 2), UQ(1, 4)), UQ(1, 4)))
GELU = Table("y -> y", "gelu", UQ(2, 3), Tensor(curves.gelu_table(UQ(2, 3), UQ(0, 5)), UQ(0, 5)))


def limited():
    """A threshold of two neurons a word."""
    dut = Ternary(plan(random_artifact(4, kind="gsu", H=6, n=2), HardwareConfig(4)).layers[0])
    words, expected = threshold_words(dut, threshold_steps(dut, 24, seed=1), seed=1)
    got, _ = exchange(dut, {"i": words}, {"o": len(words)}, 0.3, limit=2000)
    assert got["o"] == expected


def mixed():
    """Mixers of -1, 0 and 1 and of values."""
    dut = Mixer(plan(random_artifact(3, kind="gsu", H=4, n=2, residual="none"),
                     HardwareConfig(4)).layers[1])
    values = mixed_values(dut.spec, 8, seed=2)
    words = words_of(dut.spec, mixed_formats(dut.spec), values, [8])
    outs = [dut.model({name: raw[t] for name, raw in values.items()}, np.zeros(4, np.int64))[0]
            for t in range(8)]
    got, _ = exchange(dut, {"i": words}, {"o": len(words)}, 0.2, limit=2000)
    assert [word["x"] for word in got["o"]] == np.array(outs).reshape(-1, 2).tolist()


# name: owner, function, text, mutated text, the check that sees it
MUTANTS = {
    "a sign of a sum lost": (flow, "signed_sum", "bits ^ negate", "bits & ~negate",
                             cell("a sign, then a sum")),
    "no carry of a sign": (flow, "signed_sum", "Cat(negate, addend)", "Cat(Const(0, 1), addend)",
                           cell("a sign")),
    "unsigned taken for signed": (flow, "signed_sum", "raw[-1] if raw.shape().signed else "
                                  "Const(0, 1)", "raw[-1]", cell("a sign, then a coarser sum")),
    "a sign not turned": (flow.Flow, "plain", "Mux(n, -v, v)", "v", cell("a sign, twice")),
    "a sum one bit off": (flow.Flow, "sum", "(x << up) + (z << up_z)", "(x << up) + z",
                          cell("Add, signed")),
    "half of a rounding": (flow, "rounded", "half = 1 << drop - 1", "half = 0",
                           chain({"x": UQ(2, 4)}, Round("x -> x", 1), Product("x x -> z"))),
    "a bit that does not mask": (cells.Scale, "build", "Mux(x, a, 0)", "a",
                                 cell("Scale of a bit")),
    "the point of a half": (cells.Scale, "build", "a.f_bits + x.f_bits", "a.f_bits",
                            cell("Scale of a half")),
    "signs of other neurons": (cells.Scale, "fields", "self.op.a.raw < 0", "self.op.a.raw > 0",
                               cell("a sign")),
    "ReLU the other way": (cells.Curve, "build", "Mux(y < 0, 0, y)", "Mux(y < 0, y, 0)",
                           cell("ReLU")),
    "zero does not fire": (cells.Step, "build", "lambda y: y >= 0", "lambda y: y > 0",
                           cell("Step")),
    "zero fires": (cells.Step, "build", "lambda y: y > 0", "lambda y: y >= 0",
                   cell("Step above zero")),
    "a limit not counted": (cells, "limited", "saturate(x, to)[1]", "saturate(x, to)[1] & 0",
                            cell("Limit")),
    "a limit that wraps": (cells, "limited", "saturate(x, to)[0]", "x", cell("Limit")),
    "a clamp above one": (cells.Clamp, "build", "clamp_to_one(x, f)", "clamp_to_one(x, f + 1)",
                          chain({"z": SQ(4, 4)}, Clamp("z -> x"), Scale(
                              "x -> q", tensor(SQ(2, 2), 3, -5)))),
    "membranes of the last sequence": (
        NeuronMemory, "read", "Mux(first, 0, self.memory.r_data.word_select(g, width))",
        "self.memory.r_data.word_select(g, width)", neurons()),
    "the threshold itself does not fire": (
        membrane.Membrane, "build", "lambda u, theta: u >= theta", "lambda u, theta: u > theta",
        neurons()),
    "no reset": (membrane.Membrane, "build", "Mux(s, u - theta if", "Mux(0, u - theta if",
                 neurons()),
    "a reset to zero": (membrane.Membrane, "build", 'reset = self.op.reset == "subtract"',
                        'reset = self.op.reset != "subtract"', neurons()),
    "membranes of other words": (NeuronMemory, "write", "memory.w_addr.eq(slot.word)",
                                 "memory.w_addr.eq(0)", neurons("zero")),
    "membranes that wrap": (cells, "limited", "saturate(x, to)[0]", "x", neurons()),
    "an index from the middle": (table.Table, "build", "y - index.lo", "y",
                                 every(SIGMOID, SQ(3, 2))),
    "an index that wraps": (table, "_least", "| v[index.width:].any().replicate(index.width)", "",
                            every(GELU, SQ(4, 5))),
    "no identity of a GELU": (tables, "positive_less", "Mux(y < 0, 0, y)", "0",
                              every(GELU, SQ(4, 5))),
    "knots without a slope": (tables, "gelu", "(k << fine) + p", "(k << fine)",
                              every(Curve("y -> y", "gelu"), SQ(4, 8))),
    "beyond the knots the last one": (tables, "gelu", "Mux(v > most, count, v[fine:])",
                                      "Mux(v > most, count - 1, v[fine:])",
                                      every(Curve("y -> y", "gelu"), SQ(5, 8))),
    "a magnitude with its sign": (tables, "magnitude", "Mux(y < 0, -y, y)", "y",
                                  every(Curve("y -> y", "gelu"), SQ(4, 5))),
    "a tie passes": (ternary.Ternary, "elaborate", "(size << THRESHOLD.f_bits) > now.limit",
                     "(size << THRESHOLD.f_bits) >= now.limit", limited),
    "a maximum over steps": (ternary.Ternary, "_most", "tags.start | (sizes[0] > most)",
                             "sizes[0] > most", limited),
    "a maximum of the first neuron": (ternary.Ternary, "_most",
                                      "Mux(two[0] > two[-1], two[0], two[-1])", "two[0]", limited),
    "one limit for all banks": (ternary.Ternary, "elaborate", "now.limit.eq(limits[bank])",
                                 "now.limit.eq(limits[0])", limited),
    "a bank free at once": (ternary.Ternary, "elaborate", "free - filled + gone", "free + gone",
                            limited),
    "signs of a ternary lost": (columns, "product", "Mux(few[1], other << 1, 0)", "0", mixed),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant(name, monkeypatch):
    *place, look = MUTANTS[name]
    mutate(monkeypatch, *place)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        look()


def test_all_of_them_pass_unmutated():
    for look in {id(look): look for *_, look in MUTANTS.values()}.values():
        look()
