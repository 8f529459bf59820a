"""The core as a native program: whole sequences in, every spike out, no Python per clock cycle."""

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.compare import Result, Rows, block_starts
from sim.native.program import Program
from sim.ports import at_once
from sim.tools import Different, SimError

TRACE_STEPS = 200


@dataclass(frozen=True)
class Job:
    """What one track of a program does.

    sequences : raw samples or tokens, back to back; limit : clock cycles after which it is stuck;
    writes : configuration writes before; apart : cycles from one to the next, by its address
    (``rtl.plan.Plan.apart``); stall : probability of a stall per cycle, independently at the input
    and at the output, ``seed`` makes the pattern; interrupt : the sequences start this many cycles
    before a reset, behind which all begins anew.
    """

    sequences: list[np.ndarray]
    limit: int
    writes: list[tuple[int, int]] = ()
    stall: float = 0.0
    seed: int = 1
    interrupt: int = 0
    apart: Callable[[int], int] = at_once

    def save(self, path: Path) -> None:
        """The input of a track, see ``track.h``."""
        per65536 = round(self.stall * 65536)
        head = [self.limit, per65536, per65536, self.seed, self.interrupt, len(self.writes),
                *(int(x) for addr, word in self.writes for x in (addr, word, self.apart(addr))),
                len(self.sequences)]
        flat = [np.array(head, np.int64)]
        for values in self.sequences:
            flat += [np.array([len(values)], np.int64), np.asarray(values, np.int64)]
        np.concatenate(flat).tofile(path)


@dataclass(frozen=True)
class Run:
    """What a track wrote, sequence by sequence."""

    program: Program
    lengths: np.ndarray
    answers: np.ndarray         # of Program.answer; fewer than lengths if the run got stuck
    layers: list[np.ndarray]    # memory-mapped rows of Program.row, one array per layer

    def rows(self, position: int) -> list[Rows]:
        """Steps of the sequence at ``position`` in this run, per layer."""
        start, stop = block_starts(self.lengths, self.program.geo.P)[position:position + 2]
        return [self._rows(layer[start:stop]) for layer in self.layers]

    def _rows(self, part: np.ndarray) -> Rows:
        geo, (bits_in, bits_out) = self.program.geo, self.program.bits
        size = geo.P * geo.H
        found = np.unpackbits(part["spikes"], axis=1, count=size * (bits_in + bits_out),
                              bitorder="little")
        s_in, s_out = found[:, :size * bits_in], found[:, size * bits_in:]
        if bits_out == 2:       # two's complement
            s_out = s_out[:, ::2].astype(np.int8) - 2 * s_out[:, 1::2].astype(np.int8)
        if geo.P > 1:           # word by word in a row, and in a word step by step
            s_in, s_out = (s.reshape(len(s), geo.words, geo.P, s.shape[1] // geo.words // geo.P)
                           .swapaxes(1, 2).reshape(len(s) * geo.P, s.shape[1] // geo.P)
                           for s in (s_in, s_out))
        return Rows(s_in, s_out, part["signature"], part["words"].astype(np.int64), part["ended"],
                    geo.P)

    def result(self, position: int) -> Result | None:
        if position >= len(self.answers):
            return None
        answer = self.answers[position]
        return Result(int(answer["label"]), answer["logits"],
                      answer["saturations"].astype(np.int64))

    def surplus(self) -> tuple[list[int], int]:
        """Steps per layer and results behind the last sequence."""
        P = self.program.geo.P
        total = block_starts(self.lengths, P)[-1]
        return ([P * max(0, len(layer) - total) for layer in self.layers],
                max(0, len(self.answers) - len(self.lengths)))

    @property
    def times(self) -> list[int]:
        """Cycles from the first sample's transfer to each result's."""
        done = self.answers["done"].astype(np.int64)
        return (done - self.answers["first"][:1].astype(np.int64)).tolist()

    @property
    def cycles(self) -> int:
        """From the first sample's transfer to the last result's."""
        return max(self.times, default=0)


@dataclass(frozen=True)
class Used:
    """What a run cost: CPU seconds, peak memory in bytes."""

    seconds: float
    memory: int


def run(program: Program, jobs: list[Job], folder: Path, waves: Path | None = None,
        progress: Callable[[int], None] | None = None,
        allow_stuck: bool = False, trace_steps: int = TRACE_STEPS) -> tuple[list[Run], Used]:
    """Run jobs side by side in one process.

    Parameters
    ----------
    folder : Path
        Where the program writes, a folder per job; made if missing.
    waves : Path or None
        Trace of the first job's first ``trace_steps`` steps (with a program built for it).
    progress : callable or None
        Called with the number of steps that the last layers have committed; what it raises ends
        the run.
    allow_stuck : bool
        Return what there is after ``limit`` cycles in place of raising.

    Raises
    ------
    Different
        Stuck after ``limit`` cycles, with how far each layer got.
    SimError
        It could not run to its end: no space to write, say.
    """
    tracks = [folder / str(number) for number in range(len(jobs))]
    for track, job in zip(tracks, jobs):
        track.mkdir(parents=True, exist_ok=True)
        job.save(track / "input.bin")
    trace = ["--trace", str(waves), str(trace_steps)] if waves else []
    used, stuck = None, []
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([str(program.binary), *trace, *map(str, tracks)],
                                   stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            for line in process.stdout:
                word, _, rest = line.strip().partition(" ")
                if word == "steps" and progress:
                    progress(program.geo.P * int(rest))
                elif word == "stuck":
                    stuck.append(rest.partition(" ")[2])
                elif word == "used":
                    seconds, kilobytes = rest.split()
                    used = Used(float(seconds), int(kilobytes) << 10)
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        message = errors.read().strip()
    if code:
        raise SimError(f"the simulation ended with exit code {code}: {message}")
    if stuck and not allow_stuck:
        raise Different(f"the core is stuck: {stuck[0]}")
    runs = [Run(program, np.array([len(v) for v in job.sequences]),
                np.fromfile(track / "results.bin", program.answer),
                [_load(track / f"layer{j}.bin", program.row) for j in range(program.n_layers)])
            for track, job in zip(tracks, jobs)]
    return runs, used


def _load(path: Path, dtype: np.dtype) -> np.ndarray:
    """Memory-mapped records; numpy cannot map an empty file."""
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)
