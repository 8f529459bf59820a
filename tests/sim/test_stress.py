"""The stress network: what it exercises, that it is equal, and that a broken core is seen."""

from pathlib import Path

import pytest

import rtl.layer.fuse
import rtl.layer.sampler_words
from rtl.core import Core
from rtl.parts import arith
from rtl.parts.config import HardwareConfig
from quant.integer import reference, vectors
from quant.integer.sampling import direction_columns
from sim import pysim, stress
from sim.compare import Tally
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
    "never negated": (rtl.layer.fuse, "_signed_sum", "bits ^ negate.replicate(len(bits))", "bits"),
    "one bit of the last direction number": (
        rtl.layer.sampler_words, "regions", "int(row) for row in spec.directions[kind]",
        "int(row) ^ (c == 5) for c, row in enumerate(spec.directions[kind])"),
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


def test_the_readme_shows_its_line():
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    steps = stress.SEQUENCES * stress.STEPS
    assert stress.words({"equal": True, "steps": steps, **stress.exercised()}) in text
