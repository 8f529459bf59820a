"""Run sequences through the core and compare everything: the work behind ``python -m sim``."""

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from amaranth.back import verilog

from quant import vectors
from quant.artifact import Artifact, digest
from rtl import image
from rtl.config import HardwareConfig
from rtl.core import Core
from rtl.cycles import predict
from sim import cosim, native, tools
from sim.compare import Difference, Tally

CHUNK = 32              # sequences whose expected tensors are in memory at once
SPLIT_STEPS = 20_000    # runs of at least so many steps use two processes
SLACK = 5_000           # cycles on top of the prediction before a run counts as stuck


@dataclass
class Report:
    """What a campaign found; ``cocotb`` is empty where that bench was left out."""

    tally: Tally
    predicted_cycles: int
    simulated_cycles: int
    cycles_per_step: float
    steps_per_second: float
    artifact: str
    lanes: int
    seed: int
    timed: bool                                 # cycles are compared: no stalls
    cocotb: dict = field(default_factory=dict)
    waves: Path | None = None

    @property
    def equal(self) -> bool:
        return self.first is None

    @property
    def first(self) -> str | None:
        """The first difference, of spikes before cycles, or None."""
        if self.tally.first:
            return str(self.tally.first)
        if self.cocotb and not self.cocotb["equal"]:
            return f"cocotb: {self.cocotb['first']}"
        if self.timed and self.predicted_cycles != self.simulated_cycles:
            return (f"cycles: predicted {self.predicted_cycles}, simulated "
                    f"{self.simulated_cycles}")
        return None


def seed_writes(core: Core, seed: int) -> list[tuple[int, int]]:
    """Configuration writes that start the random streams of ``core`` from another master seed."""
    if seed == core.art.seed:
        return []
    other = Core(replace(core.art, seed=seed), core.hw)
    return [new for new, old in zip(image.writes(other), image.writes(core)) if new != old]


def _share(steps: int, sequences: int) -> list[range]:
    """Positions of the sequences that each process runs."""
    parts = 2 if steps >= SPLIT_STEPS and sequences > 1 else 1
    cuts = [sequences * part // parts for part in range(parts + 1)]
    return [range(a, b) for a, b in zip(cuts, cuts[1:])]


def run(art: Artifact, values: np.ndarray, lengths: np.ndarray | None = None,
        hw: HardwareConfig = HardwareConfig(), seed: int | None = None,
        indices: np.ndarray | None = None, stall: float = 0.0, with_cocotb: bool = True,
        waves: bool = False, folder: Path | None = None, optimise: str = "-O2",
        threads: int | None = None, report: Callable[[str], None] = print,
        progress: Callable[[int], None] | None = None) -> Report:
    """Compare the hardware of an artifact with the integer network on some sequences.

    Parameters
    ----------
    values : (B, L) raw samples or tokens; lengths : (B,) steps that count, None: all.
    seed : int or None
        Master seed, given to the core through its configuration port.
    indices : (B,) or None
        Numbers of the sequences in messages; None: 0, 1, 2, ...
    stall : float
        Probability of a stall per cycle on both streams; cycles are then not compared.
    with_cocotb : bool
        Run the first sequence through the cocotb bench as well.
    waves : bool
        Trace at most 200 steps of the first sequence.
    folder : Path or None
        Where the run's files go; None: ``build/sim/<task>``.
    optimise : str
        Of the compiler, ``-O0`` for short runs.
    threads : int or None
        Of the integer network.
    report, progress : callable
        Called with a line before each stage; with the number of simulated steps so far.

    Returns
    -------
    Report

    Raises
    ------
    sim.tools.SimError
        Nothing could be built, or a run got stuck before a difference was seen.
    """
    values = np.asarray(values)
    B = len(values)
    lengths = np.full(B, values.shape[1]) if lengths is None else np.asarray(lengths, np.int64)
    indices = np.arange(B) if indices is None else np.asarray(indices)
    folder = folder or tools.BUILD / art.task
    seed = art.seed if seed is None else seed
    core = Core(art, hw)
    writes = seed_writes(core, seed)

    report("generating Verilog")
    source = _source(core)
    report("building the native simulation (kept for the next time)")
    program = native.build(core, waves, source, optimise)
    found = Report(Tally(core.geo.words), 0, 0, 0.0, 0.0, digest(art), hw.lanes, seed, stall == 0)
    if with_cocotb:
        report("running the first sequence under cocotb")
        found.cocotb = _cocotb(core, art, values[:1], lengths[:1], indices[:1], seed, writes,
                               stall, folder, source)

    report(f"simulating {B} sequences, {lengths.sum()} steps")
    shares = _share(int(lengths.sum()), B)
    done = [0] * len(shares)
    trace = folder / f"first_steps.{program.trace}" if waves else None

    def simulate(part: int):
        mine = shares[part]
        prediction = predict(art, hw, [int(lengths[b]) for b in mine])

        def count(steps: int) -> None:
            done[part] = steps
            if progress:
                progress(sum(done))
        # A stall delays a sample by 1 / (1 - stall) cycles on average, never more than 8 times.
        limit = int(prediction.cycles * (1 if stall == 0 else 8 / (1 - stall))) + SLACK + 8 * len(
            writes)
        return prediction, native.run(
            program, [values[b, :lengths[b]] for b in mine], limit, folder / f"run{part}", writes,
            stall, seed=part + 1, waves=trace if part == 0 else None, progress=count,
            allow_stuck=True)

    begin = time.perf_counter()
    with ThreadPoolExecutor(len(shares)) as pool:
        runs = list(pool.map(simulate, range(len(shares))))
    seconds = time.perf_counter() - begin
    found.waves = trace

    report("comparing")
    for mine, (prediction, out) in zip(shares, runs):
        _compare(found.tally, art, values, lengths, indices, mine, out, seed, threads)
        found.predicted_cycles += prediction.cycles
        found.simulated_cycles += out.cycles
        if found.timed and found.tally.equal:
            _compare_times(found.tally, indices, mine, prediction, out)
    found.cycles_per_step = found.simulated_cycles / max(1, int(lengths.sum()))
    found.steps_per_second = int(lengths.sum()) / seconds
    for part in range(len(shares)):
        shutil.rmtree(folder / f"run{part}")
    return found


def _source(core: Core) -> str:
    """Verilog of the core, kept by the content of artifact, configuration and generator."""
    key = tools.content_hash(digest(core.art), core.hw, *(
        path.read_text() for package in ("rtl", "quant")
        for path in sorted((Path(__file__).parents[1] / package).glob("*.py"))))

    def convert(folder: Path) -> None:
        (folder / "core.v").write_text(verilog.convert(core, name="core", emit_src=False))
    return (tools.cached(tools.BUILD / "verilog" / key, convert) / "core.v").read_text()


def _cocotb(core, art, values, lengths, indices, seed, writes, stall, folder, source) -> dict:
    expected = vectors.make(art, values, lengths, seed, "sim.campaign", indices)
    limit = int(predict(art, core.hw, [int(lengths[0])]).cycles * (8 / (1 - stall) if stall else 1))
    return cosim.run(core, expected, folder / "cocotb", writes, stall, limit=limit + SLACK,
                     source=source)


def _compare(tally: Tally, art, values, lengths, indices, mine: range, out, seed, threads) -> None:
    """Expected tensors chunk by chunk, against what one process wrote."""
    for start in range(mine.start, mine.stop, CHUNK):
        chunk = np.arange(start, min(start + CHUNK, mine.stop))
        traces = vectors.expected(art, values[chunk], lengths[chunk], seed, threads)
        for b, trace in zip(chunk, traces):
            position = int(b) - mine.start
            tally.add(int(indices[b]), trace, out.rows(position), out.result(position))
    tally.surplus(int(indices[mine.stop - 1]), *out.surplus())


def _compare_times(tally: Tally, indices, mine: range, prediction, out) -> None:
    """The cycle of every single result."""
    seen = (out.answers["done"] - out.answers["first"][0]).astype(np.int64)
    bad = np.flatnonzero(seen != np.array(prediction.results))
    if len(bad):
        at = int(bad[0])
        tally.note(len(bad), Difference(int(indices[mine.start + at]), "cycle of the result",
                                        expected=prediction.results[at], got=int(seen[at])))
