"""``python -m sim.bench`` on a small core: what it measures, and the synthesis results it finds."""

import json
from dataclasses import replace

import pytest

from quant.integer import artifact
from quant.integer.artifact import digest
from sim import bench
from tests.sim.test_campaign import ART as LONG
from tests.sim.test_campaign import TASK
from tests.test_names import BENCH, BENCH_ROW

ART = replace(LONG, length=12)
FOUND = {"artifact": digest(ART), "family": "ecp5", "device": "LFE5U-85F", "lanes": 2,
         "part": "core", "layers": 2, "of": 2, "signature": False,
         "cells": {"multiplier": 16, "block_ram": 3, "lut": 1234, "ff": 567},
         "routed": [{"fmax": 80.0}, {"fmax": 100.0}]}
PART = FOUND | {"part": "layer", "lanes": 4, "routed": [{"fmax": 500.0}]}


@pytest.fixture
def args(tmp_path, monkeypatch):
    artifact.save(ART, tmp_path / "artifact")
    monkeypatch.setattr(bench, "SYNTHESES", tmp_path / "synth")
    for name, row in (("a", FOUND), ("b", FOUND | {"artifact": "another"}), ("c", PART)):
        (tmp_path / "synth" / name).mkdir(parents=True)
        (tmp_path / "synth" / name / "synth.json").write_text(json.dumps(row))
    return ["--task", TASK, "--artifact", str(tmp_path / "artifact"), "--json",
            str(tmp_path / "bench.json"), "--report", str(tmp_path / "report")]


@pytest.mark.cosim
def test_everything_is_measured(args, tmp_path, capsys):
    assert bench.main([*args, "--lanes", "2", "--trace-steps", "5"]) == 0
    result = json.loads((tmp_path / "bench.json").read_text())
    row, = result["rows"]
    assert BENCH <= set(result) and BENCH_ROW <= set(row)
    assert row["cycles"] == row["predicted_cycles"] and row["roofline"] == 4
    assert row["needed_slots"] == 3 * 12 * 4 == row["busy_slots"][0] == row["busy_slots"][1]
    assert row["utilisation"] == pytest.approx(4 / row["cycles_per_step"])
    speeds = result["steps_per_second"]
    assert speeds["native"] > speeds["cocotb"] > 0 and speeds["amaranth"] > 0
    assert 1 << 20 < row["native_memory_bytes"] < 2 << 30
    assert 0 < result["toggles"]["toggles_per_step"] < 12 * result["toggles"]["nets"]
    assert {"layer0", "layer1", "decoder"} <= set(result["toggles"]["by_part"])
    assert [found["fmax"] for found in result["synthesis"]] == [100.0]
    page = (tmp_path / "report" / "tests.sim.task-Tiny.bench.md").read_text()
    step = row["cycles_per_step"] / 100
    assert f"| 100.0 MHz | {step:.3f} | {step * 12 / 1000:.3f} |" in page
    assert page in capsys.readouterr().out


@pytest.mark.parametrize("change, text", [
    (["--lanes", "2,3"], "3 lanes do not divide 4 neurons"),
    (["--task", "nope"], "task 'nope' is unknown"),
    (["--steps", "13"], "--steps 13: it must be at most 12"),
    (["--trace-steps", "201"], "at most 200")])
def test_bad_input_is_one_line(args, change, text, capsys):
    assert bench.main([*args, *change]) == 2
    err = capsys.readouterr().err
    assert text in err and len(err.strip().splitlines()) == 1
