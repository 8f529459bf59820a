"""Every command that reads an artifact refuses one of which a number was changed, in one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import host.__main__
import host.adapt
import quant.evaluate
import quant.upgrade
import rtl.axi
import rtl.boards.__main__
import rtl.check
import rtl.generate
import rtl.scale
import rtl.synth
import sim.__main__
import sim.utilisation
import sim.verify
from golden.base import cli
from golden.base.qformat import SQ
from quant.integer import artifact
from quant.integer.synthetic import random_artifact

ROOT = Path(__file__).resolve().parents[1]
TASK = ["--task", "tests.sim.task:Tiny"]
COMMANDS = {        # module: its options beside --artifact
    quant.evaluate: TASK, rtl.generate: ["--out", "OUT"], rtl.axi: ["--out", "OUT"], rtl.synth: [],
    rtl.check: [], rtl.scale: [], rtl.boards.__main__: ["--board", "ulx3s-12f"],
    sim.__main__: [*TASK, "-n", "1"], sim.verify: [*TASK, "-n", "1"], sim.utilisation: [],
    host.__main__: ["run", *TASK, "--port", "sim", "-n", "1"],
    host.adapt: ["--like", "GOOD", "--out", "OUT"], quant.upgrade: ["--out", "OUT"]}
READERS = {         # of artifacts: the commands, and what several of them share
    "quant/evaluate.py", "quant/upgrade.py", "rtl/axi.py", "rtl/boards/__main__.py",
    "rtl/check.py", "rtl/generate.py", "rtl/scale.py", "rtl/synth.py", "sim/inputs.py",
    "sim/utilisation.py", "sim/benches/tb_core.py", "host/adapt.py", "host/session.py",
    "bench/reproduce.py", "bench/attack/artifact.py"}


@pytest.fixture
def folders(tmp_path):
    """A good artifact, and the same with the last bit of one number the other way round."""
    art = random_artifact(1, n_layers=1, H=4, n=2, length=12, sample=SQ(1, 7))
    good, bad = (artifact.save(art, tmp_path / name) for name in ("good", "bad"))
    with np.load(bad / "arrays.npz") as stored:
        arrays = dict(stored)
    arrays["0.1.g_re"][0, 0] ^= 1
    np.savez_compressed(bad / "arrays.npz", **arrays)
    return good, bad


def assert_refused(main, arguments, folder, capsys):
    capsys.readouterr()
    try:
        code = cli.code("command", lambda: main(arguments))
    except SystemExit as end:
        code = end.code
    lines = capsys.readouterr().err.splitlines()
    assert code == 2 and len(lines) == 1, lines
    assert f"{folder} does not match its manifest's sha256: truncated or edited; export" in lines[0]


EDITS = {           # of a manifest: each was taken in silence once
    "a format": lambda m: m["blocks"][0][1].pop("h"), "an option": lambda m: m["blocks"][0][1].pop(
        "rounding"), "activation": lambda m: m["blocks"][0].pop(4),
    "seed": lambda m: m.update(seed=7), "taps": lambda m: m["random"].update(taps=[32, 2]),
    "k": lambda m: m["random"].update(k=4), "task": lambda m: m.update(task="../../x"),
    "permutation": lambda m: m.update(permutation="seed3"),
    "information": lambda m: m["info"].update(accuracy={"integer": 1.0})}


def commanded(module, folder, good, tmp_path) -> list[str]:
    options = [{"OUT": str(tmp_path / "out"), "GOOD": str(good)}.get(word, word)
               for word in COMMANDS[module]]
    return [*options, "--artifact", str(folder)]


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.__name__)
def test_a_changed_number_is_refused(module, folders, tmp_path, capsys):
    good, bad = folders
    assert_refused(module.main, commanded(module, bad, good, tmp_path), bad, capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.__name__)
def test_an_edited_manifest_is_refused(module, edit, folders, tmp_path, capsys):
    good, bad = folders
    shutil.copy(good / "arrays.npz", bad)
    m = json.loads((bad / "manifest.json").read_text())
    EDITS[edit](m)
    (bad / "manifest.json").write_text(json.dumps(m))
    assert_refused(module.main, commanded(module, bad, good, tmp_path), bad, capsys)
    assert not (tmp_path / "out").exists()


def test_the_other_artifacts_of_the_host_are_checked_too(folders, tmp_path, capsys):
    good, bad = (str(folder) for folder in folders)
    assert_refused(host.adapt.main, ["--artifact", good, "--like", bad, "--out",
                                     str(tmp_path / "out")], bad, capsys)
    assert_refused(host.__main__.main, ["run", *TASK, "--port", "sim", "-n", "1", "--artifact",
                                        good, "--built-for", bad], bad, capsys)


def test_no_command_is_left_out():
    """Whoever reads an artifact reads it through ``quant.integer.artifact.load``."""
    packages = ("golden", "quant", "rtl", "sim", "host", "bench")
    texts = {str(path.relative_to(ROOT)): path.read_text()
             for package in packages for path in (ROOT / package).rglob("*.py")}
    assert {name for name, text in texts.items() if "artifact.load(" in text} == READERS
    others = {name for name, text in texts.items() if "arrays.npz" in text}
    # the second harms them on purpose
    assert others == {"quant/integer/artifact.py", "bench/attack/artifact.py"}
