"""The comparison of sampling forms: what it measures, what it keeps, what it refuses."""

import json

from bench import sampling_forms
from golden import checkpoint

MODULE = sampling_forms


def test_every_form_is_judged_by_itself():
    rows = sampling_forms.accuracies(checkpoint.load("digits"), None, 60, 2)
    assert list(rows) == list(sampling_forms.FORMS)
    for row in rows.values():
        assert len(row["single"]) == 2 and all(0.8 < x <= 1 for x in row["single"])
        assert 0.8 < row["votes"] <= 1
    assert len({str(row) for row in rows.values()}) > 1     # the draws differ, hence some answers


def test_networks_are_kept_and_shown(tmp_path, command, monkeypatch, capsys):
    trained = []

    def run(name, args):
        trained.append(name)
        return {form: {"single": [0.5, 0.75], "votes": 0.875} for form in sampling_forms.FORMS}
    monkeypatch.setattr(sampling_forms, "run", run)
    path = tmp_path / "results.json"
    for names in (["none, sobol"], ["none, sobol", "clampfuse, bernoulli"]):
        options = [x for name in names for x in ("--network", name)]
        assert command("--json", path, "--seeds", 2, *options) == 0
    assert trained == ["none, sobol", "clampfuse, bernoulli"]
    assert list(json.loads(path.read_text())["networks"]) == trained
    capsys.readouterr()
    assert command("--json", path, "--show") == 0
    out = capsys.readouterr().out
    assert "62.50" in out and "87.50" in out and len(trained) == 2
    assert command("--json", path, "--seeds", 3) == 2
    assert "is of 2 seeds, not 3" in capsys.readouterr().err
    assert command("--json", tmp_path / "none.json", "--show") == 2
