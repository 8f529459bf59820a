"""The attack sees every fault that it looks for, repeats its cases, and finds none in our readers.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench.attack import __main__ as MODULE
from bench.attack import arrays, judge, report
from bench.attack.judge import Attack
from bench.attack.target import KINDS, Harm, Target, facts, targets
from golden.base import cli
from golden.tasks import make_task
from quant.integer import artifact

FILE = "number.txt"


def fail(error: Exception):
    raise error


def held() -> int:
    """Bytes that this process has."""
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])


# What a reader may do with a harmed file, and the verdict.
READERS = {
    "refused": lambda path: fail(cli.UserError(f"{path}: not a number; write it again")),
    "harmless": lambda path: 7,
    "silent": lambda path: 8,
    "warned": lambda path: print(f"{path} has no hash", file=sys.stderr) or 8,
    "lines": lambda path: fail(cli.UserError(f"{path}:\nnot a number")),
    "traceback": lambda path: fail(KeyError(str(path))),
    "code": lambda path: make_task("planted:Task") and 7,
    "time": lambda path: time.sleep(30),
    "memory": lambda path: np.ones(600 << 17) is None,
    "crash": lambda path: os.kill(os.getpid(), signal.SIGKILL),
}


def planted(reader, free: bool = False) -> Target:
    """A target whose file holds 7, until it is harmed: then ``reader(path)`` reads it."""
    def harm(rng, folder) -> Harm:
        (folder / FILE).write_text(str(rng.integers(100, 200)))
        return Harm("another number", free)

    def read(folder):
        path = folder / FILE
        return 7 if path.read_text() == "7" else reader(path)
    return Target("planted", lambda folder: (folder / FILE).write_text("7"), harm, read)


def outcome(tmp_path, *given) -> judge.Outcome:
    attack = Attack.prepared("artifact", [planted(*given)], tmp_path)
    found, = MODULE.run(attack, 1, [3])
    assert found.harm == "another number" and not list(tmp_path.glob("tmp*"))
    return found


@pytest.mark.parametrize("verdict", READERS)
def test_every_verdict(verdict, tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "SECONDS", 0.5 if verdict == "time" else 20)
    monkeypatch.setattr(judge, "MEMORY", held() + (300 << 20))
    found = outcome(tmp_path, READERS[verdict])
    assert found.verdict == verdict, found
    assert found.passed == (verdict in ("refused", "harmless", "warned")) and found.where
    assert "planted" not in sys.modules


def test_what_a_file_means_is_valid(tmp_path):
    assert outcome(tmp_path, READERS["silent"], True).verdict == "valid"


def test_a_refusal_that_does_not_say_where(tmp_path):
    found = outcome(tmp_path, lambda path: fail(cli.UserError("bad input")))
    assert found.verdict == "refused" and not found.where
    assert report.summary([found], 1, 1, 0.0)["unnamed"] == [found.to_dict()]


def test_a_fault_of_the_attack_is_no_verdict(tmp_path):
    target = Target("planted", lambda folder: None, lambda rng, folder: 1 // 0, lambda folder: 7)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        MODULE.run(Attack.prepared("artifact", [target], tmp_path), 1, [0])


def test_facts_tell_values_apart():
    values = [1, 1.0, True, "1", None, [1], (1,), {"0": 1}, np.array(1), np.array([1]),
              np.array([1], np.int8), float("nan"), "x" * 300, "x" * 299 + "y"]
    found = [facts(value) for value in values]
    assert all(a != b for k, a in enumerate(found) for b in found[:k])
    assert [facts(value) for value in values] == found


@pytest.mark.parametrize("kind", KINDS)
def test_cases_of_each_kind(kind, tmp_path):
    """The same twice, and nothing gets through."""
    attack = MODULE.prepared(kind, tmp_path)
    found = MODULE.run(attack, 1, list(range(12)))
    assert not [report.line(one) for one in found if not one.passed]
    again = MODULE.run(attack, 1, [9, 4], jobs=2)
    assert [(one.case, one.target, one.harm, one.verdict) for one in again] == [
        (one.case, one.target, one.harm, one.verdict) for one in (found[4], found[9])]
    names = {attack.targets[attack.draw(1, k)[0]].name for k in range(400)}
    assert names == {target.name for target in targets(kind)}


def test_a_fault_in_a_true_reader_is_seen(tmp_path, monkeypatch, capsys, command):
    """Without the artifact's digest a changed number is silent: the command says so, exit code 1.
    """
    path = tmp_path / "report.json"
    with monkeypatch.context() as planted_fault:
        planted_fault.setattr(artifact, "_sha256", lambda content, arrays: "0" * 64)
        assert command("--kind", "artifact", "-n", 60, "--json", path) == cli.DIFFERENT
        through = json.loads(path.read_text())["through"]
        row = next(row for row in through if row["verdict"] == "silent")
        assert row["harm"] in capsys.readouterr().err
        assert row["command"] == f"python -m bench.attack --kind artifact --case {row['case']}"
        assert command(*row["command"].split()[3:]) == cli.DIFFERENT
        assert "verdict: silent" in capsys.readouterr().out
    assert command(*row["command"].split()[3:]) == 0


def test_a_case_needs_its_kind(command, capsys):
    assert command("--case", 3) == cli.MISTAKE
    assert "give --kind too" in capsys.readouterr().err


def test_a_kind_twice_is_one(command, tmp_path):
    path = tmp_path / "report.json"
    assert command("--kind", "kept", "--kind", "kept", "-n", 1, "--json", path) == 0
    assert json.loads(path.read_text())["kinds"]["kept"]["cases"] == 1


def test_a_missing_page_is_said_at_once(command, tmp_path, capsys):
    report_path, page = tmp_path / "report.json", tmp_path / "none.md"
    assert command("--kind", "kept", "-n", 1, "--json", report_path, "--page", page) == cli.MISTAKE
    assert "none.md" in capsys.readouterr().err and not report_path.exists()


def test_the_table_of_a_page(tmp_path):
    found = outcome(tmp_path, READERS["silent"])
    result = report.summary([found], 1, 7, 90.0)
    page = report.fill("# A\n\n<!-- table: attack -->\nold\n<!-- end -->\nbehind\n", result)
    assert "SEED=7" in page and "old" not in page and page.endswith("<!-- end -->\nbehind\n")
    assert "| artifact | 1 | 0 | 0 | 0 | 0 | 1 |" in page
    assert report.fill(page, result) == page
    assert "silent" in report.faults(result) and found.harm in report.faults(result)


def test_a_bomb_is_a_whole_file(monkeypatch):
    """Small ones unpack without an error to what they claim."""
    monkeypatch.setattr(arrays, "HUGE", 2 * arrays.PIECE)
    arrays.deflated.cache_clear()
    head = arrays._header(
        f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({arrays.HUGE},), }}")
    raw = arrays.with_bomb(arrays.packed({"a": np.arange(3)}), "b.npy", head)
    arrays.deflated.cache_clear()
    assert len(raw) < 1 << 18
    found = arrays.unpacked(raw)
    assert found["a"].tolist() == [0, 1, 2] and found["b"].nbytes == arrays.HUGE
    assert not found["b"].any()


def test_the_page_shows_the_last_run():
    docs = Path(__file__).resolve().parents[2] / "docs"
    result = json.loads((docs / "results" / "attack.json").read_text())
    page = (docs / "attacks.md").read_text()
    assert report.fill(page, result) == page
