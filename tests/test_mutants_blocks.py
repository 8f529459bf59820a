"""Sabotage of the engine of two steps at a time: each mutant is seen by its comparison."""

import pytest

from quant.integer.synthetic import random_artifact
from rtl.layer import block_lanes, coefficients, fire, membrane, signature, state_engine
from rtl.layer.sampler_words import SamplerWords
from rtl.layer.scheduler import Scheduler
from tests.rtl.test_state_engine import CASES, check, engine, x_words
from tests.test_mutants import mutate

LENGTHS = (3, 1, 6, 5)
# name: case, owner, function, text, mutated text
MUTANTS = {
    "the first step's sum rounded down": (
        "two neurons", block_lanes.BlockLanes, "_ahead", "round_half_even(kept, shift)",
        "(kept >> shift)"),
    "modes of the word before": (
        "one lane", block_lanes.BlockLanes, "_ahead", "Mux(host.slots[time].head, 0, kept)",
        "kept"),
    "the gain of the other step": (
        "two neurons", coefficients, "entering", "(spikes >> 1)", "(spikes & 1)"),
    "d for d1": (
        "values", coefficients, "neurons", '{"d1": op.d1}', '{"d1": Tensor(op.d.raw, op.d1.fmt)}'),
    "values of the first step in both": (
        "values", block_lanes.BlockLanes, "_enter", "u2.eq(u[g + geo.G])", "u2.eq(u[g])"),
    "a missing step is signed": (
        "values", signature.NeuronWords, "add", "head & there", "head"),
    "a missing step is signed behind the states": (
        "membranes", signature.NeuronWords, "add", "there if head is None", "None if head is None"),
    "both steps rotated by the same": (
        "one lane", signature.NeuronWords, "add", "by + SECOND * step", "by"),
    "rounding words signed too early": (
        "two neurons", state_engine.StateEngine, "_sign", "words.wait(at.rounding)", "pass"),
    "a missing step saturates": (
        "membranes, stress", state_engine, "counted", "slot.valid & ~slot.half", "slot.valid"),
    "something enters in a missing step": (
        "values", state_engine.StateEngine, "_front",
        "there(host, at.operands, entered.bits)", "entered.bits"),
    "something leaves in a missing step": (
        "values sent", state_engine.StateEngine, "elaborate",
        "there(host, at.result, out.bits)", "out.bits"),
    "draws step by step": (
        "two neurons", SamplerWords, "elaborate", "drawn[g * P + p]", "drawn[p * self.geo.G + g]"),
    "one point for both steps": (
        "sobol", SamplerWords, "_points", "second = point ^ 1 << k - 1", "second = point"),
    "points of every other block": (
        "sobol", SamplerWords, "_points", "second ^ directions.data if own",
        "point ^ directions.data if own"),
    "both steps from one phase": (
        "systematic", fire.Fire, "build", 'phase = made[-1]["phase"]',
        'phase = replace(r, time=made[-1]["phase"].time)'),
    "the membrane of the first step is kept": (
        "membranes", membrane.Membrane, "build", "memory.write(v)",
        "memory.write(replace(v, bits=found[0][0].bits))"),
    "no missing step": (
        "one lane", Scheduler, "elaborate", "copied(slot, self.i.payload, geo)",
        "[slot[name].eq(self.i.payload[name]) for name in ('first', 'last')]"),
}


def compare(case: str) -> None:
    """The engine of a case against the reference, odd lengths among the sequences'."""
    options, lanes = CASES[case]
    dut = engine(random_artifact(seed=1, block=2, **options), lanes)
    words = x_words(dut, LENGTHS)
    check(dut, words, dut.model(words))


@pytest.mark.parametrize("case", sorted({mutant[0] for mutant in MUTANTS.values()}))
def test_all_of_them_pass_unmutated(case):
    compare(case)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant(mutant, monkeypatch):
    case, *place = MUTANTS[mutant]
    mutate(monkeypatch, *place)
    with pytest.raises(AssertionError):
        compare(case)
