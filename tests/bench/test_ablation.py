"""Rows of the ablation: each builds, changes one thing, and is trained once."""

import json

import pytest

from bench import ablation
from golden.base import cli
from golden.model.network import Network

MODULE = ablation


@pytest.mark.parametrize("name", ablation.ROWS)
def test_a_row_builds_and_differs_from_the_base(name):
    recipe = ablation.recipe_of(name)
    assert Network(recipe.network).parameter_count() < 170_000
    if name not in ("base", "mean first"):
        assert len(recipe.differences(ablation.BASE.to_dict())) in (1, 2)


def test_rows_are_kept_and_shown(tmp_path, no_data, command, monkeypatch, capsys):
    trained = []

    def train(name, sequences, data_dir, mean, device):
        trained.append(name)
        return {"parameters": 1234, "train": 0.5, "validation": 0.25}
    monkeypatch.setattr(ablation, "run", train)
    path = tmp_path / "results.json"
    for rows in (["base"], ["base", "mean"]):
        options = [x for row in rows for x in ("--row", row)]
        assert command("--json", path, *options) == 0
    assert trained == ["base", "mean"]
    assert list(json.loads(path.read_text())["rows"]) == ["base", "mean"]
    capsys.readouterr()
    assert command("--json", path, "--show") == 0
    assert "1,234" in capsys.readouterr().out and len(trained) == 2


def test_the_mean_is_that_of_as_many_sequences(tmp_path, no_data, command, monkeypatch):
    """Results of 10 and of 20 sequences may lie in one folder; what one starts from is its own."""
    means = []

    def run(name, sequences, data_dir, mean, device):
        means.append(mean)
        return {"parameters": 1, "train": 0.5, "validation": 0.25}
    monkeypatch.setattr(ablation, "run", run)
    for n in (10, 20):
        assert command("--json", tmp_path / f"{n}.json", "--row", "mean", "--sequences", n) == 0
    assert len(set(means)) == 2


def test_refusals(tmp_path, no_data, command, capsys):
    path = tmp_path / "results.json"
    assert command("--json", path, "--show") == 2
    path.write_text(json.dumps({"sequences": 5, "rows": {}}))
    assert command("--json", path, "--row", "base") == 2
    assert "with 5 sequences, not 20000" in capsys.readouterr().err
    path.write_text("[" * 100_000)
    assert command("--json", path, "--show") == 2
    line, = capsys.readouterr().err.strip().splitlines()
    assert "results.json is damaged or was edited; measure again without --show" in line
    with pytest.raises(cli.UserError, match="mean"):
        ablation.run("mean first", 10, None, tmp_path / "mean.pt", None)
