"""The comparison itself: every kind of difference, the order, and what is counted."""

import numpy as np
import pytest

from quant.integer.reference import Trace
from sim.compare import Result, Rows, Tally, block_starts
from sim.comparer import Part
from sim.report import Report

N, L, H, WORDS = 3, 5, 4, 2


def pair(seed=0, extra=0):
    """An expected trace and the rows and result that equal it; ``extra`` more rows per layer."""
    rng = np.random.default_rng(seed)
    s_in, s_out = rng.integers(0, 2, (2, N, L + extra, H)).astype(np.uint8)
    signature = rng.integers(0, 1 << 32, (N, L + extra)).astype(np.uint32)
    trace = Trace(s_in[:, :L], s_out[:, :L], signature[:, :L], np.array([5, -7, 2]), 0,
                  np.array([1, 0, 0, 9]))
    rows = [Rows(s_in[j].copy(), s_out[j].copy(), signature[j].copy(),
                 np.full(L + extra, WORDS), np.ones(L + extra, np.uint8)) for j in range(N)]
    return trace, rows, Result(0, trace.logits.copy(), trace.saturations.copy())


def check(trace, rows, result):
    tally = Tally(WORDS)
    tally.add(17, trace, rows, result)
    return tally


def test_equal():
    tally = check(*pair())
    assert tally.equal and tally.first is None and tally.labels == [0]
    assert (tally.sequences, tally.steps) == (1, L)
    assert (tally.spikes, tally.signatures) == (2 * N * L * H, N * L)


def test_a_spike_is_named():
    trace, rows, result = pair()
    trace.s_out[2, 3, 1], rows[2].s_out[3, 1] = 1, 0
    tally = check(trace, rows, result)
    assert tally.mismatches == 1
    assert str(tally.first) == "sequence 17, layer 2, step 3, neuron 1, s_out: expected 1, got 0"


def test_a_signature_is_named():
    trace, rows, result = pair()
    trace.signature[1, 4], rows[1].signature[4] = 0xAB, 0xCD
    tally = check(trace, rows, result)
    assert str(tally.first) == ("sequence 17, layer 1, step 4, signature: "
                                "expected 0x000000ab, got 0x000000cd")


@pytest.mark.parametrize("places", [
    [("s_in", 1, 2, 0), ("signature", 1, 2, None), ("s_out", 1, 2, 0)],     # kinds in order
    [("s_out", 0, 2, 0), ("s_in", 1, 2, 3)],                                # layers before kinds
    [("s_out", 2, 1, 3), ("s_in", 0, 2, 0)],                                # steps before layers
    [("s_in", 1, 2, 1), ("s_in", 1, 2, 3)],                                 # neurons last
])
def test_order(places):
    trace, rows, result = pair()
    for kind, layer, step, neuron in places:
        array = getattr(rows[layer], kind)
        array[step if neuron is None else (step, neuron)] ^= 1
    tally = check(trace, rows, result)
    kind, layer, step, neuron = places[0]
    assert tally.mismatches == len(places)
    assert (tally.first.kind, tally.first.layer, tally.first.step, tally.first.neuron) == \
        (kind, layer, step, neuron)


def test_first_sequence_wins():
    tally = Tally(WORDS)
    for number in (4, 9):
        trace, rows, result = pair(number)
        rows[0].s_in[number % 3, 0] ^= 1
        tally.add(number, trace, rows, result)
    assert tally.first.sequence == 4 and tally.mismatches == 2 and tally.sequences == 2


@pytest.mark.parametrize("field, text", [
    ("logits", "sequence 17, logits[1]: expected -7, got -6"),
    ("saturations", "sequence 17, saturations[3]: expected 9, got 8"),
    ("label", "sequence 17, label: expected 0, got 2")])
def test_answers(field, text):
    trace, rows, result = pair()
    wrong = {"logits": [5, -6, 2], "saturations": [1, 0, 0, 8], "label": 2}[field]
    values = vars(result) | {field: wrong if field == "label" else np.array(wrong)}
    tally = check(trace, rows, Result(**values))
    assert tally.mismatches == 1 and str(tally.first) == text


def test_spikes_come_before_answers():
    trace, rows, result = pair()
    rows[2].s_out[4, 3] ^= 1
    tally = check(trace, rows, Result(1, result.logits, result.saturations))
    assert tally.first.kind == "s_out" and tally.mismatches == 2


def test_missing_steps_and_result():
    trace, rows, _ = pair()
    rows[1] = rows[1].part(0, 3)
    tally = check(trace, rows, None)
    assert str(tally.first) == "sequence 17, layer 1, step 3, words: missing: 3 of 5 steps seen"
    assert tally.mismatches == 2 * (2 * H + 1) + 1 and tally.labels == [-1]


def test_missing_result_alone():
    trace, rows, _ = pair()
    assert str(check(trace, rows, None).first) == "sequence 17, result: missing"


@pytest.mark.parametrize("words, ended, text", [
    (1, 1, "expected 2, got 1"), (WORDS, 0, "expected 2, got 2 and no end mark")])
def test_framing(words, ended, text):
    trace, rows, result = pair()
    rows[0].words[2], rows[0].ended[2] = words, ended
    tally = check(trace, rows, result)
    assert str(tally.first) == f"sequence 17, layer 0, step 2, words: {text}"


def test_surplus():
    tally = check(*pair())
    tally.surplus(17, [0, 2, 0], 0)
    assert str(tally.first) == "sequence 17, layer 1, words: 2 steps more than expected"
    assert tally.mismatches == 2
    tally = check(*pair())
    tally.surplus(17, [0, 0, 0], 1)
    assert str(tally.first) == "sequence 17, result: 1 more than expected"


def test_rows_behind_a_sequence_are_another_sequences():
    trace, rows, result = pair(extra=2)
    assert check(trace, rows, result).equal


@pytest.mark.parametrize("inputs", [1, 2])
def test_answers_keep_their_places_behind_a_gap(inputs):
    """Parts 0 and 2 are there: a difference ended the campaign before part 1 was done."""
    def part(start, stop):
        labels = list(range(start, stop)) * inputs
        return Part(start * inputs, stop * inputs, 1, 1, 1, 0, None, labels, 1, 1, 0, 0, 0,
                    classes=labels[:stop - start] if inputs > 1 else [])
    found = Report([part(0, 4), part(8, 10)], 20 * inputs, "", 1, 1, 0, 0, 0, 1)
    assert found.examples == found.classes == [0, 1, 2, 3, 8, 9]


def two_steps(length=L, blocks=3):
    """As :func:`pair`, of blocks of two steps; the last one of an odd length has a step too many."""
    trace, _, result = pair()
    rng = np.random.default_rng(1)
    s_in, s_out = rng.integers(0, 2, (2, N, 2 * blocks, H)).astype(np.uint8)
    signature = rng.integers(0, 1 << 32, (N, blocks)).astype(np.uint32)
    trace = Trace(s_in[:, :length].copy(), s_out[:, :length].copy(), signature.copy(),
                  trace.logits, 0, trace.saturations)
    rows = [Rows(s_in[j], s_out[j], signature[j], np.full(blocks, WORDS),
                 np.ones(blocks, np.uint8), 2) for j in range(N)]
    return trace, rows, result


def test_blocks_of_two_steps():
    """A step behind the sequence's end is not looked at; a signature counts once a block."""
    trace, rows, result = two_steps()
    tally = check(trace, rows, result)
    assert tally.equal and (tally.steps, tally.signatures) == (L, 3 * N)
    assert tally.spikes == 2 * N * L * H
    rows[0].s_out[L] ^= 1
    assert check(trace, rows, result).equal
    rows[0].s_out[L - 1, 2] ^= 1
    assert "layer 0, step 4, neuron 2, s_out" in str(check(trace, rows, result).first)


@pytest.mark.parametrize("block, step", [(0, 1), (1, 3), (2, 4)])
def test_a_signature_of_a_block_is_that_of_its_last_step(block, step):
    trace, rows, result = two_steps()
    rows[1].signature[block] ^= 1
    assert f"layer 1, step {step}, signature" in str(check(trace, rows, result).first)
    rows[1].s_in[2 * block, 0] ^= 1     # the spikes of the block come first
    assert f"layer 1, step {2 * block}, neuron 0, s_in" in str(check(trace, rows, result).first)


def test_missing_blocks():
    trace, rows, result = two_steps()
    rows[2] = rows[2].part(0, 1)
    tally = check(trace, rows, result)
    assert tally.mismatches == 2 * 3 * H + 2
    assert str(tally.first) == "sequence 17, layer 2, step 2, words: missing: 2 of 5 steps seen"


def test_where_sequences_begin():
    assert block_starts([3, 1, 4], 1) == [0, 3, 4, 8]
    assert block_starts([3, 1, 4], 2) == [0, 2, 3, 5]
