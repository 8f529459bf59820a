"""What long runs keep to go on from: journals, JSON results, logs of trainings.

What is damaged may be refused, or done again: then the result is the same.
"""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np

from bench import kept, trainings
from bench.attack import edits
from bench.attack.artifact import network
from bench.attack.edits import Rng, pick
from bench.attack.target import Harm, Target
from golden import train
from golden.base.options import BUILD
from sim import campaign, fuzz, tools
from sim.comparer import Part
from sim.report import Report

SEQUENCES, STEPS, PARTS = 6, 10, 3
TIMES = ("elapsed", "commit")           # of a part, which differ between runs
ROWS = {"first": [0.91, 0.92], "second": [0.5], "third": "refused"}
SETTINGS = {"n": 100, "seeds": 2}


def _lines(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    """A file of JSON lines: one of them changed as JSON, or as text."""
    lines = raw.splitlines(keepends=True)
    if rng.random() < 0.3 or not lines:
        return (edits.of_bytes if rng.random() < 0.5 or not lines else edits.of_lines)(rng, raw)
    k = int(rng.integers(len(lines)))
    line, words = edits.of_json(rng, lines[k].rstrip(b"\n"))
    lines[k] = line.replace(b"\n", b"") + b"\n"
    return b"".join(lines), f"line {k + 1}: {words}"


def harmed(rng: Rng, folder: Path, free: bool = False) -> Harm:
    """Any harm to the kept files; locks are left alone."""
    path = pick(rng, sorted(path for path in folder.rglob("*") if path.is_file()
                            and path.suffix != ".lock"))
    change = _lines if path.suffix == ".jsonl" else pick(rng, (edits.of_json, edits.of_json,
                                                               edits.of_bytes))
    raw, words = change(rng, path.read_bytes())
    path.write_bytes(raw)
    return Harm(f"{path.name}: {words}", free)


class Compared:
    """In place of a simulation: every part agrees."""

    def __init__(self):
        self.core = SimpleNamespace(art=network("samples"))
        self.built = SimpleNamespace(binary=Path("program/core"), trace="vcd")

    def compare(self, start, values, lengths, indices, folder, count, trace=None) -> Part:
        art, steps = self.core.art, int(lengths.sum())
        layers = len(art.blocks)
        return Part(start, start + len(values), steps, 2 * layers * art.H * steps, layers * steps,
                    0, None, [1] * len(values), 50 * steps, 50 * steps, 0.5, 0.25, 1 << 20)


def compared(folder: Path) -> dict:
    """A campaign that goes on from its journal, and what its report counts."""
    values = np.zeros((SEQUENCES, STEPS), np.int64)
    rows = values, np.full(SEQUENCES, STEPS), np.arange(SEQUENCES)
    found = Report([], SEQUENCES, "digest", 1, 1, 0.0, 0.0, 0.0, PARTS)
    options = campaign.Options(folder=folder, with_cocotb=False, processes=PARTS,
                               journal=folder / "verify.jsonl")
    campaign._compare(found, Compared(), "", rows, options, lambda text: None, None)
    return {"equal": found.equal, "complete": found.complete, "labels": found.labels,
            "parts": [{name: value for name, value in asdict(part).items() if name not in TIMES}
                      for part in found.parts]}


def _campaign() -> Target:
    return Target("journal of a campaign", compared, harmed, compared)


def _group(group: fuzz.Group) -> dict:
    """In place of a group's simulation."""
    return {"number": group.number, "kind": group.kind, "cases": group.count, "failed": [],
            "steps": 100, "spikes": 1000, "cycles": 5000, "timed": group.count,
            "alive": group.count, "shape": "a shape", "seconds": 0.5}


def fuzzed(folder: Path) -> dict:
    args = argparse.Namespace(n=6, seed=1, kind=[], per_shape=2, jobs=1, keep=folder / "cases",
                              report=folder / "report.json")
    with (mock.patch.dict(os.environ, {BUILD: str(folder)}),
          mock.patch.object(fuzz, "run_group", _group), mock.patch.object(tools, "verilator")):
        report = fuzz.fuzz(args)
    return {name: value for name, value in report.items() if name not in ("date", "commit")}


def measured(folder: Path) -> dict:
    """A measurement that goes on from its file."""
    path = folder / "results.json"
    result = kept.opened(path, SETTINGS, "rows", False)
    kept.fill(path, result, result["rows"], ROWS, ROWS.__getitem__)
    return {name: result[name] for name in (*SETTINGS, "rows")}


def shown(folder: Path) -> dict:
    """The same, only printed."""
    result = kept.opened(folder / "results.json", SETTINGS, "rows", True)
    return {name: result[name] for name in (*SETTINGS, "rows")}


def _log(folder: Path) -> None:
    lines = [{"task": "digits", "parameters": 7, "recipe": {"epochs": 3}, "resumed_at": 0}]
    lines += [{"epoch": k, "loss": 1.5, "train_accuracy": 0.5, "spike_rates": [0.1, 0.2],
               "val_accuracy": 0.25, "seconds": 1.5, "cpu_seconds": 1.5} for k in (1, 2, 3)]
    (folder / "one").mkdir()
    (folder / "one" / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def logged(folder: Path) -> dict:
    """What a training, and a queue of trainings, take from the log of an earlier one."""
    queue = trainings.Queue((trainings.Training("one", "digits"),), folder)
    standing = queue.standing(queue.trainings[0])
    trainings.table(queue, {})
    return {"log": train.kept_log(folder / "one" / "log.jsonl", 2), "standing": standing}


def targets() -> list[Target]:
    return [_campaign(), _campaign(), Target("journal of a fuzz run", fuzzed, harmed, fuzzed),
            Target("kept results", measured, harmed, measured),
            Target("kept results, shown", measured, harmed, shown),
            Target("log of a training", _log,
                   lambda rng, folder: harmed(rng, folder, free=True), logged)]
