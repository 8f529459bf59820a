# amaranth: UnusedElaboratable=no
"""Run sequences through the core and compare everything: the work behind ``python -m sim``."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from amaranth.back import verilog

from golden.base import forms, made
from golden.base.files import write_json
from golden.base.names import slug
from quant.integer import lfsr, vectors
from quant.integer.artifact import Artifact, digest
from rtl.parts.config import HardwareConfig
from rtl.core import Core
from sim import tools
from sim.benches import cosim
from sim.native import program
from sim.comparer import TRACKS, Comparer, Part
from sim.journal import Journal
from sim.report import Report
from sim.tools import SimError

PART = 16 * TRACKS      # sequences whose results are kept together; even
SHORT_STEPS = 500       # campaigns of fewer steps are built without optimisation
SPLIT_STEPS = 20_000    # campaigns of fewer steps use one process
VECTORS = 16            # tracks that advance together in long campaigns,
VECTOR_STEPS = 400_000  # of so many steps, where their faster simulation pays for its build


class Stopped(Exception):
    """The campaign was interrupted."""


@dataclass(frozen=True)
class Options:
    """How a campaign is run.

    Parameters
    ----------
    seed : int or None
        Of the random words, as of ``--seed``; None: the artifact's. The core gets the master seed
        through its configuration port.
    stall : float
        Probability of a stall per cycle on both streams; cycles are then not compared.
    with_cocotb : bool
        Run the first sequence through the cocotb bench as well.
    waves : bool
        Trace at most 200 steps of the first sequence.
    folder : Path or None
        Where the run's files go; None: ``build/sim/<task>``.
    optimise : str or None
        Of the compiler; None: ``-O2``, and ``-O0`` for short runs.
    threads : int or None
        Of the integer network, in each process.
    processes : int
        Simulations at once.
    journal : Path or None
        Keeps the finished parts; what is there already, by the same sources and of the same
        hardware, sequences and network, is not simulated again. See :class:`sim.journal.Journal`.
    """

    hw: HardwareConfig = HardwareConfig()
    seed: int | None = None
    stall: float = 0.0
    with_cocotb: bool = True
    waves: bool = False
    folder: Path | None = None
    optimise: str | None = None
    threads: int | None = 1
    processes: int = 2
    journal: Path | None = None

    def tracks(self, steps: int) -> int:
        """Cores that advance together in a simulation of so many steps, see ``program.build``."""
        # Stalled at random, tracks are not in step, and vectors would not be faster.
        return VECTORS if steps >= VECTOR_STEPS and not self.stall and not self.waves else 0


def run(art: Artifact, values: np.ndarray, lengths: np.ndarray | None = None,
        options: Options = Options(), indices: np.ndarray | None = None,
        report: Callable[[str], None] = print,
        progress: Callable[[int], None] | None = None) -> Report:
    """Compare the hardware of an artifact with the integer network on some sequences.

    It ends early, after the parts that are being simulated, when one has a difference.

    Parameters
    ----------
    values : (B, L) raw samples or tokens; lengths : (B,) steps that count, None: all.
    indices : (B,) or None
        Numbers of the sequences in messages; None: 0, 1, 2, ... With two inputs numbers 2 k and
        2 k + 1 follow each other, and messages name example k and its input.
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
    if B % art.inputs:
        raise SimError(f"{B} sequences, but network {art.task} takes two for an example; give an "
                       f"even number of them")
    lengths = np.full(B, values.shape[1]) if lengths is None else np.asarray(lengths, np.int64)
    indices = np.arange(B) if indices is None else np.asarray(indices)
    steps, core = int(lengths.sum()), Core(art, options.hw)
    report("generating Verilog")
    source = source_of(core)
    report("building the native simulation (kept for the next time)")
    built = program.build(core, tools.trace_kind() if options.waves else None, source,
                          options.optimise or ("-O0" if steps < SHORT_STEPS else "-O2"),
                          options.tracks(steps))
    master = art.seed if options.seed is None else lfsr.master_seed(art.random, options.seed)
    comparer = Comparer(core, built, master, options.stall, options.threads)
    found = Report([], B, digest(art), options.hw.lanes, lfsr.seed_of(art.random, master), 0.0,
                   built.seconds, built.cpu_seconds,
                   options.processes if steps >= SPLIT_STEPS else 1, master_seed=master)
    _compare(found, comparer, source, (values, lengths, indices), options, report, progress)
    return found


def _compare(found: Report, comparer: Comparer, source: str, sequences: tuple, options: Options,
             report: Callable[[str], None], progress: Callable[[int], None] | None) -> None:
    """Run the (values, lengths, indices) of ``sequences`` and put what is seen into ``found``."""
    art, (values, lengths, indices) = comparer.core.art, sequences
    B, steps = len(values), int(lengths.sum())
    folder = options.folder or tools.build_folder(slug(art.task))
    size = art.inputs * max(1, min(PART // art.inputs, -(-B // (found.processes * art.inputs))))
    key = {"sources": made.by("comparison"), "program": comparer.built.binary.parent.name,
           "artifact": found.artifact, "seed": found.seed, "stall": options.stall, "part": size,
           "sequences": tools.array_hash(values, lengths, indices)}
    commit = made.commit()
    with Journal(options.journal, key, partial(fits, art, lengths, size)) as kept, \
            tools.workspace(folder) as work:
        if kept.others:
            report(f"{options.journal.parent} has parts of other sources, libraries, hardware or "
                   f"sequences: they stay there, and nothing of them is taken")
        if kept.ignored:
            report(f"{kept.path} has {kept.ignored} damaged lines: they are done again")
        if options.with_cocotb:
            report(f"running the first {'pair' if art.head else 'sequence'} under cocotb")
            first = (rows[:art.inputs] for rows in sequences)
            found.cocotb = _cocotb(comparer, *first, work, source)
        if options.waves:
            found.waves = folder / f"first_steps.{comparer.built.trace}"
        parts = {record["start"]: Part(**record) for record in kept.records}
        before = sum(part.steps for part in parts.values())
        report(f"simulating {B} sequences, {steps} steps" + (
            f"; {before} of them are done" if before else ""))

        def compare(start: int, count: Callable[[int], None]) -> Part:
            mine = slice(start, start + size)
            trace = work / "trace" if options.waves and not start else None
            part = comparer.compare(start, values[mine], lengths[mine], indices[mine],
                                    work / f"part{start}", count, trace)
            if trace:
                trace.replace(found.waves)
            return part
        for part in _parts(compare, range(0, B, size), parts, found.processes, progress):
            part.commit = commit
            kept.add(asdict(part))
            parts[part.start] = part
    found.parts = [parts[start] for start in sorted(parts)]
    found.seconds = max((part.elapsed for part in found.parts), default=0.0)


def fits(art: Artifact, lengths: np.ndarray, size: int, record: dict) -> bool:
    """Whether a record of a journal is a part of so many of these sequences that can be true."""
    if not forms.has(record, Part.FORM) or record["start"] not in range(0, len(lengths), size):
        return False
    mine = lengths[record["start"]:record["start"] + size]
    layers, steps, inputs = len(art.blocks), int(mine.sum()), art.inputs
    blocks = int((-(-mine // art.block)).sum())
    wanted = {"stop": record["start"] + len(mine), "steps": steps, "signatures": layers * blocks,
              "spikes": 2 * layers * art.H * steps}
    return (all(record[name] == count for name, count in wanted.items())
            and len(record["labels"]) == len(mine)
            and len(record["classes"]) == (len(mine) // inputs if art.head else 0)
            and (record["mismatches"] == 0) == (record["first"] is None))


def _parts(compare: Callable[[int, Callable[[int], None]], Part], starts: Iterable[int],
           done: dict[int, Part], processes: int,
           progress: Callable[[int], None] | None) -> Iterator[Part]:
    """Parts that are not done, as they end; none are begun after one with a difference.

    ``compare(start, count)`` makes one and calls ``count`` with its steps so far.
    """
    before = sum(part.steps for part in done.values())
    earlier = max((part.elapsed for part in done.values()), default=0.0)
    stop, abort, running = threading.Event(), threading.Event(), {}     # running: steps by part
    if any(part.mismatches for part in done.values()):
        return

    def simulate(start: int) -> Part | None:
        def count(steps: int) -> None:
            if abort.is_set():
                raise Stopped
            running[start] = steps
            if progress:
                progress(before + sum(running.values()))
        if stop.is_set():
            return None
        part = compare(start, count)
        if part.mismatches:
            stop.set()
        return part

    begin = time.perf_counter()
    with ThreadPoolExecutor(processes) as pool:
        try:
            waiting = [pool.submit(simulate, start) for start in starts if start not in done]
            for future in as_completed(waiting):
                part = future.result()
                if part:
                    part.elapsed = earlier + time.perf_counter() - begin
                    yield part
        except BaseException:
            stop.set()
            abort.set()
            raise


def source_of(core: Core) -> str:
    """Verilog of a core, kept by the content of artifact, configuration and generator."""
    key = tools.content_hash(digest(core.art), core.hw, made.by("verilog"))
    folder = tools.build_folder("verilog", key)

    def convert(folder: Path) -> None:
        text = verilog.convert(core, name="core", emit_src=False)
        (folder / "core.v").write_text(text)
        write_json(folder / "sum.json", tools.content_hash(text))

    def good() -> bool:
        text = folder / "core.v"
        return text.exists() and forms.kept(folder / "sum.json", str) == tools.content_hash(
            text.read_text(errors="replace"))
    tools.cached(tools.without_damaged(folder, good), convert)
    return (folder / "core.v").read_text()


def _cocotb(comparer: Comparer, values, lengths, indices, folder: Path, source: str) -> dict:
    core = comparer.core
    expected = vectors.make(core.art, values, lengths, comparer.seed, "sim.campaign", indices)
    return cosim.run(core, expected, folder / "cocotb", comparer.writes, comparer.stall,
                     limit=comparer.limit(comparer.predict(lengths).cycles), source=source)
