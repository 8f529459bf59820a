"""Sabotage of two-sided kernels in hardware: each mutant is seen by the comparison with the
reference, or by that of cycles."""

import pytest

from rtl.folded import passes, sides
from rtl.folded.passes import TwoSided
from rtl.folded.sequence import Kept, Place, Sequence
from rtl.folded.sums import Sums
from rtl.layer.state_engine import StateEngine
from rtl.parts.config import HardwareConfig
from rtl.parts.two_way_source import TwoWaySource
from tests.mutated import compared
from tests.quant.two_sided import random_two_sided
from tests.rtl.test_folded import TIGHT
from tests.test_mutants import mutate

LENGTHS = (3, 1, 4, 2)
# case: artifact, hardware
CASES = {"plain": (dict(H=4, n=2, residual="plain", length=4, stress=0.4, fmt=TIGHT),
                   dict(lanes=2)),
         "a cycle a step": (dict(H=2, n=2, n_layers=3, residual="none", length=4), dict(lanes=4)),
         "slower onwards": (dict(kind="lif", H=1, n=1, length=4), dict(lanes=1, spread=False))}
# name: case, owner, function, text, mutated text
MUTANTS = {
    "back from the step before the last": (
        "plain", Sequence, "elaborate", "of.step.eq(length), of.base.eq(end)",
        "of.step.eq(length - 1), of.base.eq(end - words)"),
    "back in the order of onwards": (
        "plain", Sequence, "elaborate", "of.go(-1)", "of.go(1)"),
    "the future's states are not taken as zero": (
        "plain", Sequence, "elaborate", "Mux(onwards, 0, last)", "0"),
    "another sequence's length": (
        "plain", Sequence, "elaborate", "m.d.sync += [length.eq(into.step), end.eq(into.base)]",
        "m.d.sync += [length.eq(length | into.step), end.eq(end | into.base)]"),
    "the layer before's": (
        "a cycle a step", Sequence, "elaborate", "sync += layer.eq(self.i.payload.layer)",
        "sync += layer.eq(self.i.payload.layer >> 1)"),
    "a step in too few places": (
        "plain", Place, "go", "steps * self.words", "steps"),
    "the sum of the step itself": (
        "plain", Sums, "elaborate", "base - 2 * words", "base - words"),
    "the last step has a future": (
        "plain", Sums, "elaborate", "Mux(last, 0, ram.r_data", "Mux(0, 0, ram.r_data"),
    "the future with other fraction bits": (
        "plain", Sums, "elaborate", "word[SUM][g] >> up", "word[SUM][g] >> up + 1"),
    "the stack is not emptied": (
        "plain", Sums, "elaborate", "base - words)", "base)"),
    "the future's signature of the next step": (
        "plain", Sums, "_sign", "signed.r_addr.eq(steps - 1)", "signed.r_addr.eq(steps - 2)"),
    "the future's signature as the past's": (
        "plain", StateEngine, "_sign", "words.turned(FUTURE,", "words.turned(0,"),
    "d in the future": (
        "plain", sides, "_future", "np.zeros_like(d.raw)", "d.raw"),
    "the future's words from the first step": (
        "plain", TwoWaySource, "elaborate", "self.count * bits - 2 * step", "self.count * bits"),
    "the future's words a step late": (
        "plain", TwoWaySource, "elaborate", "lfsr.leap(fmt, step)", "lfsr.leap(fmt, 2 * step)"),
    "x of the sequence before": (
        "plain", Kept, "elaborate", "over & read.data.last", "0"),
    "x of a step that is not there yet": (
        "plain", TwoSided, "_enter", "kept.more.eq(self.sequence.more)", "kept.more.eq(1)"),
    "a step comes in where one has not left": (
        "plain", TwoSided, "_open", "~closed & (~leaving | (new < left))", "~closed"),
    "a sequence comes in while one is inside": (
        "plain", TwoSided, "_open", "closed.eq(1)", "closed.eq(0)"),
    "one part of the signature": (
        "plain", TwoSided, "_signed_in_front", "read.data ^ crc32([0] * self.geo.H)",
        "read.data"),
    "saturations of one side": (
        "plain", TwoSided, "_show", "2 * j + k", "2 * j + 1"),
    "onwards as fast as back": (
        "slower onwards", passes, "timing", "pace = max(TURNAROUND, ", "pace = min(8, "),
}


def compare(case: str) -> None:
    options, hw = CASES[case]
    compared(random_two_sided(7, **options), HardwareConfig(**hw), LENGTHS)


@pytest.mark.parametrize("case", CASES)
def test_both_pass_unmutated(case):
    compare(case)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant(mutant, monkeypatch):
    case, *place = MUTANTS[mutant]
    mutate(monkeypatch, *place)
    with pytest.raises(AssertionError):
        compare(case)
