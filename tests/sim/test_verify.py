"""``python -m sim.verify`` on a small core: the report, going on, a difference."""

import json

import pytest

from golden.base import made
from quant.integer import artifact
from sim import campaign, tools, verify
from tests.sim.test_campaign import ART, TASK, wrong_expected

pytestmark = pytest.mark.cosim
STEPS = 12 + 1 + 7 + 12 + 3 + 9


@pytest.fixture
def args(tmp_path, monkeypatch):
    artifact.save(ART, tmp_path / "artifact")
    monkeypatch.setattr(campaign, "PART", 2)
    (tmp_path / "build" / "sim").mkdir(parents=True)
    for name in ("native", "runtime"):      # what is compiled is shared with other tests
        tools.build_folder(name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "build" / "sim" / name).symlink_to(tools.build_folder(name))
    monkeypatch.setenv("SPIKESSM_BUILD", str(tmp_path / "build"))
    return ["--task", TASK, "--lanes", "2", "--artifact", str(tmp_path / "artifact"), "--jobs", "1",
            "--report", str(tmp_path / "report")]


def test_report(args, tmp_path, capsys):
    assert verify.main(args) == 0
    row = json.loads((tmp_path / "report" / "tests.sim.task-Tiny.verify.json").read_text())
    assert row["equal"] and (row["sequences"], row["test_set"], row["steps"]) == (6, 6, STEPS)
    assert row["spikes_compared"] == 2 * 2 * 4 * STEPS and row["mismatches"] == 0
    assert row["predicted_cycles"] == row["simulated_cycles"] > STEPS
    assert 1 << 20 < row["peak_memory_bytes"] < 2 << 30 and row["build_seconds"] > 0
    assert row["commit"] == made.commit() and row["cpu_seconds"] > row["simulation_cpu_seconds"]
    assert row["test_set_minutes_on_two_cores"] == pytest.approx(row["cpu_seconds"] / 120)
    text = (tmp_path / "report" / "tests.sim.task-Tiny.verify.md").read_text()
    assert "the complete test set" in text and "| verdict | equal |" in text
    assert text in capsys.readouterr().out


def test_goes_on(args, tmp_path, monkeypatch, capsys):
    compare = campaign.Comparer.compare

    def interrupt(self, start, *given):
        if start == 2:
            raise KeyboardInterrupt
        return compare(self, start, *given)
    monkeypatch.setattr(campaign.Comparer, "compare", interrupt)
    assert verify.main(args) == 130
    assert "goes on from here" in capsys.readouterr().err and not (tmp_path / "report").exists()
    starts = []

    def watch(self, start, *given):
        starts.append(start)
        return compare(self, start, *given)
    monkeypatch.setattr(campaign.Comparer, "compare", watch)
    assert verify.main(args) == 0 and 0 not in starts and 2 in starts
    assert "of them are done" in capsys.readouterr().err


def test_a_difference(args, monkeypatch, capsys):
    wrong_expected(monkeypatch, 0, 2, 3)
    assert verify.main([*args, "-n", "5"]) == 1
    captured = capsys.readouterr()
    assert "2 of 6 sequences" in captured.out and "DIFFERENT: sequence 0" in captured.out
    assert "first difference: sequence 0, layer 0, step 2, neuron 3, s_out" in captured.err


def test_two_at_once(args, tmp_path, monkeypatch, capsys):
    """The second one is refused while the first one goes on; another network has its own place."""
    compare, codes = campaign.Comparer.compare, []

    def second(self, start, *given):
        if not codes:
            codes.append(None)
            codes.extend([verify.main(args), verify.main([*args, "--seed", "5"])])
        return compare(self, start, *given)
    monkeypatch.setattr(campaign.Comparer, "compare", second)
    assert verify.main(args) == 0 and codes == [None, 2, 0]
    assert "belongs to another run that has not ended" in capsys.readouterr().err


def test_bad_input_is_one_line(args, capsys):
    assert verify.main([*args, "--seed", "0"]) == 2
    assert capsys.readouterr().err == "sim.verify: --seed 0: it must be in 1..4294967295\n"
