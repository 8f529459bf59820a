"""What users rely on keeps its name: imports, commands, and the keys of files that are written."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sim.__main__
from golden.base import heap
from golden.tasks import Split, make_task
from quant import evaluate
from quant.integer import artifact
from quant.integer.synthetic import random_artifact
from sim import campaign
from sim.comparer import Part

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "Makefile", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"-m ((?:golden|quant|rtl|sim|host|bench|tests)(?:\.\w+)*)")
OWN_TASK = (ROOT / "docs" / "own-task.md").read_text()
# Third-party libraries once; then a process for each command, which has none of the project's
# modules yet: so `-W error` sees what `python -m` would, a module imported twice too.
HELP = """
import os, runpy, sys, warnings
import brevitas.nn, matplotlib.pyplot, numba, rich.table, scipy.signal, sklearn.datasets, torch
import amaranth.back.verilog, cocotb_tools.runner, tqdm
for name in sys.argv[1:]:
    sys.stdout.flush()
    child = os.fork()
    if not child:
        sys.argv, code = [name, "--help"], 1
        warnings.simplefilter("error")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
    status = os.waitpid(child, 0)[1]
    print(name, os.waitstatus_to_exitcode(status))
"""
# What each file has; more may join.
EVALUATE = {"accuracy_mean", "accuracy_std", "accuracies", "seeds", "master_seeds", "votes",
            "n", "spike_rates", "spike_rates_in", "saturations", "seconds"}
REPORT = {"task", "indices", "examples", "sequences", "steps", "spikes_compared",
          "signatures_compared", "mismatches", "equal", "first_difference", "cycles_per_step",
          "predicted_cycles", "simulated_cycles", "steps_per_second", "accuracy", "artifact",
          "lanes", "seed", "master_seed", "commit", "cocotb"}
BENCH = {"task", "name", "network", "artifact", "commit", "machine", "date", "length",
         "spike_rates", "synthesis", "counted", "rows", "steps_per_second", "toggles"}
BENCH_ROW = {"lanes", "multipliers", "cycles", "predicted_cycles", "cycles_per_step", "roofline",
             "busy_slots", "needed_slots", "utilisation", "steps_per_cpu_second",
             "native_memory_bytes", "build_seconds", "build_cpu_seconds"}


def commands() -> list[str]:
    return sorted({name for page in PAGES for name in COMMAND.findall(page.read_text())})


@pytest.fixture(scope="module")
def helped(tmp_path_factory) -> tuple[dict[str, int], str]:
    """Exit codes of ``python -W error -m NAME --help``, and what was said on stderr.

    Two commands are wrong: one that is not there, and one whose package imports it.
    """
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "warns").mkdir()
    (folder / "warns" / "__init__.py").write_text("from warns import twice")
    (folder / "warns" / "twice.py").write_text("")
    paths = [str(ROOT), str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run([sys.executable, "-c", HELP, *commands(), "rtl.nothing", "warns.twice"],
                          cwd=ROOT, text=True, timeout=300, capture_output=True,
                          env=os.environ | heap.SETTINGS | {"PYTHONPATH": ":".join(paths)})
    assert done.returncode == 0, done.stderr
    return {name: int(code) for name, code in
            (line.split() for line in done.stdout.splitlines())}, done.stderr


def test_every_command_that_pages_name_helps_without_a_warning(helped):
    names = commands()
    assert len(names) > 35 and {"golden.tasks.listops", "host", "rtl.axi"} <= set(names)
    assert {name: helped[0][name] for name in names} == dict.fromkeys(names, 0), helped[1]


def test_a_wrong_command_is_seen(helped):
    codes, said = helped
    assert codes["rtl.nothing"] == codes["warns.twice"] == 1
    assert "rtl.nothing: ImportError" in said
    assert "warns.twice: RuntimeWarning" in said and "found in sys.modules" in said


def test_imports_of_own_tasks():
    """The page's own example, and the names that tasks use."""
    from golden.data import DataError
    from golden.tasks import data
    from quant.formats import SQ, UQ
    assert DataError is data.DataError and str(UQ(0, 8)) == "UQ(0,8)" and str(SQ(1, 7))
    code = re.search(r"```python\n(.*?)```", OWN_TASK, re.S)[1]
    scope = {}
    exec(compile(code, "own-task.md", "exec"), scope)
    assert isinstance(scope["Louder"]().load("val"), Split)
    for name in ("golden.tasks.Split", "golden.tasks.data.DataError"):
        assert name in OWN_TASK


def test_keys_of_an_evaluation(tmp_path):
    task = make_task("digits")
    art = random_artifact(0, n_layers=1, H=4, n=2, n_classes=10, length=64)
    art = replace(art, sample=task.sample_format)
    artifact.save(art, tmp_path / "art")
    out = tmp_path / "result.json"
    assert evaluate.main(["--task", "digits", "--artifact", str(tmp_path / "art"), "-n", "3",
                          "--json", str(out)]) == 0
    assert EVALUATE <= set(json.loads(out.read_text()))


def test_keys_of_a_simulation():
    """``build/sim/<task>/report.json`` is the name and the summary of a campaign."""
    part = Part(**{name: 1 for name in Part.__dataclass_fields__} | {
        "start": 0, "labels": [1], "classes": [1], "commit": "abc"})
    report = campaign.Report([part], 1, "digest", 8, 1, 0.0, 0.0, 0.0, 1)
    split = Split(np.zeros((1, 1), np.uint8), np.ones(1, np.int64), np.ones(1, np.int64))
    assert REPORT <= set(sim.__main__.summary(report, "digits", np.arange(1), split))
    for path in (ROOT / "docs" / "results").glob("*.sim.json"):     # the README's
        assert set(json.loads(path.read_text())) <= REPORT | {"name", "stress"}


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "results").glob("*.bench.json")),
                         ids=lambda path: path.name)
def test_keys_of_kept_measurements(path):
    """What ``tests/sim/test_bench.py`` finds in a new one is in those that were kept."""
    kept = json.loads(path.read_text())
    assert set(kept) == BENCH and all(set(row) == BENCH_ROW for row in kept["rows"])
