"""Fuzzing: what is drawn, what is seen, how it becomes small, what is kept."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from golden.base.cli import FAULT, UserError
from quant.integer.bounds import types_of
from golden.base.qformat import QFormat
from quant.formats import LayerFormats, RandomFormat
from quant.integer.synthetic import LIMITS
from rtl.parts.config import HardwareError
from rtl.core import Core
from sim import fuzz, tools
from sim.fuzzing import draws, trial
from sim.fuzzing.draws import Case, Shape
from sim.fuzzing.minimise import minimise
from tests.test_mutants import TEXT_MUTANTS, mutate

KEPT = sorted(fuzz.REGRESSIONS.glob("*.json"))
SHAPES = 40


@pytest.fixture(scope="module")
def shapes():
    return [draws.draw_shape(1, number) for number in range(SHAPES)]


def tiny() -> Case:
    """A case that saturates, ties and fires, small enough for Amaranth's simulator."""
    formats = LayerFormats().to_dict() | {"h": "SQ(2,12)", "drive": "SQ(2,12)"}
    edge = {"sample": "UQ(0,8)", "enc_w": "SQ(4,12)", "enc_b": "SQ(4,12)", "dec_w": "SQ(2,6)",
            "dec_b": "SQ(8,18)"}
    shape = Shape(lanes=2, layers=1, H=3, n=2, n_classes=2, length=6, vocab=0, act="relu",
                  residual="clampfuse", rounding="stochastic", sampling="bernoulli",
                  formats=formats, edge=edge, random=RandomFormat(k=4).to_dict())
    return Case(shape, seed=5, stress=0.3, limits=None, values="random", lengths=[6, 1, 4],
                master=77, stall=0.0, interrupt=0)


def test_draws_reach_every_option(shapes):
    for name, options in draws.ALLOWED.items():
        assert {getattr(shape, name) for shape in shapes} == set(options)
    assert {shape.layers for shape in shapes} == {1, 2, 3, 4, 5, 6}
    assert {QFormat.parse(shape.edge["sample"]).signed for shape in shapes if not shape.vocab} == \
        {False, True}
    assert {shape.vocab for shape in shapes} >= {0, 257}
    assert draws.LONGEST in {shape.length for shape in shapes}
    assert {bool(shape.vocab) for shape in shapes} == {False, True}
    assert {shape.random["centred"] for shape in shapes} == {False, True}
    assert all(4 <= shape.H <= 96 and 1 <= shape.n <= 16 for shape in shapes)
    assert min(shape.H for shape in shapes) <= 5 and max(shape.H for shape in shapes) >= 80
    assert {1} < {shape.length for shape in shapes} and len({s.lanes for s in shapes}) > 4


def test_the_stated_rules_are_what_the_components_refuse():
    """Neither wider nor narrower; a component that refuses more is found by the fuzz."""
    refused = {}
    for number in range(150):
        shape = draws._shape(np.random.default_rng([11, number]))
        rule = shape.broken_rule()
        try:
            Core(shape.base, shape.hw)
            for limits in LIMITS:
                types_of(shape.artifact(0, limits=limits))
        except UserError as error:
            assert rule, error
            refused[rule] = number
        else:
            assert rule is None, shape
    assert len(refused) >= 4, refused


@pytest.mark.parametrize("change, rule", [
    ({"lanes": 5}, "lanes divide"), ({"act": "gelu"}, "options are in ALLOWED"),
    ({"length": 1 << 20}, "streams fit"), ({"sampling": "sobol", "length": 40}, "Sobol"),
    ({"vocab": 3}, "sample format or a vocabulary"), ({"formats": {"w": "SQ(0,0)"}}, "no room"),
    ({"formats": {"a_bar": "SQ(1,8)"}}, "rounded at random"),
    ({"formats": {"g": "SQ(2,40)"}}, "g is no finer"),
    ({"formats": {"h": "SQ(40,12)"}}, "sums have 64 bits"),
    ({"formats": {"x": "SQ(6,9)"}}, "x SQ.6,9. must have the 12 fraction bits"),
    ({"edge": {"dec_w": "SQ(40,6)"}}, "a logit has 48 bits"),
    ({"edge": {"enc_w": "SQ(4,3)"}}, "encoder's product"),
    ({"edge": {"dec_b": "SQ(8,17)"}}, "decoder's bias"),
    ({"sampling": "systematic", "formats": {"h": "SQ(2,0)", "drive": "SQ(2,0)"}}, "systematic")],
    ids=str)
def test_every_rule(change, rule):
    shape = tiny().shape
    assert shape.broken_rule() is None
    change = {name: getattr(shape, name) | value if isinstance(value, dict) else value
              for name, value in change.items()}
    assert re.search(rule, replace(shape, **change).broken_rule())


def test_a_refusal_of_an_allowed_shape_fails_the_trial(small_run, monkeypatch, tmp_path, capsys):
    """With the component's message; the case is made small by the rules, not by the component."""
    def refuses(art, hw):
        raise HardwareError(f"{len(art.blocks)} layers of {art.H} neurons are too many")
    monkeypatch.setattr(trial, "Core", refuses)
    monkeypatch.setattr(fuzz.tools, "verilator", lambda: None)
    assert fuzz.main([*small_run, "-n", "1"]) == 1
    assert "could not be built: HardwareError: 1 layers of 3 neurons" in capsys.readouterr().err
    found, = (json.loads(path.read_text()) for path in (tmp_path / "kept").glob("*.json"))
    assert found["case"]["shape"]["H"] == 1 and "1 layers of 1 neurons" in found["first"]


def test_draws_of_cases(shapes):
    cases = [draws.draw_case(shape, 1, number, place) for number, shape in enumerate(shapes[:10])
             for place in range(40)]
    assert {case.limits for case in cases} == {None, "lowest", "highest", "zero"}
    assert {case.values for case in cases} == set(draws.VALUES)
    assert any(case.interrupt for case in cases) and any(case.stall for case in cases)
    assert all(1 <= length <= case.shape.length for case in cases for length in case.lengths)
    assert any(len(case.lengths) > 1 for case in cases) and any(1 in c.lengths for c in cases)
    assert all(sum(case.lengths) * draws.cycles_per_step(case.shape) < 2 * draws.CYCLES
               or len(case.lengths) == 1 for case in cases)


def test_descriptions_make_the_same_case():
    case = draws.draw_case(draws.draw_shape(1, 3), 1, 3, 7)
    again = Case.from_dict(json.loads(json.dumps(case.to_dict())))
    assert again == case == draws.draw_case(draws.draw_shape(1, 3), 1, 3, 7)
    assert [v.tolist() for v in again.sequences] == [v.tolist() for v in case.sequences]
    assert draws.draw_case(draws.draw_shape(2, 3), 2, 3, 7) != case


def test_groups_cover_all_cases():
    found = fuzz.groups(60, seed=9, per_shape=25)
    assert [(group.number, group.count) for group in found] == [(0, 25), (1, 25), (2, 10)]


def test_equal_and_alive():
    outcome = trial.run_slowly(tiny())
    assert outcome.first is None and outcome.alive
    assert (outcome.steps, outcome.spikes) == (11, 11 * 2 * 3)


@pytest.mark.parametrize("mutant", ["upper limit off by one", "draws of a step too few"])
def test_a_mutant_is_seen(mutant, monkeypatch):
    mutate(monkeypatch, *TEXT_MUTANTS[mutant][:-1])
    assert trial.run_slowly(tiny()).first


def test_a_wrong_prediction_is_seen(monkeypatch):
    right = trial.predict
    monkeypatch.setattr(trial, "predict", lambda *given: replace(
        right(*given), results=[time + 1 for time in right(*given).results]))
    assert "cycle of the result" in trial.run_slowly(tiny()).first
    assert trial.run_slowly(replace(tiny(), stall=0.3)).first is None


def test_minimising_keeps_what_matters_and_nothing_else():
    big = replace(tiny().shape, H=12, n=2, lanes=4, layers=3, length=40, sampling="systematic")
    case = replace(tiny(), shape=big, lengths=[9, 30, 4, 7], stall=0.5, interrupt=99,
                   stress=0.2, limits="highest", values="random")

    def fails(c: Case) -> bool:
        return c.shape.H >= 3 and c.stall > 0 and max(c.lengths) >= 5 and c.shape.layers >= 2
    small = minimise(case, fails, seconds=60)
    assert small.shape.H == 3 and small.shape.layers == 2 and small.lengths == [5]
    assert (small.stall, small.interrupt, small.stress, small.limits) == (0.5, 0, 0.0, None)
    assert (small.shape.n, small.shape.lanes, small.shape.length) == (1, 1, 5)
    assert small.shape.residual == "none" and small.shape.formats == LayerFormats().to_dict()
    assert (small.seed, small.master, small.values) == (1, 1, "lowest")


def test_minimising_ends_in_time():
    assert minimise(tiny(), lambda c: True, seconds=0) == tiny()


def kept(simulator: str):
    """The kept cases that this simulator shows."""
    paths = [path for path in KEPT if json.loads(path.read_text())["simulator"] == simulator]
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


@kept("amaranth")
def test_kept_cases_pass(path):
    assert fuzz.replay(path) is None


@pytest.mark.cosim
@kept("native")
def test_kept_cases_that_need_a_build_pass(path):
    assert fuzz.replay(path) is None


def test_every_kept_case_is_replayed():
    assert {json.loads(path.read_text())["simulator"] for path in KEPT} == {"amaranth", "native"}


@pytest.fixture
def small_run(monkeypatch, tmp_path):
    """A fuzz run of two tiny groups."""
    real = tools.build_folder       # of builds, which stay where they are
    monkeypatch.setattr(tools, "build_folder", lambda first, *more: (
        tmp_path.joinpath(first, *more) if first == "fuzz" else real(first, *more)))
    monkeypatch.setattr(draws, "draw_shape", lambda seed, number: tiny().shape)
    return ["-n", "3", "--per-shape", "2", "--jobs", "1", "--keep", str(tmp_path / "kept")]


@pytest.mark.cosim
def test_command_and_resuming(small_run, tmp_path, monkeypatch, capsys):
    run_group, numbers = fuzz.run_group, []

    def interrupt(group):
        if group.number == 1:
            raise KeyboardInterrupt
        return run_group(group)
    monkeypatch.setattr(fuzz, "run_group", interrupt)
    assert fuzz.main(small_run) == 130
    monkeypatch.setattr(fuzz, "run_group",
                        lambda group: numbers.append(group.number) or run_group(group))
    assert fuzz.main([*small_run, "--report", str(tmp_path / "report.json")]) == 0
    assert numbers == [1]
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["cases"], report["shapes"], report["failed"]) == (3, 2, [])
    assert report["spikes"] == report["steps"] * 2 * 3
    captured = capsys.readouterr()
    assert "seed 1: 3 cases of 2 shapes, 1 shapes are done" in captured.err
    assert "0 failed" in captured.out and not (tmp_path / "kept").exists()


@pytest.mark.cosim
def test_a_broken_core_is_found_made_small_and_kept(small_run, tmp_path, monkeypatch, capsys):
    """Minimising in Amaranth's simulator, for time."""
    monkeypatch.setattr(fuzz, "first_difference", lambda case: trial.run_slowly(case).first)
    monkeypatch.setattr(fuzz, "MINIMISE_SECONDS", 5)
    monkeypatch.setattr(draws, "draw_case", lambda shape, *rest: replace(tiny(), stall=0.1))
    with monkeypatch.context() as patch:
        mutate(patch, *TEXT_MUTANTS["upper limit off by one"][:-1])
        assert fuzz.main([*small_run, "-n", "2"]) == 1
        kept, = (tmp_path / "kept").glob("*.json")
        assert fuzz.main(["--replay", str(kept)]) == 1
    row = json.loads(kept.read_text())
    assert row["first"] and sum(row["case"]["lengths"]) < sum(tiny().lengths)
    assert "making it small" in capsys.readouterr().err
    assert fuzz.main(["--replay", str(kept)]) == 0


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"case": {"shape": 3}}'])
def test_bad_input_is_one_line(content, tmp_path, capsys):
    path = tmp_path / "case.json"
    if content is not None:
        path.write_text(content)
    assert fuzz.main(["--replay", str(path)]) == 2
    line, = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("sim.fuzz: ") and str(path) in line
    with pytest.raises(SystemExit):
        fuzz.main(["-n", "0"])


def test_a_fault_of_the_program_is_no_mistake_of_the_users(monkeypatch, capsys):
    monkeypatch.setattr(fuzz, "fuzz", lambda args: {}["missing"])
    assert fuzz.main(["-n", "1"]) == FAULT
    assert "KeyError: 'missing'" in capsys.readouterr().err


@pytest.mark.parametrize("change", [
    {"seed": -1}, {"seed": 1.0}, {"stress": 2}, {"stress": None}, {"limits": "none"},
    {"limits": 1}, {"lengths": []}, {"lengths": [4096]},
    {"values": 3}, {"lengths": 5}, {"lengths": [0]}, {"lengths": [10 ** 9]}, {"master": 0},
    {"stall": 1.0}, {"interrupt": 10 ** 9}, {"more": 1}, {"shape": []},
    {"shape": {"H": 10 ** 9}}, {"shape": {"lanes": "2"}}, {"shape": {"act": "gelu"}},
    {"shape": {"formats": {"w": 3}}}, {"shape": {"random": {}}}, {"shape": {"lanes": 5}}], ids=str)
def test_a_kept_case_that_was_edited_is_one_line(change, tmp_path, capsys):
    case = tiny().to_dict()
    if isinstance(change.get("shape"), dict):
        change = {"shape": case["shape"] | change["shape"]}
    path = tmp_path / "case.json"
    row = {"found": "", "first": None, "simulator": "amaranth", "case": case}
    path.write_text(json.dumps(row | {"case": case | change}))
    assert fuzz.main(["--replay", str(path)]) == 2
    line, = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"sim.fuzz: {path} is not a kept case")
