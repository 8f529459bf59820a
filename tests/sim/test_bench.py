"""``python -m sim.bench`` on a small core: what it measures, and the synthesis results it finds."""

import json
from dataclasses import replace

import pytest

from golden.base import made
from quant.integer import artifact
from quant.integer.artifact import digest
from sim import bench
from sim.measure import bench_table
from tests.sim.test_campaign import ART as LONG
from tests.sim.test_campaign import TASK
from tests.test_names import BENCH, BENCH_ROW

ART = replace(LONG, length=12)
FOUND = {"artifact": digest(ART), "family": "ecp5", "device": "LFE5U-85F", "lanes": 2,
         "part": "core", "layers": 2, "of": 2, "signature": False,
         "cells": {"multiplier": 16, "block_ram": 3, "lut": 1234, "ff": 567},
         "routed": [{"fmax": 80.0}, {"fmax": 100.0}], "made": made.stamp("synthesis")}
OLD = FOUND | {"made": {"by": "0", "commit": "abc"}, "routed": [{"fmax": 900.0}]}
PART = FOUND | {"part": "layer", "lanes": 4, "routed": [{"fmax": 500.0}]}


@pytest.fixture
def args(tmp_path, monkeypatch):
    artifact.save(ART, tmp_path / "artifact")
    monkeypatch.setattr(bench, "SYNTHESES", tmp_path / "synth")
    for name, row in (("0", OLD), ("a", FOUND), ("b", FOUND | {"artifact": "another"}), ("c", PART),
                      ("d", OLD)):
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


def test_what_other_sources_synthesised_is_not_shown_as_new(tmp_path, monkeypatch, capsys):
    """It says its commit, and its frequency makes no time of a step; damaged files are named."""
    monkeypatch.setattr(bench, "SYNTHESES", tmp_path)
    unsigned = {key: value for key, value in OLD.items() if key != "made"} | {"lanes": 4}
    for name, text in (("old", json.dumps(OLD)), ("unsigned", json.dumps(unsigned)),
                       ("deep", "[" * 100_000), ("cut", json.dumps(FOUND)[:-5]),
                       ("wrong", json.dumps(FOUND | {"cells": 3})), ("list", "[]"),
                       ("word", json.dumps(FOUND | {"cells": {"lut": "many"}}))):
        (tmp_path / f"{name}.synth.json").write_text(text)
    found = {row["lanes"]: row for row in bench.syntheses(digest(ART))}
    by = "by other sources or libraries than now"
    assert found[2]["old"] == f"made at commit abc {by}" and found[4]["old"] == f"made {by}"
    said = capsys.readouterr().err
    assert all(f"{name}.synth.json is damaged or is no synthesis: left out" in said
               for name in ("deep", "cut", "wrong", "list", "word")) and said.count("\n") == 5
    cells = bench_table._synthesis(found[2], {"rows": [{"lanes": 2, "cycles_per_step": 4}],
                                              "length": 12})
    assert cells[0] == f"ecp5, made at commit abc {by}" and cells[-3:] == ["900.0 MHz", "", ""]
    new = bench_table._synthesis(found[2] | {"old": ""}, {
        "rows": [{"lanes": 2, "cycles_per_step": 4}], "length": 12})
    assert new[0] == "ecp5" and new[-2] == "0.004"


def test_a_synthesis_without_a_route_has_no_frequency(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "SYNTHESES", tmp_path)
    row = {key: value for key, value in FOUND.items() if key != "routed"}
    (tmp_path / "one.synth.json").write_text(json.dumps(row))
    found, = bench.syntheses(digest(ART))
    assert found["fmax"] is None and found["cells"] == FOUND["cells"]


@pytest.mark.parametrize("change, text", [
    (["--lanes", "2,3"], "3 lanes do not divide 4 neurons"),
    (["--task", "nope"], "task 'nope' is unknown"),
    (["--steps", "13"], "--steps 13: it must be at most 12"),
    (["--trace-steps", "201"], "at most 200")])
def test_bad_input_is_one_line(args, change, text, capsys):
    assert bench.main([*args, *change]) == 2
    err = capsys.readouterr().err
    assert text in err and len(err.strip().splitlines()) == 1
