"""Predicted cycles equal simulated ones; the clock that stops, against one that is counted."""

import numpy as np
import pytest

from quant.integer.synthetic import random_artifact
from rtl import step_times
from rtl.parts.config import HardwareConfig
from rtl.core import Core
from rtl.cycles import Run, predict
from rtl.plan import plan
from rtl.step_times import StoppingClock
from tests.rtl.fabric import observe

# name: artifact, lanes, lengths. The decoder holds everything up in the runs of short sequences.
CASES = {
    "one lane": (dict(H=4, n=2, n_layers=1), 1, (3, 1, 2)),
    "a word a cycle": (dict(H=6, n=2, n_layers=2), 2, (1, 5, 3)),
    "plain": (dict(H=6, n=2, residual="plain"), 4, (12, 1, 1, 1)),
    "whole layer": (dict(H=4, n=2, residual="clampfuse"), 8, (6, 1, 1, 1, 1, 4)),
    "the engine waits": (dict(H=16, n=2, n_layers=1, n_classes=2, residual="none"), 1,
                         (12, 1, 1, 1, 4)),
    "tokens, short": (dict(H=4, n=2, vocab=3, residual="none"), 4, (1,) * 20),
    "gelus": (dict(H=4, n=2, residual="replace", act="gelu", gelu_out=True, gain=True), 2,
              (1, 5, 1, 1, 3)),
    "glu": (dict(kind="glu", H=6, n=2), 2, (1, 5, 3, 1, 1)),
    "glu, whole layer": (dict(kind="glu", H=4, n=2, norm_position="post", residual="none"), 8,
                         (6, 1, 1, 1, 4)),
    "gsu": (dict(kind="gsu", H=6, n=2), 4, (1, 5, 3, 1, 1)),
    "gsu, one lane": (dict(kind="gsu", H=3, n=2, residual="none"), 1, (3, 1, 1, 2)),
    "gsu, one word": (dict(kind="gsu", H=4, n=2, norm_position="post"), 8, (6, 1, 1, 1, 1, 4)),
    "short, one step's bank after the other": (dict(H=2, n=2, residual="plain"), 4, (1,) * 22),
    # two steps per update of the states
    "2: one lane": (dict(H=4, n=2, n_layers=1, block=2), 1, (3, 1, 2, 5)),
    "2: a word a cycle": (dict(H=6, n=2, n_layers=2, block=2), 2, (1, 5, 4, 2, 2, 1, 3)),
    "2: whole layer": (dict(H=4, n=2, residual="clampfuse", block=2), 8, (6, 1, 1, 2, 1, 4, 9)),
    "2: samples are the slowest": (dict(H=2, n=1, n_layers=1, residual="none", vocab=3, block=2), 2,
                                   (20, 7, 1, 1, 2, 9)),
    "2: tokens, short": (dict(H=4, n=2, vocab=3, residual="none", block=2), 4, (1, 2) * 10),
    "2: glu": (dict(kind="glu", H=6, n=2, block=2), 2, (1, 5, 3, 1, 2)),
    "2: gsu, one word": (dict(kind="gsu", H=4, n=2, norm_position="post", block=2), 8,
                         (6, 1, 1, 2, 1, 5)),
    "2: lif": (dict(kind="lif", n=0, H=6, block=2), 2, (1, 5, 3, 1, 2)),
}


def simulate(art, hw, lengths):
    """Cycle of each result, counted from the first sample's transfer."""
    samples = [{"value": 1, "last": int(t == length - 1)} for length in lengths
               for t in range(length)]
    _, cycles = observe(Core(art, hw), {"i": samples}, {"o": len(lengths)}, [])
    return [cycle - cycles["i"][0] for cycle in cycles["o"]]


@pytest.mark.parametrize("case", CASES)
def test_prediction_is_exact(case):
    shape, lanes, lengths = CASES[case]
    art, hw = random_artifact(1, **shape), HardwareConfig(lanes, signature=False)
    prediction = predict(art, hw, list(lengths))
    assert prediction.results == simulate(art, hw, lengths)
    assert prediction.cycles == prediction.results[-1]
    assert prediction.steps == sum(lengths)


def test_prediction_with_few_sequences_inside(monkeypatch):
    """The first sample of a sequence waits for the result of the second last one."""
    shape, lanes, lengths = CASES["tokens, short"]
    art, hw = random_artifact(1, **shape), HardwareConfig(lanes, signature=False)
    free = predict(art, hw, list(lengths)).cycles
    monkeypatch.setattr("rtl.plan.IN_FLIGHT", 2)
    prediction = predict(art, hw, list(lengths))
    assert prediction.results == simulate(art, hw, lengths)
    assert prediction.cycles > free


@pytest.mark.parametrize("P", [1, 2])
def test_steady_state_of_a_network_of_useful_size(P):
    """A step costs the state updates and nothing else, with one lane and with many."""
    art = random_artifact(1, H=64, n=4, length=1000, block=P)
    for lanes, cycles in ((1, 256 / P), (4, 64 / P), (16, 16 / P)):
        prediction = predict(art, HardwareConfig(lanes), [1000])
        assert prediction.cycles_per_step == prediction.roofline == cycles
        assert prediction.utilisation == 1
        assert cycles * 1000 < prediction.cycles < cycles * 1003 + 1000


@pytest.mark.parametrize("case", CASES)
def test_skipping_changes_nothing(case):
    """Long and short sequences in a random order: as when every step is followed."""
    shape, lanes, _ = CASES[case]
    planned = plan(random_artifact(1, **shape), HardwareConfig(lanes))
    lengths = np.random.default_rng(3).choice([1, 2, 3, 7, 40, 64], 40)
    free, slow = Run(planned), Run(planned)
    for number, length in enumerate(lengths):
        blocks = planned.geo.blocks(length)
        for t in range(blocks):
            last = t == blocks - 1
            slow.step(t == 0, last, last and length % planned.geo.P)
        assert free.sequence(int(length)) == slow.decoder.results[-1], f"sequence {number}"


def test_ten_thousand_sequences_are_quick(monkeypatch):
    steps, step = [], Run.step
    monkeypatch.setattr(Run, "step", lambda *args: (steps.append(1), step(*args)))
    art = random_artifact(1, H=64, n=4, length=784)
    prediction = predict(art, HardwareConfig(4), [784] * 10_000)
    assert prediction.results[-1] - prediction.results[0] == 9_999 * 784 * 64
    assert len(steps) < 500


@pytest.mark.parametrize("length", [0, 65, -1])
def test_lengths_are_checked(length):
    with pytest.raises(ValueError, match=rf"a sequence has 1..64 steps, not {length}"):
        predict(random_artifact(length=64), HardwareConfig(), [3, length])


def test_stopping_clock():
    """Against own times counted one by one, with stops in rising order at random places."""
    rng = np.random.default_rng(1)
    clock, ends = StoppingClock(), np.arange(200)
    for own in np.sort(rng.choice(200, 30, replace=False)):
        until = int(ends[own] + rng.integers(-2, 5))
        ends[own:] += max(0, until - ends[own])
        assert clock.stop(int(own), until) == ends[own]
    assert [clock.cycle(own) for own in range(200)] == ends.tolist()
    for cycle in range(int(ends[-1])):
        assert clock.own(cycle) == np.searchsorted(ends, cycle)


LONG_AND_SHORT = (1, 64, 1, 64, 1, 64, 1, 1, 13, 55, 37, 60, 64, 1, 1, 1, 64, 1, 1, 64)     # fuzz


@pytest.mark.parametrize("lanes", [1, 4])
def test_more_stops_than_a_clock_remembers(lanes, monkeypatch):
    """Every step of a tiny deep core stops its clocks: as with a memory of all of them."""
    planned = plan(random_artifact(1, H=4, n=2, n_layers=4, length=64), HardwareConfig(lanes))
    found = predict(planned.art, planned.hw, list(LONG_AND_SHORT)).results
    monkeypatch.setattr(step_times, "KEPT", 5000)
    run, results = Run(planned), []
    for length in LONG_AND_SHORT:
        for t in range(length):
            run.step(t == 0, t == length - 1)
        results.append(run.decoder.results[-1])
    assert found == results
