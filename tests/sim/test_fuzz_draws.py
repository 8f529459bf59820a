"""Fuzzing: what is drawn of every kind of network, and the rules for it; how it becomes small."""

import json
import re
from dataclasses import replace

import pytest

from golden.base.cli import UserError
from golden.base.qformat import QFormat
from quant.formats import RandomFormat
from quant.integer import synthetic
from quant.integer.bounds import types_of
from quant.integer.synthetic import LIMITS
from rtl.core import Core
from rtl.layer import cells, membrane, ternary
from sim.fuzzing import draws, shape as shapes_of, trial
from sim.fuzzing.case import VALUES, Case
from sim.fuzzing.dice import Dice
from sim.fuzzing.kinds import KINDS
from sim.fuzzing.minimise import candidates, minimise
from tests.sim.tiny import tiny
from tests.test_mutants import mutate

SHAPES = 40
each = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def shapes():
    return {kind: [draws.draw_shape(1, number, kind) for number in range(SHAPES)]
            for kind in KINDS}


def test_there_is_an_entry_for_every_kind_and_option():
    assert {*KINDS} == {*synthetic.KINDS}
    for kind, of in KINDS.items():
        drawn = draws.draw_shape(1, 0, kind)
        assert {*drawn.options} == {*of.options} and drawn.of is of
        assert all(values for values in of.options.values())


@each
def test_draws_reach_every_option(shapes, kind):
    shapes, of = shapes[kind], KINDS[kind]
    for name, options in of.options.items():
        assert {shape.options[name] for shape in shapes} == set(options), name
    for name in of.may_lack:
        assert {name in shape.formats for shape in shapes} == {False, True}
    assert {shape.layers for shape in shapes} == {1, 2, 3, 4, 5, 6}
    assert {shape.n for shape in shapes} == set(of.modes)
    assert {QFormat.parse(shape.edge["sample"]).signed for shape in shapes if not shape.vocab} == \
        {False, True}
    assert {shape.vocab for shape in shapes} >= {0, 257}
    assert shapes_of.LONGEST in {shape.length for shape in shapes}
    assert {shape.random["centred"] for shape in shapes} == {False, True}
    assert all(4 <= shape.H <= 96 for shape in shapes)
    assert min(shape.H for shape in shapes) <= 5 and max(shape.H for shape in shapes) >= 80
    assert 1 in {shape.length for shape in shapes} and len({s.lanes for s in shapes}) > 4
    for name in shapes[0].formats:
        assert len({shape.formats.get(name) for shape in shapes}) >= 4, name


@each
def test_draws_keep_the_rules_and_are_described(shapes, kind):
    for number, shape in enumerate(shapes[kind]):
        assert shape.broken_rule() is None
        case = draws.draw_case(shape, 1, number, 7)
        text = json.dumps(case.to_dict())
        again = Case.from_dict(json.loads(text))
        assert again == case and shapes_of.is_shape(json.loads(text)["shape"])
        assert again.shape.summary.startswith(f"{kind}, {shape.layers} x {shape.H}")
    assert draws.draw_shape(1, number, kind) == shape
    assert draws.draw_case(shape, 1, number, 7) == case != draws.draw_case(shape, 2, number, 7)
    assert [v.tolist() for v in again.sequences] == [v.tolist() for v in case.sequences]


@each
def test_an_option_is_the_networks(kind):
    """Every one but one that has no effect beside the others changes the network."""
    base = tiny(kind).shape
    for name, values in KINDS[kind].options.items():
        found = [replace(base, options=base.options | {name: value}) for value in values]
        made = [str(one.artifact(1).blocks) for one in found if one.broken_rule() is None]
        assert len(set(made)) == len(made) > 1 or (kind, name) == ("gsu", "fires_at_zero"), name


@each
def test_the_stated_rules_are_what_the_components_refuse(kind):
    """Neither wider nor narrower; a component that refuses more is found by the fuzz."""
    refused = set()
    for number in range(20):
        shape = draws.any_shape(Dice(11, number), kind)
        rule = shape.broken_rule()
        try:
            Core(shape.base, shape.hw)
            for limits in LIMITS:
                types_of(shape.artifact(0, limits=limits))
        except (UserError, ValueError) as error:    # a random stream runs before it is checked
            assert rule, error
            refused.add(rule)
        else:
            assert rule is None, shape
    assert len(refused) >= 2, refused


OWN = {"h": "SQ(2,16)", "drive": "SQ(2,16)"}        # finer than a


@pytest.mark.parametrize("kind, change, rule", [
    ("paper", {"lanes": 5}, "lanes divide"),
    ("paper", {"options": {"act": "tanh"}}, "options are those"),
    ("paper", {"options": {"reset": "zero"}}, "options are those"),
    ("paper", {"n": 0}, "there are modes"), ("glu", {"n": 0}, "there are modes"),
    ("paper", {"length": 1 << 20}, "streams fit"),
    ("paper", {"options": {"sampling": "sobol"}, "length": 40}, "Sobol"),
    ("paper", {"vocab": 3}, "sample format or a vocabulary"),
    ("paper", {"formats": {"w": "SQ(0,0)"}}, "no room"),
    ("paper", {"formats": {"a_bar": "SQ(1,8)"}}, "rounded at random"),
    ("gsu", {"formats": {"a_bar": "SQ(1,8)"}}, "rounded at random"),
    ("paper", {"formats": {"g": "SQ(2,40)"}}, "g u is no finer"),
    ("glu", {"formats": {"g": "SQ(2,16)"}}, "g u is no finer"),
    ("paper", {"formats": {"h": "SQ(40,12)"}}, "sums have 64 bits"),
    ("paper", {"formats": {"gain": "SQ(40,1)"}}, "sums have 64 bits"),
    ("lif", {"formats": {"a": "SQ(40,2)"}}, "sums have 64 bits"),
    ("glu", {"formats": {"n": "SQ(50,10)"}}, "sums have 64 bits"),
    ("gsu", {"formats": {"y": "SQ(48,11)"}}, "sums have 64 bits"),
    ("paper", {"formats": {"x": "SQ(6,9)"}}, "x SQ.6,9. must have the 12 fraction bits"),
    ("paper", {"edge": {"dec_w": "SQ(40,6)"}}, "a logit has 48 bits"),
    ("paper", {"edge": {"enc_w": "SQ(4,3)"}}, "encoder's product"),
    ("lif", {"edge": {"dec_b": "SQ(8,17)"}}, "decoder's bias"),
    ("paper", {"options": {"sampling": "systematic"},
               "formats": {"h": "SQ(2,0)", "drive": "SQ(2,0)"}}, "systematic"),
    ("paper", {"formats": {"h": "SQ(2,23)", "drive": "SQ(2,23)", "a": "SQ(2,2)"}}, "a GELU takes"),
    ("lif", {"formats": {"h": "UQ(2,12)"}}, "a membrane is signed"),
    ("lif", {"n": 0, "lanes": 1, "formats": OWN}, "b is no finer than a"),
    ("glu", {"formats": {"d": "SQ(2,0)", "u": "SQ(2,12)"}}, "d u is as fine as h"),
    ("glu", {"formats": {"alpha": "SQ(4,0)"}}, "a norm is as fine"),
    ("glu", {"formats": {"n": "SQ(4,13)"}}, "the bias is as fine as n"),
    ("gsu", {"formats": {"gelu": "UQ(0,12)"}}, "what a GELU takes"),
    ("gsu", {"formats": {"gelu_index": "SQ(2,8)"}}, "of a magnitude"),
    ("gsu", {"formats": {"gate_bias": "SQ(2,10)"}}, "the gate's bias"),
    ("gsu", {"formats": {"n": "SQ(2,0)", "gate": "SQ(5,2)"}}, "the gate's product")], ids=str)
def test_every_rule(kind, change, rule):
    """And the components refuse what breaks one, or the integers' bounds."""
    shape = tiny(kind).shape
    assert shape.broken_rule() is None
    broken = replace(shape, **{name: getattr(shape, name) | value if isinstance(value, dict)
                               else value for name, value in change.items()})
    assert re.search(rule, broken.broken_rule())


def test_draws_of_cases(shapes):
    cases = [draws.draw_case(shape, 1, number, place)
             for number, shape in enumerate(shapes["paper"][:5] + shapes["lif"][:5])
             for place in range(40)]
    assert {case.limits for case in cases} == {None, "lowest", "highest", "zero"}
    assert {case.values for case in cases} == set(VALUES)
    assert any(case.interrupt for case in cases) and any(case.stall for case in cases)
    assert all(1 <= length <= case.shape.length for case in cases for length in case.lengths)
    assert any(len(case.lengths) > 1 for case in cases) and any(1 in c.lengths for c in cases)
    assert all(sum(case.lengths) * draws.cycles_per_step(case.shape) < 2 * draws.CYCLES
               or len(case.lengths) == 1 for case in cases)


def test_a_case_from_before_there_were_kinds():
    row = tiny().to_dict()
    del row["shape"]["kind"], row["shape"]["spread"]
    assert Case.from_dict(row) == tiny() and shapes_of.is_shape(row["shape"])


@each
def test_equal_and_alive(kind):
    outcome = trial.run_slowly(tiny(kind))
    assert outcome.first is None and outcome.alive
    assert (outcome.steps, outcome.spikes) == (11, 11 * 3 * (2 - (kind in ("glu", "gsu"))))


@pytest.mark.parametrize("kind, place", [
    ("glu", (cells.Step, "build", "lambda y: y > 0", "lambda y: y > -1")),
    ("gsu", (ternary.Ternary, "elaborate", "Mux(z[g] < 0, -1, 1)", "1")),
    ("lif", (membrane.Membrane, "build", "Mux(s, u - theta if reset else 0, u)", "u"))])
def test_a_mutant_of_a_kind_is_seen(kind, place, monkeypatch):
    mutate(monkeypatch, *place)
    assert trial.run_slowly(tiny(kind)).first


@each
def test_minimising_goes_to_the_simplest(shapes, kind):
    of = KINDS[kind]
    for number, shape in enumerate(shapes[kind][:8]):
        case = draws.draw_case(shape, 1, number, 0)
        small = minimise(case, lambda cases: cases[0], seconds=60)
        assert small.shape.options == {name: values[0] for name, values in of.options.items()}
        assert small.shape.formats == of.usual({}) and small.lengths == [1]
        assert (small.shape.layers, small.shape.H, small.shape.lanes) == (1, 1, 1)
        assert small.shape.n == min(of.modes) and small.shape.random == RandomFormat().to_dict()
        assert not list(c for c in candidates(small) if c.shape.broken_rule() is None)


def test_minimising_keeps_what_matters_and_nothing_else():
    case = tiny()
    big = replace(case.shape, H=12, n=2, lanes=4, layers=3, length=40,
                  options=case.shape.options | {"sampling": "systematic"})
    case = replace(case, shape=big, lengths=[9, 30, 4, 7], stall=0.5, interrupt=99,
                   stress=0.2, limits="highest", values="random")

    def failing(cases: list[Case]) -> Case | None:
        return next((c for c in cases if c.shape.H >= 3 and c.stall > 0 and max(c.lengths) >= 5
                     and c.shape.layers >= 2), None)
    small = minimise(case, failing, seconds=60)
    assert small.shape.H == 3 and small.shape.layers == 2 and small.lengths == [5]
    assert (small.stall, small.interrupt, small.stress, small.limits) == (0.5, 0, 0.0, None)
    assert (small.shape.n, small.shape.lanes, small.shape.length) == (1, 1, 5)
    assert small.shape.options["residual"] == "none"
    assert small.shape.formats == KINDS["paper"].usual({})
    assert (small.seed, small.master, small.values) == (1, 1, "lowest")


def test_minimising_ends_in_time():
    assert minimise(tiny(), lambda cases: cases[0], seconds=0) == tiny()


def test_minimising_moves_a_reset():
    """Which comes at one moment, another one for each shape."""
    shape = replace(tiny().shape, H=12, lanes=4, layers=3)
    case, asked = replace(tiny(), shape=shape, interrupt=150), []

    def failing(cases: list[Case]) -> Case | None:
        asked.append(len(cases))
        return next((c for c in cases if c.interrupt == 10 * c.shape.H + 30), None)
    small = minimise(case, failing, seconds=60)
    assert (small.shape.H, small.shape.layers, small.interrupt) == (1, 1, 40)
    assert {1, 150} <= {*asked} and asked[-1] <= 40
