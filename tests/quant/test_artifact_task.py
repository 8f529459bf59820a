"""An artifact knows its task and the order of its steps: no command runs it on others."""

import json
from dataclasses import replace

import pytest

import quant.evaluate
import quant.upgrade
import sim.__main__
from golden.tasks import make_task
from golden.tasks.base import whole
from host.__main__ import main as host
from quant.integer import artifact
from quant.integer.artifact import ArtifactError, digest, load, save
from quant.integer.synthetic import random_artifact

DIGITS = make_task("digits")
NET = replace(random_artifact(0, n_layers=1, H=4, n=2, n_classes=10, length=64,
                              sample=DIGITS.sample_format), task="digits", permutation="seed0")


@pytest.fixture
def folder(tmp_path):
    return save(NET, tmp_path / "digits")


COMMANDS = {"quant.evaluate": (quant.evaluate.main, []), "sim": (sim.__main__.main, ["-n", "1"]),
            "host": (host, ["run", "--port", "sim", "-n", "1"])}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("task, says", [
    ("digits:seed3", "its task is digits, the task's is digits:seed3"),
    ("digits:identity", "its task is digits, the task's is digits:identity"),
    ("psmnist", "its task is digits, the task's is psmnist")])
def test_another_task_is_refused(name, task, says, folder, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(type(make_task("psmnist")), "load", DIGITS.load)    # needs no data
    main, options = COMMANDS[name]
    try:
        code = main([*options, "--task", task, "--artifact", str(folder)])
    except ArtifactError as error:
        code, said = 2, f"{error}\n"
    else:
        said = capsys.readouterr().err
    assert code == 2 and says in said and said.count("\n") == 1
    assert "give another --artifact" in said


def test_another_permutation_is_refused(folder, capsys):
    """A task of the same name whose steps were in another order when the network was made."""
    save(replace(NET, permutation="seed3"), folder)
    assert quant.evaluate.main(["--task", "digits", "--artifact", str(folder), "-n", "2"]) == 2
    assert "its permutation is seed3, the task's is seed0" in capsys.readouterr().err


def test_its_own_task_is_run(folder):
    assert quant.evaluate.main(["--task", "digits", "--artifact", str(folder), "-n", "2"]) == 0


def test_parts_of_a_data_set_are_the_same_task():
    assert [whole(name) for name in ("listops:part", "sc10:8k-part", "sc10:8k", "digits:seed3",
                                     "pkg.mod:Depart")] == [
        "listops", "sc10:8k", "sc10:8k", "digits:seed3", "pkg.mod:Depart"]


def test_the_manifest_says_both(folder):
    m = json.loads((folder / "manifest.json").read_text())
    assert (m["schema"], m["task"], m["permutation"]) == (3, "digits", "seed0")
    assert "permutation" not in m["info"]
    back = load(folder)
    assert (back.task, back.permutation) == ("digits", "seed0")


def older(folder) -> dict:
    """The folder's manifest in the form of schema 2, and the same network's digest."""
    m = json.loads((folder / "manifest.json").read_text())
    content = {k: v for k, v in m.items() if k not in ("task", "permutation", "info", "sha256")}
    content["schema"] = 2
    arrays = artifact._arrays(NET)
    m = content | {"sha256": artifact._sha256(content, arrays), "task": "digits",
                   "info": {"permutation": m["permutation"]}}
    (folder / "manifest.json").write_text(json.dumps(m))
    return m


def test_schema_2_is_read_with_a_warning_and_written_anew(folder, capsys):
    older(folder)
    (folder / "vectors.npz").write_bytes(b"of the same network")
    art = load(folder)
    said = capsys.readouterr().err
    assert said.startswith("warning: ") and said.count("\n") == 1
    assert f"python -m quant.upgrade --artifact {folder}" in said
    assert (art.permutation, digest(art)) == ("seed0", digest(NET))
    assert quant.upgrade.main(["--artifact", str(folder)]) == 0
    said = capsys.readouterr()
    assert f"{digest(NET)}, task digits, permutation seed0: 1 layers of 4 neurons" in said.out
    assert digest(load(folder)) == digest(NET) and not capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["arrays.npz", "manifest.json",
                                                              "vectors.npz"]


@pytest.mark.parametrize("change", [lambda m: m.update(seed=7), lambda m: m["blocks"][0].pop(),
                                    lambda m: m.update(permutation="seed0")])
def test_schema_2_keeps_its_own_check(change, folder):
    m = older(folder)
    change(m)
    (folder / "manifest.json").write_text(json.dumps(m))
    with pytest.raises(ArtifactError, match="does not match its manifest's sha256"):
        load(folder)


def test_the_new_form_cannot_be_taken_for_the_old_one(folder):
    path = folder / "manifest.json"
    text = path.read_text()
    for schema in (1, 2):
        path.write_text(text.replace('"schema": 3', f'"schema": {schema}'))
        with pytest.raises(ArtifactError, match="does not match its manifest's sha256"):
            load(folder)
