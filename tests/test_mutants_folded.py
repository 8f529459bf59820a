"""Sabotage of layers that share their hardware: each mutant is seen by the comparison with the
reference, or by that of cycles."""

import pytest

from quant.integer.synthetic import random_artifact
from rtl.folded import stack
from rtl.folded.ring import Ring
from rtl.folded.times import RingTimes
from rtl.parts.config import HardwareConfig
from rtl.parts.shared_source import SharedSource
from tests.mutated import compared
from tests.rtl.test_folded import TIGHT
from tests.test_mutants import mutate

LENGTHS = (3, 1, 2, 1)
CASE = dict(n_layers=3, H=4, n=2, residual="plain", length=4, stress=0.4, fmt=TIGHT)
# name: owner, function, text, mutated text
MUTANTS = {
    "it leaves a layer too early": (Ring, "elaborate", "geo.layers - 1", "geo.layers - 2"),
    "one step inside at a time": (Ring, "elaborate", "inside != tokens", "inside == 0"),
    "a step that left is still counted": (
        Ring, "elaborate", "inside + entered - left", "inside + entered"),
    "what comes back is the same layer's": (
        Ring, "_merge", "layer.o.payload.layer + 1", "layer.o.payload.layer"),
    "what is new first": (
        Ring, "_merge", "again.eq(layer.o.valid & ~last)",
        "again.eq(layer.o.valid & ~last & ~self.i.valid)"),
    "what is new as of a layer behind": (
        Ring, "_merge", "into.payload.layer.eq(0)", "into.payload.layer.eq(1)"),
    "every layer shows all": (Ring, "_show", "shown.valid & (shown.layer == j)", "shown.valid"),
    "a matrix behind another by its outputs": (
        stack, "_tensor", '(k for k, axis in enumerate(axes) if axis == "H"), default=0)',
        '(0 for k, axis in enumerate(axes) if axis == "H"), default=0)'),
    "the first layer's tensors": (
        stack, "_joined", "wire.op.tensors[name] for", "op.tensors[name] for"),
    "one stream for all": (
        SharedSource, "_each", "Array(states)[self.layer]", "states[0]"),
    "times: it leaves a layer too early": (
        RingTimes, "_turn_before", "turn.layer == self.layers - 1",
        "turn.layer == self.layers - 2"),
    "times: room much later": (
        RingTimes, "_turn_before", "self.left.append(first + self.words - 1)",
        "self.left.append(first + 99)"),
    "times: what is new last": (RingTimes, "_turn_before", "if at < first:", "if at < 0:"),
}


def compare() -> None:
    compared(random_artifact(7, **CASE), HardwareConfig(2, folded=True), LENGTHS)


def test_it_passes_unmutated():
    compare()


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant(mutant, monkeypatch):
    mutate(monkeypatch, *MUTANTS[mutant])
    with pytest.raises(AssertionError):
        compare()
