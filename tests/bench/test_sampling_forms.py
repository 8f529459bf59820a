"""The comparison of sampling forms: what it measures, what it keeps, what it refuses."""

import json

from bench import kept, sampling_forms
from golden import checkpoint

MODULE = sampling_forms


def test_every_form_is_judged_by_itself():
    rows = sampling_forms.accuracies(checkpoint.load("digits"), None, 60, 2)
    assert list(rows) == list(sampling_forms.FORMS)
    for row in rows.values():
        assert len(row["single"]) == 2 and all(0.8 < x <= 1 for x in row["single"])
        assert 0.8 < row["votes"] <= 1
    assert len({str(row) for row in rows.values()}) > 1     # the draws differ, hence some answers


def test_networks_are_kept_and_shown(tmp_path, no_data, command, monkeypatch, capsys):
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
    assert "was made with 2 seeds, not 3" in capsys.readouterr().err
    assert command("--json", tmp_path / "none.json", "--show") == 2


def test_networks_are_trained_once_and_judged_later(tmp_path, no_data, command, monkeypatch,
                                                    capsys):
    begun = []

    def train(task, recipe, folder, data_dir, resume, limit, device):
        assert resume and (recipe.network.residual, recipe.network.sampling) == ("none", "sobol")
        begun.append(folder)
    monkeypatch.setattr(sampling_forms.train, "train", train)
    path = tmp_path / "results.json"
    assert command("--json", path, "--network", "none, sobol", "--sequences", 50, "--train") == 0
    last = kept.place(path, "none.sobol.50") / "last.pt"
    assert last.parent.name.endswith(".none.sobol.50") and last.parent.parent == tmp_path
    assert begun == [last.parent] and capsys.readouterr().out.strip() == str(last)
    assert not path.exists()
    monkeypatch.setattr(sampling_forms.checkpoint, "load", lambda path: path)
    monkeypatch.setattr(sampling_forms, "accuracies", lambda found, *rest: {
        form: {"single": [0.5] if found == last else [], "votes": 0.5} for form in
        sampling_forms.FORMS})
    assert command("--json", path, "--network", "none, sobol", "--sequences", 50) == 0
    row, = json.loads(path.read_text())["networks"].values()
    assert row["sobol"]["single"] == [0.5] and len(begun) == 2
