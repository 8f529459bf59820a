"""``python -m sim.verify --task T``: the complete test set through the core, every spike compared.

Every spike of both samplers of every layer, every signature, logit, class and saturation count, and
the cycle of every result. Interrupt it and call it again: it goes on with the sequences that are
not done. ``--report FOLDER`` writes <task>.verify.json and .md there, of part of the test set too.
Exit code 1: a difference, the first one is printed; 2: a mistake of the user's; 130: interrupted.
"""

import argparse
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from golden.base import cli
from golden.base.files import write_all_atomic
from golden.base.options import positive
from golden.tasks import Split, make_task
from quant.integer.artifact import digest
from sim import campaign, inputs, tools
from sim.report import Report


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("sim.verify", description=__doc__.splitlines()[0])
    inputs.add_options(parser)
    parser.add_argument("-n", type=positive, metavar="N",
                        help="only the first N test sequences; default: all of them")
    parser.add_argument("--jobs", type=positive, default=tools.processors(), metavar="N",
                        help="simulations at once (default: one per processor, here %(default)s)")
    parser.add_argument("--report", type=Path, metavar="FOLDER",
                        help="also write the report there; default: build/sim/<task> only")
    args = parser.parse_args(argv)
    return cli.code("sim.verify", lambda: report(args),
                    "interrupted; the same command goes on from here")


def report(args: argparse.Namespace) -> int:
    """The campaign and its reports; 1 if anything differs."""
    row = verify(args)
    write(row, tools.build_folder(inputs.named(args)))
    if args.report:
        write(row, args.report)
    print(markdown(row))
    if not row["equal"]:
        print(f"sim.verify: DIFFERENT, first difference: {row['first_difference']}",
              file=sys.stderr)
        return cli.DIFFERENT
    return 0


def verify(args: argparse.Namespace) -> dict:
    """The whole campaign. Returns the content of the report."""
    task = make_task(args.task)
    tools.verilator()
    split = task.load("test", args.data_dir)
    art, hw = inputs.load(args, task)
    whole = len(split)
    examples = split.take(np.arange(min(args.n or whole, whole)))
    split = examples.sequences()
    folder = tools.build_folder(inputs.named(args))
    name = f"verify-{digest(art)}-{hw.lanes}-{inputs.master_seed(args, art)}"
    with tqdm(total=int(split.lengths.sum()), unit="step", unit_scale=True, disable=None,
              leave=False) as bar:
        def progress(done: int) -> None:
            bar.update(done - bar.n)
        report = campaign.run(
            art, split.values, split.lengths, campaign.Options(
                hw, args.seed, args.stall, with_cocotb=False, folder=folder, processes=args.jobs,
                journal=folder / name),
            report=lambda text: tqdm.write(f"{text} ...", file=sys.stderr), progress=progress)
    row = {"name": inputs.named(args), "network": " ".join(inputs.options(args))}
    return row | summary(report, args.task, examples, whole * art.inputs)


def summary(report: Report, task: str, examples: Split, whole: int) -> dict:
    """The content of <task>.verify.json; ``whole`` sequences are in the test set.

    With two inputs "accuracy" is the head's, of examples; sequences are counted singly.
    """
    done, cpu = len(report.labels), report.total("cpu_seconds") + report.total("other_seconds")
    classes = np.array(report.classes)
    return {
        "task": task, "artifact": report.artifact, "lanes": report.lanes, "seed": report.seed,
        "master_seed": report.master_seed,
        "commit": report.commit, "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "sequences": done, "test_set": whole, "steps": report.total("steps"),
        "spikes_compared": report.total("spikes"),
        "signatures_compared": report.total("signatures"),
        "mismatches": report.total("mismatches"), "equal": report.equal,
        "first_difference": report.first, "predicted_cycles": report.total("predicted"),
        "simulated_cycles": report.total("simulated"),
        "accuracy": float((classes == examples.labels[report.examples]).mean()),
        "build_seconds": report.build_seconds, "build_cpu_seconds": report.build_cpu_seconds,
        "seconds": report.seconds,
        "simulation_cpu_seconds": report.total("cpu_seconds"), "cpu_seconds": cpu,
        "test_set_minutes_on_two_cores": cpu / max(done, 1) * whole / 120,
        "steps_per_second": report.steps_per_second, "processes": report.processes,
        "peak_memory_bytes": report.memory, "machine": machine()}


def machine() -> str:
    """Processors and their name."""
    name = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    return f"{tools.processors()} x {name}"


def markdown(row: dict) -> str:
    """The report for people."""
    name = row["name"]
    lines = [
        f"# {name}: the complete test set through the core" if row["sequences"]
        == row["test_set"] else f"# {name}: {row['sequences']:,} of {row['test_set']:,} "
                                f"sequences through the core", "",
        f"`python -m sim.verify {row['network']} --lanes {row['lanes']}`, artifact "
        f"{row['artifact']}, seed {row['seed']}, commit {row['commit']}, {row['date']}, on "
        f"{row['machine']}.", "",
        "| what | how much |", "| --- | --- |"]
    verdict = "equal" if row["equal"] else f"DIFFERENT: {row['first_difference']}"
    table = {
        "sequences": f"{row['sequences']:,}", "time steps": f"{row['steps']:,}",
        "spikes compared": f"{row['spikes_compared']:,}",
        "signatures compared": f"{row['signatures_compared']:,}",
        "mismatches": f"{row['mismatches']:,}", "verdict": verdict,
        "predicted cycles": f"{row['predicted_cycles']:,}",
        "simulated cycles": f"{row['simulated_cycles']:,}",
        "accuracy of the hardware": f"{100 * row['accuracy']:.2f} %",
        "build of the simulation": f"{row['build_seconds']:.0f} s, "
                                   f"{row['build_cpu_seconds']:.0f} s of CPU time",
        "simulation and comparison": f"{row['seconds'] / 60:.1f} min, {row['processes']} processes",
        "steps per second": f"{row['steps_per_second']:,.0f}",
        "CPU time of the simulation per step":
            f"{1e6 * row['simulation_cpu_seconds'] / row['steps']:,.0f} us",
        "CPU time per sequence, network and comparison included":
            f"{1e3 * row['cpu_seconds'] / row['sequences']:,.0f} ms",
        "the complete test set on two idle cores, by CPU time":
            f"{row['test_set_minutes_on_two_cores']:.1f} min",
        "peak memory": f"{row['peak_memory_bytes'] / 2 ** 20:,.0f} MiB"}
    return "\n".join(lines + [f"| {what} | {much} |" for what, much in table.items()]) + "\n"


def write(row: dict, folder: Path) -> None:
    """<task>.verify.json and .md, both or neither."""
    name = row["name"]
    write_all_atomic(folder, {f"{name}.verify.json": json.dumps(row, indent=1) + "\n",
                              f"{name}.verify.md": markdown(row)})


if __name__ == "__main__":
    sys.exit(main())
