"""``python -m sim --task T``: every spike of every layer, hardware against the integer network.

Exports the artifact if it is missing, generates the RTL, builds it, runs the first test sequence
under cocotb and all of them in the native program, compares, and writes
build/sim/<task>/report.json. Exit code 1: a difference, the first one is printed; 2: a mistake of
the user's.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from golden.data import DataError
from golden.tasks import Split, TaskError, make_task, slug
from quant import artifact
from quant.artifact import Artifact, ArtifactError
from quant.files import write_atomic
from rtl.config import Geometry, HardwareConfig, HardwareError
from sim import campaign, tools
from sim.tools import SimError

ARTIFACTS = Path("build/artifacts")
DEFAULT_N = 20
MISTAKES = (ArtifactError, DataError, HardwareError, SimError, TaskError, OSError)


def main(argv: list[str] | None = None) -> int:
    args = _arguments(argv)
    try:
        report, row = simulate(args)
    except MISTAKES as error:
        print(f"sim: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sim: interrupted", file=sys.stderr)
        return 130
    show(report, row)
    if not report.equal:
        print(f"sim: DIFFERENT, first difference: {report.first}", file=sys.stderr)
        return 1
    return 0


def _arguments(argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser("sim", description=__doc__.splitlines()[0])
    parser.add_argument("--task", required=True, help="digits, psmnist, listops, or module:Class")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("-n", type=_positive, metavar="N",
                       help=f"the first N test sequences (default {DEFAULT_N})")
    which.add_argument("--indices", type=_numbers, metavar="17,4242",
                       help="these test sequences instead")
    parser.add_argument("--lanes", type=_positive, default=HardwareConfig.lanes,
                        help="complex modes per cycle and layer (default %(default)s)")
    parser.add_argument("--seed", type=int, help="master seed; default: the artifact's")
    parser.add_argument("--stall", type=_probability, default=0.0, metavar="P",
                        help="hold both streams back in a cycle with this probability")
    parser.add_argument("--waves", action="store_true",
                        help="trace at most 200 steps of the first sequence")
    parser.add_argument("--artifact", type=Path, metavar="DIR",
                        help="default: build/artifacts/<task>, exported if it is missing")
    parser.add_argument("--data-dir", metavar="DIR",
                        help="folder with the data sets; default $SPIKESSM_DATA")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return int(text)


def _numbers(text: str) -> list[int]:
    if not all(part.strip().isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers; write 17,4242")
    return [int(part) for part in text.split(",")]


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no probability from 0 to below 1")
    return value


def simulate(args) -> tuple[campaign.Report, dict]:
    """Everything but the printing. Returns the report and what report.json says."""
    task = make_task(args.task)
    tools.verilator()
    split = task.load("test", args.data_dir)
    indices = chosen(args, split)
    art = load(args, task)
    hw = HardwareConfig(args.lanes)
    Geometry.of(art, hw)
    limit = 1 << art.random.width
    if args.seed is not None and not 0 < args.seed < limit:
        raise SimError(f"--seed {args.seed}: allowed are 1..{limit - 1}")
    part = split.take(indices)
    name, steps = slug(args.task), int(part.lengths.sum())
    with tqdm(total=steps, unit="step", unit_scale=True, disable=None, leave=False) as bar:
        def progress(done: int) -> None:
            bar.update(done - bar.n)
        report = campaign.run(
            art, part.values[:, :part.lengths.max()], part.lengths, hw, args.seed, indices,
            args.stall, waves=args.waves, folder=tools.BUILD / name, progress=progress,
            report=lambda text: tqdm.write(f"{text} ...", file=sys.stderr))
    row = summary(report, args.task, indices, part)
    path = tools.BUILD / name / "report.json"
    write_atomic(path, (json.dumps(row, indent=1) + "\n").encode())
    return report, row


def chosen(args, split: Split) -> np.ndarray:
    """Numbers of the test sequences that are simulated."""
    if not args.indices:
        if args.n and args.n > len(split):
            raise SimError(f"-n {args.n}: the test set of {args.task} has {len(split)} sequences")
        return np.arange(args.n or min(DEFAULT_N, len(split)))
    bad = [number for number in args.indices if number >= len(split)]
    if bad:
        raise SimError(f"--indices {bad[0]}: the test set of {args.task} has sequences "
                       f"0..{len(split) - 1}")
    return np.array(args.indices)


def load(args, task) -> Artifact:
    """The artifact, exported first where the default one is missing; checked for the task."""
    folder = args.artifact or ARTIFACTS / slug(args.task)
    if not args.artifact and not (folder / "manifest.json").exists():
        command = [sys.executable, "-m", "quant.export", "--task", args.task]
        command += ["--data-dir", args.data_dir] if args.data_dir else []
        print(f"no artifact in {folder}: exporting ...", file=sys.stderr)
        if subprocess.run(command, env=os.environ | {"PYTHONUNBUFFERED": "1"}).returncode:
            raise SimError(f"the export failed; see above, or run: python -m quant.export --task "
                           f"{args.task}")
    art = artifact.load(folder)
    for what, have, want in (("vocabulary", art.vocab, task.vocab),
                             ("number of classes", art.n_classes, task.n_classes),
                             ("sample format", art.edge.sample, task.sample_format)):
        if have != want:
            raise SimError(f"{folder} is not for task {args.task}: its {what} is {have}, the "
                           f"task's {want}; give another --artifact")
    if art.length < task.length:
        raise SimError(f"{folder} takes {art.length} steps, task {args.task} has up to "
                       f"{task.length}; give another --artifact")
    return art


def summary(report: campaign.Report, task: str, indices: np.ndarray, part: Split) -> dict:
    """The content of report.json."""
    tally = report.tally
    right = np.array(tally.labels) == part.labels
    return {
        "task": task, "indices": indices.tolist(), "sequences": tally.sequences,
        "steps": tally.steps, "spikes_compared": tally.spikes,
        "signatures_compared": tally.signatures, "mismatches": tally.mismatches,
        "equal": report.equal, "first_difference": report.first,
        "cycles_per_step": report.cycles_per_step, "predicted_cycles": report.predicted_cycles,
        "simulated_cycles": report.simulated_cycles,
        "steps_per_second": report.steps_per_second, "accuracy": float(right.mean()),
        "artifact": report.artifact, "lanes": report.lanes, "seed": report.seed,
        "cocotb": report.cocotb}


def show(report: campaign.Report, row: dict) -> None:
    """The table, both rungs side by side."""
    cocotb = row["cocotb"]

    def agreement(equal: bool, mismatches: int) -> str:
        return "[green]equal[/]" if equal else f"[bold red]DIFFERENT[/] ({mismatches})"

    print(f"{row['task']}, artifact {row['artifact']}, {row['lanes']} lanes, seed {row['seed']}")
    table = Table()
    for name, align in (("", "left"), ("cocotb", "right"), ("native", "right")):
        table.add_column(name, justify=align)
    for name, key in (("sequences", "sequences"), ("steps", "steps"),
                      ("spikes compared", "spikes_compared"),
                      ("signatures compared", "signatures_compared")):
        table.add_row(name, f"{cocotb[key]:,}", f"{row[key]:,}")
    table.add_row("simulated steps per second", f"{cocotb['steps_per_second']:,.0f}",
                  f"{row['steps_per_second']:,.0f}")
    table.add_row("agreement", agreement(cocotb["equal"], cocotb["mismatches"]),
                  agreement(row["equal"], row["mismatches"]))
    table.add_row("cycles per step", "", f"{row['cycles_per_step']:.2f}")
    table.add_row("predicted cycles", "", f"{row['predicted_cycles']:,}")
    table.add_row("simulated cycles", "", f"{row['simulated_cycles']:,}")
    table.add_row("accuracy", "", f"{100 * row['accuracy']:.2f} %")
    Console(width=100 if not sys.stdout.isatty() else None).print(table)
    print(f"report: {os.path.relpath(tools.BUILD / slug(row['task']) / 'report.json')}")
    if report.waves:
        print(f"trace: {os.path.relpath(report.waves)}")


if __name__ == "__main__":
    sys.exit(main())
