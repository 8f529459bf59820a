"""A core under awkward traffic: stalls, bursts, gaps, cuts and resets lose and change nothing."""

import numpy as np
import pytest
from amaranth import ResetInserter, Signal
from amaranth.sim import Simulator

from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from rtl.core import Core
from rtl.plan import plan
from rtl.cycles import predict
from tests.rtl.streams import configure, plain
from tests.rtl.test_core import check, sequences

SHAPE = dict(H=4, n=2, n_classes=2, n_layers=1, residual="clampfuse", stress=0.1)


def drive(core, values, offers=lambda cycle: True, takes=lambda cycle: True, resets=(), writes=(),
          limit=6000):
    """Feed sequences until each has its result.

    ``offers`` and ``takes`` say in which cycles a sample may appear and a result may go; an offered
    sample stays until it is taken. In each cycle of ``resets`` the core is reset, and the first
    sequence starts anew.

    Returns (results, words of each tap, cycles of the results, cycles in which each layer's
    multipliers were busy, cycle of the first sample), of what came after the last reset.
    """
    samples = [{"value": int(v), "last": int(t == len(seq) - 1)} for seq in values
               for t, v in enumerate(seq)]
    taps = [getattr(core, f"tap{j}") for j in range(len(core.art.blocks))]
    reset, seen = Signal(), {}

    def forget():
        seen.update(sent=0, results=[], words=[[] for _ in taps], times=[], busy=[], first=None)

    async def bench(ctx):
        await configure(ctx, core.cfg, writes)
        forget()
        offering = False
        for cycle in range(limit):
            if len(seen["results"]) == len(values):
                return
            ctx.set(reset, cycle in resets)
            offering = seen["sent"] < len(samples) and (offering or offers(cycle))
            ctx.set(core.i.valid, int(offering))
            if offering:
                ctx.set(core.i.payload, samples[seen["sent"]])
            take = takes(cycle)
            ctx.set(core.o.ready, int(take))
            _, _, ready, valid, result, busy, *words = await ctx.tick().sample(
                core.i.ready, core.o.valid, core.o.payload, core.busy, *taps)
            if cycle in resets:
                forget()
                offering = False
                continue
            if offering and ready:
                seen["first"] = cycle if seen["first"] is None else seen["first"]
                seen["sent"], offering = seen["sent"] + 1, False
            if valid and take:
                seen["results"].append(plain(result))
                seen["times"].append(cycle)
            seen["busy"].append(busy)
            for word, found in zip(words, seen["words"]):
                fields = plain(word)
                if fields.pop("valid"):
                    found.append(fields)
        pytest.fail(f"stuck: {len(seen['results'])} of {len(values)} results, cycle {limit}")

    sim = Simulator(ResetInserter(reset)(core))
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return [seen[name] for name in ("results", "words", "times", "busy", "first")]


TRAFFIC = {
    "back to back": (lambda cycle: True, lambda cycle: True),
    "a consumer that stalls": (lambda cycle: True, lambda cycle: cycle % 200 == 199),
    "a producer of bursts": (lambda cycle: cycle // 40 % 3 == 0, lambda cycle: True),
    "single samples": (lambda cycle: cycle % 50 == 0, lambda cycle: cycle % 2),
}


@pytest.mark.parametrize("kind", TRAFFIC)
def test_traffic_changes_nothing(kind):
    art = random_artifact(20, **SHAPE)
    core, values = Core(art, HardwareConfig(2)), sequences(art, (5, 1, 6, 2))
    results, words, *_ = drive(core, values, *TRAFFIC[kind])
    check(art, values, results, words, core.geo)


def test_a_sequence_cut_short_by_last():
    """`last` on an earlier sample gives the answer of the shorter input, and the next its own."""
    art = random_artifact(21, **SHAPE)
    core, whole = Core(art, HardwareConfig(4)), sequences(art, (7,))[0]
    values = [whole, whole[:4], whole[:1], whole]
    results, words, *_ = drive(core, values)
    check(art, values, results, words, core.geo)
    assert results[0] == results[3] != results[1]


@pytest.mark.parametrize("at", [20, 70])
def test_a_reset_in_the_middle_of_a_sequence(at):
    """The core forgets everything but what the host wrote; the next sequence is as any other."""
    art, other = random_artifact(22, **SHAPE), random_artifact(23, **SHAPE)
    core, values = Core(art, HardwareConfig(2)), sequences(art, (7, 2))
    writes = plan(other, core.hw).writes()
    results, words, _, _, first = drive(core, values, resets=(at,), writes=writes)
    check(other, values, results, words, core.geo)
    assert first == at + 1


@pytest.mark.parametrize("lanes, P", [(2, 1), (4, 1), (4, 2)])
def test_multipliers_are_busy(lanes, P):
    """Sequences 2 to 4 of six: as many slots as there are products, in the predicted cycles."""
    art = random_artifact(24, H=16, n=4, n_classes=2, residual="clampfuse",
                          length=6 * P, block=P)
    core = Core(art, HardwareConfig(lanes, signature=False))
    lengths = [6 * P] * 6
    values = sequences(art, lengths)
    _, _, times, busy, first = drive(core, values)
    assert [time - first for time in times] == predict(art, core.hw, lengths).results
    window = np.array(busy[times[0]:times[3]])
    blocks, slots = 3 * 6, [int((window >> j & 1).sum()) for j in range(len(art.blocks))]
    assert slots == [blocks * core.geo.issue] * len(art.blocks)
    assert slots[0] / len(window) == predict(art, core.hw, lengths[:1]).utilisation == 1
