"""After a change of a source nothing that it made is used again: builds, verify, fuzz; two runs."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from golden.base import made
from quant.integer import artifact
from rtl.core import Core
from sim import campaign, fuzz, tools
from sim.benches import runner
from sim.native import program
from tests.sim.test_campaign import ART, HW

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("golden", "quant", "rtl", "sim")


def command(module, *arguments, root=ROOT, **options) -> subprocess.Popen:
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen([sys.executable, "-m", module, *map(str, arguments)], cwd=root,
                            env=os.environ | {"PYTHONPATH": ":".join(paths)}, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


@pytest.fixture
def tree(tmp_path):
    """A copy of the sources that shares the builds of this one, and arguments for its Tiny task."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns(
            "__pycache__", "checkpoints"))
    (tmp_path / "tests" / "sim").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "sim" / "task.py", tmp_path / "tests" / "sim")
    (tmp_path / "build" / "sim").mkdir(parents=True)
    for name in ("native", "runtime"):
        tools.build_folder(name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "build" / "sim" / name).symlink_to(tools.build_folder(name))
    artifact.save(ART, tmp_path / "artifact")
    return tmp_path, ["--task", "tests.sim.task:Tiny", "--lanes", 2, "--jobs", 1,
                      "--artifact", tmp_path / "artifact"]


def report(root) -> dict:
    path, = (root / "build" / "sim").glob("*/*.verify.json")
    return json.loads(path.read_text())


@pytest.mark.cosim
def test_verify_after_the_reference_was_broken(tree):
    """The issue's own case: it said "equal" and simulated nothing."""
    root, args = tree
    first = command("sim.verify", *args, root=root)
    out, err = first.communicate(timeout=600)
    assert first.returncode == 0, err
    assert "| verdict | equal |" in out and report(root)["equal"]
    broken = root / "quant" / "integer" / "reference.py"
    text = broken.read_text()
    assert text.count("return total @ art.decoder_w.raw.T") == 1
    broken.write_text(text.replace("return total @", "return 1 + total @"))
    again = command("sim.verify", *args, root=root)
    out, err = again.communicate(timeout=600)
    assert again.returncode == 1 and "DIFFERENT, first difference: sequence 0, logits[0]" in err
    assert "parts of other sources, libraries, hardware or sequences: they stay there" in err
    assert not report(root)["equal"] and len(list(root.glob("build/sim/*/verify-*.jsonl"))) == 2


@pytest.fixture
def others(monkeypatch):
    """``others(kind)``: results of a kind are now made by other sources."""
    right = made.by

    def change(kind):
        monkeypatch.setattr(made, "by", lambda of: "others" if of == kind else right(of))
    return change


def test_the_verilog_is_made_again(others, monkeypatch, tmp_path):
    made_of = []
    monkeypatch.setattr(tools, "build_folder", tmp_path.joinpath)
    monkeypatch.setattr(campaign.verilog, "convert", lambda core, **options: made_of.append(
        core) or f"module core; // {len(made_of)}\n")
    core = Core(ART, HW)
    assert campaign.source_of(core) == campaign.source_of(core) == "module core; // 1\n"
    others("verilog")
    assert campaign.source_of(core) == "module core; // 2\n"
    kept = sorted((tmp_path / "verilog").glob("*/core.v"), key=lambda path: path.read_text())
    for damage in ("", "module other;\n", "\udcff"):
        kept[1].write_text(damage, errors="surrogateescape")
        count = len(made_of)
        assert campaign.source_of(core) == f"module core; // {count + 1}\n", "a damaged one too"


@pytest.mark.parametrize("kind, build", [
    ("native build", lambda core: program.build(core, source="module core;\n")),
    ("cocotb build", lambda core: runner.build(core, "core", "module core;\n"))],
    ids=["native", "cocotb"])
@pytest.mark.parametrize("change", ["sources", "compiler"])
def test_programs_are_built_again(kind, build, change, others, monkeypatch):
    class Asked(Exception):
        pass

    def folder() -> Path:
        with pytest.raises(Asked) as found:
            build(core)
        return found.value.args[0]

    def cached(folder, build):
        raise Asked(folder)
    monkeypatch.setattr(tools, "cached", cached)
    core = Core(ART, HW)
    first = folder()
    assert folder() == first
    if change == "sources":
        others(kind)
    else:
        monkeypatch.setattr(tools, "compiler", lambda: "g++ 99")
    assert folder() != first


def test_a_damaged_build_is_made_again(monkeypatch, tmp_path):
    asked = []

    def cached(folder, build):
        asked.append(folder.exists())
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sim").touch()
        (folder / "cost.json").write_text('{"tracks": 0, "seconds": 1.5, "cpu_seconds": 1}')
        return folder
    monkeypatch.setattr(tools, "build_folder", tmp_path.joinpath)
    monkeypatch.setattr(tools, "cached", cached)
    core = Core(ART, HW)
    built = program.build(core, source="module core;\n")
    assert built.seconds == 1.5 and asked == [False]
    for text in ("", "{", '{"tracks": 0, "seconds": -1, "cpu_seconds": 1}', "[" * 100_000):
        (built.binary.parent / "cost.json").write_text(text)
        program.build(core, source="module core;\n")
    assert asked == [False] * 5
    program.build(core, source="module core;\n")
    assert asked[-1] is True


def test_a_fuzz_run_begins_again(others, monkeypatch, tmp_path, capsys):
    """Nor does an edited record of it count."""
    ran = []

    def run_group(group):
        ran.append(group.number)
        return {"number": group.number, "kind": group.kind, "cases": group.count, "failed": [],
                "steps": 3, "spikes": 12, "cycles": 40, "timed": 1, "alive": 1, "shape": "small",
                "seconds": 0.5}
    monkeypatch.setattr(tools, "build_folder", tmp_path.joinpath)
    monkeypatch.setattr(fuzz, "run_group", run_group)
    args = ["-n", "4", "--per-shape", "2", "--jobs", "1", "--report", str(tmp_path / "r.json")]
    assert fuzz.main(args) == fuzz.main(args) == 0 and ran == [0, 1]
    path, = (tmp_path / "fuzz").glob("seed1.*.jsonl")
    path.write_text(path.read_text().replace('"spikes": 12', f'"spikes": {10 ** 18}', 1))
    assert fuzz.main(args) == 0 and sorted(ran) == [0, 0, 1]
    assert "1 damaged lines are done again" in capsys.readouterr().err
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["spikes"] == 24 and found["commit"] == made.commit()
    others("comparison")
    assert fuzz.main(args) == 0 and len(ran) == 5
    assert "has those of other sources, of which nothing is taken" in capsys.readouterr().err


BAD = [("start", -32), ("start", 1), ("start", 10 ** 6), ("stop", 7), ("steps", 10 ** 9),
       ("spikes", 10 ** 18), ("spikes", 704.0), ("signatures", 0), ("mismatches", 1),
       ("mismatches", -1), ("first", "sequence 0, s_in"), ("labels", [0]), ("labels", "012012"),
       ("labels", [0, 1, 2, 0, 1, 1.5]), ("classes", [1]), ("predicted", 0), ("cpu_seconds", -1.0),
       ("cpu_seconds", float("inf")), ("memory", True), ("elapsed", None), ("commit", 7)]


@pytest.mark.parametrize("name, value", BAD, ids=str)
def test_a_part_that_cannot_be_true_is_done_again(name, value):
    lengths = np.array([12, 1, 7, 12, 3, 9])
    part = {"start": 0, "stop": 6, "steps": 44, "spikes": 2 * 2 * 4 * 44, "signatures": 88,
            "mismatches": 0, "first": None, "labels": [0, 1, 2, 0, 1, 2], "predicted": 9,
            "simulated": 9, "cpu_seconds": 1.0, "other_seconds": 0.0, "memory": 1,
            "elapsed": 0.0, "classes": [], "commit": None}
    assert campaign.fits(ART, lengths, 32, part)
    assert not campaign.fits(ART, lengths, 32, part | {name: value})
    assert not campaign.fits(ART, lengths, 32, part | {"more": 1})
    assert not campaign.fits(ART, lengths, 32, {key: part[key] for key in part if key != name})


@pytest.mark.parametrize("end", [None, KeyboardInterrupt, RuntimeError, SystemExit])
def test_a_bench_leaves_nothing_in_the_folder_of_runs(end, monkeypatch, tmp_path):
    """However it ends; what a kill left is removed by the next run, and a failure keeps its log."""
    def bench(self, test_dir, results_xml, log_file, **options):
        Path(log_file).write_text("printed")
        Path(test_dir, "sim.tmp").touch()
        Path(results_xml).write_text('<testsuites><testcase name="a"/></testsuites>')
        if end:
            raise end
    monkeypatch.setattr(tools, "build_folder", tmp_path.joinpath)
    monkeypatch.setattr(runner, "build", lambda *given: tmp_path)
    monkeypatch.setattr(runner.PortsOnlyVerilator, "test", bench)
    (tmp_path / "runs" / ".core.0123abcd.new").mkdir(parents=True)
    failure = {None: contextlib.nullcontext(), KeyboardInterrupt: pytest.raises(KeyboardInterrupt)
               }.get(end, pytest.raises(tools.SimError, match="stopped before the end"))
    with failure as found:
        runner.simulate(None, "bench", "core")
    assert list((tmp_path / "runs").iterdir()) == []
    if end in (RuntimeError, SystemExit):
        log = tmp_path / "failed" / "core.bench.log"
        assert log.read_text() == "printed" and f"whole log: {log}" in str(found.value)


@pytest.mark.cosim
def test_two_at_once_say_and_write_their_own(tmp_path):
    """With two numbers of lanes; the report they share is whole, and nothing is left behind."""
    artifact.save(ART, tmp_path / "artifact")
    runs = {lanes: command("sim", "--task", "tests.sim.task:Twin", "--lanes", lanes, "--artifact",
                           tmp_path / "artifact", "--json", tmp_path / f"{lanes}.json")
            for lanes in (2, 4)}
    for lanes, run in runs.items():
        out, err = run.communicate(timeout=600)
        assert run.returncode == 0, err
        row = json.loads((tmp_path / f"{lanes}.json").read_text())
        assert row["lanes"] == lanes and f", {lanes} lanes, seed " in out
        assert f"{row['simulated_cycles']:,}" in out and row["stress"]["equal"]
        assert re.search(r"^stress network, .* negations: equal$", out, re.M)
    folder = tools.build_folder("tests.sim.task-Twin")
    last = json.loads((folder / "report.json").read_text())
    assert last in [json.loads((tmp_path / f"{lanes}.json").read_text()) for lanes in runs]
    assert {path.name for path in folder.iterdir()} <= {"report.json", "report.json.lock"}
