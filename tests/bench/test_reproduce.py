"""``make reproduce`` on the digits network in a psMNIST network's place."""

import json
import shutil

import pytest

from bench import kept as keeping
from bench import reproduce
from golden import checkpoint
from golden.base import made

MODULE = reproduce


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with one shipped network, its results elsewhere than the project's."""
    real = checkpoint.SHIPPED
    for end in (".pt", ".log.jsonl"):
        shutil.copy(real / f"digits{end}", tmp_path / f"psmnist.small{end}")
    (tmp_path / "digits.pt").touch()
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    monkeypatch.setenv("SPIKESSM_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(reproduce, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(reproduce, "SEEDS", 2)
    return tmp_path


def test_everything_is_measured_once_and_shown(place, command, monkeypatch, capsys):
    options = ["-n", 40, "--threads", 1, "--out", place / "figures"]
    assert command(*options) == 0
    out = capsys.readouterr().out
    assert "11,914" in out and "2 x 64" in out and "512" in out     # parameters, shape, sum of H n
    kept, = (place / "build" / "reproduce").glob("*.json")
    first = json.loads(kept.read_text())
    rows = first["accuracies"]
    assert list(rows) == ["float", "bernoulli test", "bernoulli val", "sobol val",
                          "systematic val"]
    assert first["made"]["commits"] == dict.fromkeys(rows, made.commit())
    assert all(len(x) == 2 and 0.7 < min(x) <= max(x) <= 1 for x in rows.values())
    names = sorted(path.name for path in (place / "figures").iterdir())
    assert names == ["psmnist.learning.png", "psmnist.neurons.png"]
    del rows["sobol val"]
    rows["float"] = [0.125, 0.125]
    first["made"]["sum"] = keeping._sum(first)
    kept.write_text(json.dumps(first))
    assert command(*options) == 0      # only what is missing
    again = json.loads(kept.read_text())["accuracies"]
    assert again["float"] == [0.125, 0.125] and len(again["sobol val"]) == 2
    assert "12.50 ± 0.00" in capsys.readouterr().out
    measured = []
    monkeypatch.setattr(reproduce.Measured, "floats", lambda self: measured.append(0) or [1, 1])
    monkeypatch.setattr(reproduce.Measured, "integers", lambda self, *what: measured.append(what)
                        or [0.25, 0.5])
    monkeypatch.setattr(made, "by", lambda kind: "other sources")
    assert command(*options) == 0 and len(measured) == 5, "all of it, by other sources"
    assert len(list(kept.parent.glob("*.json"))) == 2, "what the first ones found stays"


def test_tables_of_choices_come_from_the_results(place, monkeypatch, capsys):
    (place / "results").mkdir()
    row = {"parameters": 777, "train": 0.5, "validation": 0.25, "cpu_s": 3}
    (place / "results" / "psmnist.ablation.json").write_text(json.dumps(
        {"sequences": 100, "rows": {"base": row, "2 blocks of 16": row}}))
    reproduce.choices()
    captured = capsys.readouterr()
    assert "777" in captured.out and "2 blocks of 16" in captured.out
    assert "psmnist.sampling.json does not exist" in captured.err
    path, *_ = reproduce.curves.write({}, place / "results" / "psmnist.ablation.json",
                                      place / "figures")
    other, *_ = reproduce.curves.write({}, place / "none.json", place / "other")
    assert path.read_bytes() != other.read_bytes()          # the points are drawn


def test_unknown_network(place, command, capsys):
    assert command("--network", "psmnist.huge") == 2
    assert "no network psmnist.huge is shipped; there are psmnist.small" in capsys.readouterr().err
