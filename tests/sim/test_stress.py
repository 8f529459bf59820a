"""The stress network: what it exercises, that it is equal, and that a broken core is seen."""

import json
from pathlib import Path

import pytest

import rtl.layer.flow
import rtl.layer.sampler_words
from golden.base import cli
from rtl.core import Core
from rtl.parts import arith
from rtl.parts.config import HardwareConfig
from quant.integer import artifact, reference, vectors
from quant.integer.sampling import direction_columns
from sim import __main__ as command
from sim import campaign, pysim, stress
from sim.compare import Tally
from sim.comparer import Part
from sim.report import Report
from tests.sim.test_campaign import ART, TASK
from tests.test_mutants import mutate


def compared() -> Tally:
    """Hardware against the integers, in Amaranth's simulator."""
    art, values = stress.artifact(), stress.sequences()
    core = Core(art, HardwareConfig(stress.LANES))
    seen, tally = pysim.run(core, list(values), limit=4000), Tally(core.geo.words)
    for number, trace in enumerate(vectors.expected(art, values, threads=1)):
        tally.add(number, trace, seen.rows(number), seen.result(number))
    return tally


def test_what_it_exercises():
    counts, art = stress.exercised(), stress.artifact()
    assert min(counts.values()) >= 10, counts
    traces = [reference.run(art, values) for values in stress.sequences()]
    assert counts["saturations"] == sum(int(trace.saturations.sum()) for trace in traces)
    assert all(sum(trace.saturations[j] for trace in traces) for j in range(3)), "states, stream"
    assert stress.STEPS > 1 << direction_columns(stress.STEPS) - 1, "every direction number"


def test_it_is_equal():
    assert compared().equal


# Each is seen by the stress network; owner, function, text, mutated text.
MUTANTS = {
    "ties round up": (arith, "round_half_even", "(half & (rest.any() | odd))", "half"),
    "a limit off by one": (arith, "saturate", "Mux(negative, dst.lo, dst.hi)",
                           "Mux(negative, dst.lo, dst.hi - 1)"),
    "never negated": (rtl.layer.flow, "signed_sum", "bits ^ negate", "bits"),
    "one bit of the last direction number": (
        rtl.layer.sampler_words, "regions", "int(row) for row in op.directions.raw",
        "int(row) ^ (c == 5) for c, row in enumerate(op.directions.raw)"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_core_is_seen(mutant, monkeypatch):
    mutate(monkeypatch, *MUTANTS[mutant])
    assert not compared().equal


@pytest.mark.cosim
def test_it_is_one_line_of_sim():
    row = stress.run()
    assert row["equal"] and row["steps"] == stress.SEQUENCES * stress.STEPS
    assert stress.words(row) == (
        f"stress network, 120 steps with {row['saturations']:,} saturations, {row['ties']:,} ties "
        f"and {row['negations']:,} negations: equal")


def test_a_difference_of_it_is_one_of_sim(monkeypatch, tmp_path, capsys):
    """Also where everything else is equal."""
    part = Part(**{name: 1 for name in Part.__dataclass_fields__} | {
        "start": 0, "stop": 6, "labels": [0] * 6, "classes": [], "first": None, "mismatches": 0,
        "commit": "abc"})
    bench = {"sequences": 1, "steps": 1, "spikes_compared": 1, "signatures_compared": 1,
             "steps_per_second": 1.0, "equal": True, "mismatches": 0}
    monkeypatch.setenv("SPIKESSM_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(campaign, "run", lambda *given, **options: Report(
        [part], 6, "digest", 2, 1, 0.0, 0.0, 0.0, 1, bench))
    monkeypatch.setattr(stress, "run", lambda: {
        "steps": 120, "saturations": 1, "ties": 1, "negations": 1, "equal": False,
        "first_difference": "sequence 0, layer 1, step 4, neuron 2, s_out: expected 1, got 0"})
    artifact.save(ART, tmp_path / "artifact")
    assert command.main(["--task", TASK, "--lanes", "2", "--artifact", str(tmp_path / "artifact"),
                         "--json", str(tmp_path / "own.json")]) == 1
    captured = capsys.readouterr()
    assert "1 ties and 1 negations: DIFFERENT\n" in captured.out
    assert captured.err.endswith("sim: DIFFERENT, first difference: stress network, sequence 0, "
                                 "layer 1, step 4, neuron 2, s_out: expected 1, got 0\n")
    row = json.loads((tmp_path / "own.json").read_text())
    assert not row["equal"] and row["first_difference"].startswith("stress network, ")


def test_the_readme_shows_its_line():
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    steps = stress.SEQUENCES * stress.STEPS
    assert stress.words({"equal": True, "steps": steps, **stress.exercised()}) in text


def test_one_that_exercises_too_little_is_our_fault(monkeypatch, capsys):
    monkeypatch.setattr(stress, "exercised", lambda: {"ties": 0})
    assert cli.code("sim", stress.run) == cli.FAULT
    assert "does not reach what it is for: {'ties': 0}" in capsys.readouterr().err
