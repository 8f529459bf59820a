"""Fuzzing: what is seen, what is kept, how a run goes on; test_fuzz_draws.py has the draws."""

import json
from dataclasses import replace

import pytest

from golden.base.cli import FAULT
from rtl.parts.config import HardwareError
from sim import fuzz, tools
from sim.fuzzing import draws, trial
from tests.sim.tiny import tiny
from tests.test_mutants import TEXT_MUTANTS, mutate

KEPT = sorted(fuzz.REGRESSIONS.glob("*.json"))


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


def test_groups_cover_all_cases():
    found = fuzz.groups(60, seed=9, per_shape=25, kinds=["glu", "lif"])
    assert [(group.number, group.count, group.kind) for group in found] == [
        (0, 25, "glu"), (1, 25, "lif"), (2, 10, "glu")]
    assert {case.shape.kind for case in found[1].cases()} == {"lif"}


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
    monkeypatch.setattr(draws, "draw_shape", lambda seed, number, kind: tiny(kind).shape)
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
    assert {kind: row["cases"] for kind, row in report["by_kind"].items()} == {
        "paper": 2, "glu": 1, "gsu": 0, "lif": 0}
    assert all(report["by_kind"][kind]["spikes"] == report["by_kind"][kind]["steps"] * spikes
               for kind, spikes in (("paper", 2 * 3), ("glu", 3)))
    captured = capsys.readouterr()
    assert "seed 1: 3 cases of 2 shapes, 1 shapes are done" in captured.err
    assert "glu: 1 cases" in captured.out and "0 failed" in captured.out
    assert not (tmp_path / "kept").exists()


@pytest.mark.cosim
def test_a_broken_core_is_found_made_small_and_kept(small_run, tmp_path, monkeypatch, capsys):
    """Minimising in Amaranth's simulator, for time."""
    monkeypatch.setattr(fuzz, "differences", lambda cases: [
        trial.run_slowly(case).first for case in cases])
    monkeypatch.setattr(fuzz, "MINIMISE_SECONDS", 5)
    monkeypatch.setattr(draws, "draw_case",
                        lambda shape, *rest: replace(tiny(shape.kind), stall=0.1))
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
    {"shape": {"H": 10 ** 9}}, {"shape": {"lanes": "2"}}, {"shape": {"act": "tanh"}},
    {"shape": {"kind": "lif"}}, {"shape": {"kind": []}}, {"shape": {"spread": 1}},
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
