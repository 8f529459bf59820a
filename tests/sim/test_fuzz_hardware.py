"""Fuzzing: the hardware that is drawn, its rules, and that a fault of each part is seen."""

import re
from dataclasses import replace

import pytest

from rtl.folded.ring import Ring
from rtl.layer.block_lanes import BlockLanes
from rtl.layer.table_mixer import TableMixer
from rtl.parts.config import MIXERS
from rtl.parts.single_port import BLOCKS
from rtl.plan import plan
from sim.fuzzing import draws, shape as shapes_of, trial
from sim.fuzzing.case import Case
from sim.fuzzing.kinds import KINDS
from sim.fuzzing.minimise import candidates
from tests.sim.tiny import tiny
from tests.test_mutants import mutate

W7 = {"w": "SQ(7,0)"}
TABLES = {"mixer": "tables", "formats": W7}
# name: changes of a tiny shape; H = 24 with n = 4 has a memory that is worth a single-port block
CASES = {
    "tables": TABLES, "tables, two steps": TABLES | {"H": 4, "block": 2},
    "folded": {"layers": 3, "folded": True},
    "folded, two steps": {"layers": 3, "folded": True, "block": 2},
    "two steps": {"H": 4, "block": 2},
    "single ports, folded": {"layers": 2, "H": 24, "n": 4, "folded": True,
                             "single_ports": BLOCKS}}


def changed(kind: str, **changes) -> Case:
    """A tiny case on other hardware."""
    case = tiny(kind)
    changes |= {"formats": case.shape.formats | changes.get("formats", {})}
    return replace(case, shape=replace(case.shape, **changes))


@pytest.mark.parametrize("name", CASES)
def test_equal(name):
    case = changed("paper", **CASES[name])
    assert case.broken_rule() is None
    outcome = trial.run_slowly(case)
    assert outcome.first is None and outcome.spikes


@pytest.mark.parametrize("name, place", [
    ("tables", (TableMixer, "elaborate", "else steps[0])]", "else ~steps[0])]")),
    ("tables, two steps", (TableMixer, "elaborate", "Mux(odd, steps[1], steps[0])", "steps[0]")),
    ("folded", (Ring, "_merge", "Mux(word == 0, again,", "Mux(word == 0, again & ~self.i.valid,")),
    ("folded, two steps", (Ring, "_merge", "layer.o.payload.layer + 1", "1")),
    ("two steps", (BlockLanes, "_ahead", "round_half_even(kept, shift)", "(kept >> shift)"))])
def test_a_mutant_is_seen(name, place, monkeypatch):
    mutate(monkeypatch, *place)
    assert trial.run_slowly(changed("paper", **CASES[name])).first


def test_draws_reach_all_hardware():
    shapes = [draws.draw_shape(1, number, kind) for kind in KINDS for number in range(30)]
    plans = [plan(shape.base, shape.hw) for shape in shapes]
    assert {(shape.mixer, shape.block) for shape in shapes} == {
        (mixer, block) for mixer in MIXERS for block in (1, 2)}
    for name, values in (("tables", {False, True}), ("cuts", {False, True})):
        assert {bool(getattr(made.layers[0], name)) for made in plans} == values
    assert {made.built_in for made in plans} == {False, True}
    assert {shape.kind for shape, made in zip(shapes, plans) if made.layers[0].tables} == {
        "paper", "glu", "lif"}


@pytest.mark.parametrize("kind, change, rule", [
    ("paper", {"mixer": "sums"}, "a mixer is one of columns, tables, fitting"),
    ("paper", {"single_ports": BLOCKS + 1}, "up to 4 memories of one port"),
    ("gsu", TABLES, "spikes of one bit"),
    ("glu", TABLES | {"options": {"neuron": "ternary"}}, "spikes of one bit"),
    ("paper", {"mixer": "tables"}, "up to 7 bits"),
    ("paper", {"mixer": "fitting"}, "up to 7 bits"),
    ("paper", TABLES | {"layers": 2, "folded": True}, "of one layer's weights"),
    ("paper", TABLES | {"single_ports": BLOCKS}, "need two ports"),
    ("paper", TABLES | {"H": 8, "lanes": 8}, "hold no engine up"),
    ("paper", TABLES | {"block": 2}, "hold no engine up")], ids=str)
def test_every_rule(kind, change, rule):
    shape = tiny(kind).shape
    change = dict(change)
    for name in ("formats", "options"):
        change[name] = getattr(shape, name) | change.get(name, {})
    assert re.search(rule, replace(shape, **change).broken_rule())


def test_hardware_is_made_simple():
    """Each choice by itself."""
    case = changed("paper", **CASES["single ports, folded"] | {"block": 2, "mixer": "fitting"})
    found = [one.shape for one in candidates(case)]
    for name, simplest in (("block", 1), ("folded", False), ("single_ports", 0),
                           ("mixer", "columns")):
        assert replace(case.shape, **{name: simplest}) in found


def test_hardware_is_described():
    case = changed("paper", **CASES["single ports, folded"])
    row = case.to_dict()
    assert Case.from_dict(row) == case and shapes_of.is_shape(row["shape"])
    assert case.shape.summary.endswith(", folded, columns, single ports")
    for name in ("mixer", "folded", "single_ports"):    # as in files from before them
        row["shape"].pop(name)
    assert shapes_of.is_shape(row["shape"])
    assert Case.from_dict(row).shape == replace(case.shape, folded=False, single_ports=0)
    for name, value in (("mixer", "sums"), ("folded", 1), ("single_ports", 5)):
        assert not shapes_of.is_shape(case.shape.to_dict() | {name: value})
