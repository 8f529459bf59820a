"""One part of a campaign: some sequences through the native core, compared with the network."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from golden.base.forms import amount, whole
from quant.integer import vectors
from rtl.core import Core
from rtl.cycles import Prediction, predict
from sim import heads
from sim.native import native
from sim.compare import Difference, Tally, named
from sim.native.program import Program

TRACKS = 8              # cores in a process, where they are simulated one by one
BACK_TO_BACK = 4        # sequences of each at least, where there are so many
CHUNK = 64              # sequences whose expected tensors are in memory at once, at most; even
SPIKES = 1 << 28        # about so many spikes at once, of a byte each
SLACK = 5_000           # cycles on top of the prediction before a run counts as stuck


@dataclass
class Part:
    """What the comparison of sequences ``start .. stop - 1`` found."""

    start: int
    stop: int
    steps: int
    spikes: int             # compared, of both samplers of every layer
    signatures: int         # compared
    mismatches: int
    first: str | None       # difference
    labels: list[int]       # the hardware's, -1 where there is none
    predicted: int          # cycles, of all tracks
    simulated: int
    cpu_seconds: float      # of the simulation alone
    other_seconds: float    # CPU time of the integer network and of the comparison
    memory: int             # its peak, bytes
    elapsed: float = 0.0    # seconds that the campaign had spent on simulation so far
    classes: list[int] = field(default_factory=list)    # of examples, with a head; as labels
    commit: str | None = None   # of the sources that found it

    FORM = {"start": whole(), "stop": whole(1), "steps": whole(1), "spikes": whole(1),
            "signatures": whole(1), "mismatches": whole(), "first": (str, None),
            "labels": [whole(-1)], "predicted": whole(1), "simulated": whole(),
            "cpu_seconds": amount, "other_seconds": amount, "memory": whole(), "elapsed": amount,
            "classes": [whole(-1)], "commit": (str, None)}      # of a kept record


class Comparer:
    """A built core and how it is driven: compares one part of a campaign after the other.

    Parameters
    ----------
    core : Core
    built : Program
        Of ``core``.
    seed : int
        Master seed, given to the core through its configuration port.
    stall : float
        Probability of a stall per cycle on both streams; cycles are then not compared.
    threads : int or None
        Of the integer network.
    """

    def __init__(self, core: Core, built: Program, seed: int, stall: float = 0.0,
                 threads: int | None = None):
        self.core, self.built, self.seed = core, built, seed
        self.stall, self.threads = stall, threads
        self.writes = [] if core.plan.built_in else core.plan.writes()
        self.writes += [] if seed == core.art.seed else core.plan.seed_writes(seed)
        self._predicted: dict[tuple, Prediction] = {}

    def predict(self, lengths: np.ndarray) -> Prediction:
        key = tuple(int(length) for length in lengths)
        if key not in self._predicted:
            self._predicted[key] = predict(self.core.art, self.core.hw, list(key))
        return self._predicted[key]

    def limit(self, cycles: int) -> int:
        """Cycles after which a run of ``cycles`` predicted ones is stuck."""
        # A stall delays a sample by 1 / (1 - stall) cycles on average, never more than 8 times.
        return int(cycles * (1 if self.stall == 0 else 8 / (1 - self.stall))) + SLACK

    def compare(self, start: int, values: np.ndarray, lengths: np.ndarray, indices: np.ndarray,
                folder: Path, progress: Callable[[int], None] | None = None,
                waves: Path | None = None) -> Part:
        """Simulate the sequences of one part, whose first is at ``start`` in the campaign."""
        begin, count = time.thread_time(), len(values)
        tracks = max(1, min(self.built.tracks or TRACKS, count // BACK_TO_BACK))
        cuts = [count * track // tracks for track in range(tracks + 1)]
        slices = [slice(a, b) for a, b in zip(cuts, cuts[1:])]
        predictions = [self.predict(lengths[mine]) for mine in slices]
        jobs = [native.Job([v[:n] for v, n in zip(values[mine], lengths[mine])],
                           self.limit(prediction.cycles), self.writes, self.stall, start + cuts[k])
                for k, (mine, prediction) in enumerate(zip(slices, predictions))]
        runs, used = native.run(self.built, jobs, folder, waves, progress, allow_stuck=True)
        tally = Tally(self.core.geo.words, self.core.art.inputs)
        places = [(out, position) for out in runs for position in range(len(out.lengths))]
        self._compare(tally, values, lengths, indices, places)
        for mine, prediction, out in zip(slices, predictions, runs):
            tally.surplus(int(indices[mine][-1]), *out.surplus())
            if not self.stall and tally.equal:
                compare_times(tally, indices[mine], prediction, out.times)
        shutil.rmtree(folder)
        return Part(start, start + count, tally.steps, tally.spikes, tally.signatures,
                    tally.mismatches, str(tally.first) if tally.first else None, tally.labels,
                    sum(p.cycles for p in predictions), sum(out.cycles for out in runs),
                    used.seconds, time.thread_time() - begin, used.memory, classes=tally.classes)

    def _compare(self, tally: Tally, values, lengths, indices, places) -> None:
        """Expected tensors chunk by chunk, against (run, position in it) of each sequence."""
        art = self.core.art
        each = 2 * len(art.blocks) * art.H * int(lengths.max())
        size = 2 * max(1, min(CHUNK, SPIKES // each) // 2)      # two may be one example
        for start in range(0, len(values), size):
            chunk = slice(start, start + size)
            traces = vectors.expected(art, values[chunk], lengths[chunk], self.seed, self.threads)
            results = [out.result(position) for out, position in places[chunk]]
            for number, trace, (out, position), result in zip(indices[chunk], traces,
                                                              places[chunk], results):
                tally.add(int(number), trace, out.rows(position), result)
            heads.compare(tally, art, indices[chunk], lengths[chunk], traces, results)


def compare_times(tally: Tally, indices, prediction: Prediction, times: list[int]) -> None:
    """The cycle of every single result, counted from the first sample's transfer."""
    bad = np.flatnonzero(np.array(times) != np.array(prediction.results))
    if len(bad):
        at = int(bad[0])
        tally.note(len(bad), Difference(
            named(int(indices[at]), tally.inputs), "cycle of the result",
            expected=prediction.results[at], got=times[at]))
