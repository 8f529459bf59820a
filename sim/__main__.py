"""``python -m sim --task T``: every spike of every layer, hardware against the integer network.

Exports the artifact if it is missing, generates the RTL, builds it, runs the first test sequence
under cocotb and all of them in the native program, and compares; so does a small network that
saturates, ties and negates (``sim.stress``). Writes build/sim/<task>/report.json, that of the last
run; ``--json FILE`` is a run's own. Exit code 1: a difference, the first one is printed; 2: a
mistake of the user's.
"""

import argparse
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from rich.table import Table
from tqdm import tqdm

from golden.base import cli, folders
from golden.base.files import write_json
from golden.base.options import numbers, positive
from golden.tasks import Split, make_task
from sim import campaign, inputs, stress, tools
from sim.report import Report
from sim.tools import SimError

DEFAULT_N = 20


def main(argv: list[str] | None = None) -> int:
    args = _arguments(argv)
    return cli.code("sim", lambda: run(args))


def run(args: argparse.Namespace) -> int:
    """Simulate and print; 1 if anything differs."""
    path = tools.build_folder(inputs.named(args), "report.json")
    with folders.lock(path.with_name("first_steps")) if args.waves else nullcontext():
        report, row = simulate(args)
        with folders.lock(path, wait=True):     # so that it is this run's while it is printed
            for one in {path, args.json or path}:
                write_json(one, row)
            show(report, row)
    first = row["first_difference"]
    if first:
        print(f"sim: DIFFERENT, first difference: {first}", file=sys.stderr)
    return int(first is not None)


def _arguments(argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser("sim", description=__doc__.splitlines()[0])
    inputs.add_options(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("-n", type=positive, metavar="N",
                       help=f"the first N test sequences (default {DEFAULT_N})")
    which.add_argument("--indices", type=numbers, metavar="17,4242",
                       help="these test sequences instead")
    parser.add_argument("--waves", action="store_true",
                        help="trace at most 200 steps of the first sequence")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report there")
    return parser.parse_args(argv)


def simulate(args) -> tuple[Report, dict]:
    """Everything but the printing. Returns the report and what report.json says."""
    task = make_task(args.task)
    tools.verilator()
    split = task.load("test", args.data_dir)
    indices = chosen(args, split)
    art, hw = inputs.load(args, task)
    examples = split.take(indices)
    part, numbers = examples.sequences(), inputs.flat(indices, art)
    name, steps = inputs.named(args), int(part.lengths.sum())
    with tqdm(total=steps, unit="step", unit_scale=True, disable=None, leave=False) as bar:
        def progress(done: int) -> None:
            bar.update(done - bar.n)
        report = campaign.run(
            art, part.values[:, :part.lengths.max()], part.lengths,
            campaign.Options(hw, args.seed, args.stall, waves=args.waves,
                             folder=tools.build_folder(name)), numbers,
            report=lambda text: tqdm.write(f"{text} ...", file=sys.stderr), progress=progress)
    row = {"name": name} | summary(report, args.task, indices, examples)
    print("running the stress network ...", file=sys.stderr)
    row["stress"] = stress.run()
    if row["equal"] and not row["stress"]["equal"]:
        row |= {"equal": False,
                "first_difference": f"stress network, {row['stress']['first_difference']}"}
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


def summary(report: Report, task: str, indices: np.ndarray, examples: Split) -> dict:
    """The content of report.json; with two inputs "accuracy" is the head's."""
    right = np.array(report.classes) == examples.labels[report.examples]
    return {
        "task": task, "indices": indices.tolist(), "examples": len(report.classes),
        "sequences": len(report.labels),
        "steps": report.total("steps"), "spikes_compared": report.total("spikes"),
        "signatures_compared": report.total("signatures"),
        "mismatches": report.total("mismatches"),
        "equal": report.equal, "first_difference": report.first,
        "cycles_per_step": report.total("simulated") / report.total("steps"),
        "predicted_cycles": report.total("predicted"),
        "simulated_cycles": report.total("simulated"),
        "steps_per_second": report.steps_per_second, "accuracy": float(right.mean()),
        "artifact": report.artifact, "lanes": report.lanes, "seed": report.seed,
        "master_seed": report.master_seed, "commit": report.commit,
        "cocotb": report.cocotb}


def show(report: Report, row: dict) -> None:
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
                  agreement(report.equal, row["mismatches"]))
    table.add_row("cycles per step", "", f"{row['cycles_per_step']:.2f}")
    table.add_row("predicted cycles", "", f"{row['predicted_cycles']:,}")
    table.add_row("simulated cycles", "", f"{row['simulated_cycles']:,}")
    by = f", head on {row['examples']} pairs" if row["examples"] < row["sequences"] else ""
    table.add_row(f"accuracy{by}", "", f"{100 * row['accuracy']:.2f} %")
    cli.console().print(table)
    print(stress.words(row["stress"]))
    print(f"report: {os.path.relpath(tools.build_folder(row['name'], 'report.json'))}")
    if report.waves:
        print(f"trace: {os.path.relpath(report.waves)}")


if __name__ == "__main__":
    sys.exit(main())
