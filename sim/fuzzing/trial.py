"""Cases of one shape, hardware against the integer network: one build serves all of them."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from quant.integer import vectors
from quant.integer.bounds import types_of
from quant.integer.reference import Trace
from rtl.core import Core
from rtl.cycles import predict
from rtl.plan import plan
from sim import pysim
from sim.native import native, program
from sim.compare import Tally
from sim.comparer import SLACK, TRACKS, compare_times
from sim.fuzzing.case import Case
from sim.fuzzing.shape import Shape

OPTIMISE = "-O0"        # a shape runs for seconds: compiling it longer does not pay
UNBUILT = "the core could not be built"
STALLED = 40            # times the predicted cycles, at most, with stalls of 0.9


@dataclass(frozen=True)
class Outcome:
    """What a case showed."""

    first: str | None       # difference
    steps: int
    spikes: int             # compared
    cycles: int             # predicted, without stalls
    alive: bool             # in every layer there was each of its spikes, and was not

    def to_dict(self) -> dict:
        return asdict(self)


def run(shape: Shape, cases: list[Case], folder: Path) -> list[Outcome]:
    """Simulate cases of one shape with the native program, several at once.

    The shape keeps the rules (``Shape.broken_rule``), so whatever refuses it has failed.
    """
    try:
        core = Core(shape.base, shape.hw)
        for case in cases:
            types_of(case.artifact)
        built = program.build(core, optimise=OPTIMISE)
    except OSError:         # a full disk, say
        raise
    except Exception as error:
        return [Outcome(f"{UNBUILT}: {type(error).__name__}: {error}", 0, 0, 0, False)] * len(cases)
    found = []
    for start in range(0, len(cases), TRACKS):
        batch = cases[start:start + TRACKS]
        jobs = [_job(case, core) for case in batch]
        outs, _ = native.run(built, jobs, folder, allow_stuck=True)
        found += [_judge(case, core, out, out.times) for case, out in zip(batch, outs)]
    if not any(outcome.first for outcome in found):
        shutil.rmtree(built.binary.parent)
    return found


def run_slowly(case: Case) -> Outcome:
    """The same of one case in Amaranth's simulator, without a build; it ignores ``interrupt``."""
    core = Core(case.artifact, case.shape.hw)
    writes = [] if core.plan.built_in else core.plan.writes()
    out = pysim.run(core, case.sequences, len(writes) + _limit(case, core), writes, case.stall)
    return _judge(case, core, out, out.cycles)


def _limit(case: Case, core: Core) -> int:
    cycles = predict(core.art, core.hw, case.lengths).cycles
    return cycles * (STALLED if case.stall else 1) + SLACK


def _job(case: Case, core: Core) -> native.Job:
    writes = plan(case.artifact, core.hw).writes()
    return native.Job(case.sequences, _limit(case, core), writes, case.stall, case.seed,
                      case.interrupt, core.plan.apart)


def _judge(case: Case, core: Core, out, times: list[int]) -> Outcome:
    """Compare what a simulator showed with the network, and the cycles where nothing stalls."""
    lengths = np.array(case.lengths)
    values = np.zeros((len(lengths), lengths.max()), np.int64)
    for row, sequence in zip(values, case.sequences):
        row[:len(sequence)] = sequence
    traces = vectors.expected(case.artifact, np.where(
        np.arange(values.shape[1]) < lengths[:, None], values, values[0, 0]), lengths, threads=1)
    tally, prediction = Tally(core.geo.words), predict(core.art, core.hw, case.lengths)
    for number, trace in enumerate(traces):
        tally.add(number, trace, out.rows(number), out.result(number))
    tally.surplus(len(traces) - 1, *out.surplus())
    if not case.stall and tally.equal:
        compare_times(tally, range(len(traces)), prediction, times)
    return Outcome(str(tally.first) if tally.first else None, tally.steps, tally.spikes,
                   prediction.cycles, _alive(traces))


def _alive(traces: list[Trace]) -> bool:
    """Whether in every layer some of the spikes are 0 and some are not, in front of the states too
    where spikes enter them."""
    for name in ("s_in", "s_out"):
        fired = np.concatenate([getattr(trace, name) for trace in traces], axis=1) != 0
        some = fired.any((1, 2)) & ~fired.all((1, 2))
        if fired.size and not some.all():
            return False
    return True
