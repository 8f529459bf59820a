# amaranth: UnusedElaboratable=no
"""``python -m sim.bench --task T``: how fast the core is, and how fast it is simulated.

For each number of lanes: cycles per step counted in simulation, the multipliers' roofline and their
utilisation; speed, memory and build time of the native simulation; area and frequency, and with
them the time of a step, where ``python -m rtl.synth`` left a synth.json for that network in
``docs/results`` or ``build/synth``. Energy by counted operations. For the first number of lanes
also the speed of cocotb and of Amaranth's simulator, and toggles from a trace. Writes
build/bench.json.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from golden.base import cli, forms, made
from golden.base.files import write_all_atomic, write_atomic
from golden.base.options import build, lanes_of, positive
from golden.tasks import Split, make_task
from quant.integer import vectors
from quant.integer.artifact import digest
from rtl.parts.config import Geometry, with_options
from rtl.plan import chosen_lanes
from rtl.core import Core
from rtl.cycles import predict
from sim import campaign, inputs, pysim, tools
from sim.benches import cosim
from sim.measure import bench_table, energy, toggles
from sim.native import native, program
from sim import utilisation
from sim.comparer import TRACKS
from sim.native.program import Program
from sim.tools import SimError
from sim.verify import machine

SYNTHESES = tools.ROOT / "docs" / "results"     # those that are kept
STEPS = {"native": 100, "cocotb": 60, "amaranth": 4}    # of a sequence, at most
SYNTHESIS = {                                           # what a synth.json has, at least
    "artifact": str, "part": str, "layers": forms.whole(1), "of": forms.whole(1), "family": str,
    "device": str, "lanes": forms.whole(1), "signature": bool,
    "cells": lambda cells: isinstance(cells, dict) and all(map(forms.amount, cells.values())),
    "routed": (None, lambda runs: isinstance(runs, list) and all(
        isinstance(run, dict) and forms.amount(run.get("fmax")) for run in runs))}
TRACED = 20             # steps of the trace whose toggles are counted
SEQUENCES = 8           # of the test set, from which spike rates are taken


def main(argv: list[str] | None = None) -> int:
    args = _arguments(argv)
    return cli.code("sim.bench", lambda: report(args))


def report(args: argparse.Namespace) -> None:
    """Measure, write and print."""
    result = measure(args)
    text = json.dumps(result, indent=1) + "\n"
    path = write_atomic(args.json or build("bench").with_suffix(".json"), text)
    page = bench_table.page(result)
    if args.report:
        name = result["name"]
        write_all_atomic(args.report, {f"{name}.bench.json": text, f"{name}.bench.md": page})
    print(page)
    print(f"written to {path}")


def _arguments(argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser("sim.bench", description=__doc__.splitlines()[0])
    inputs.add_options(parser)
    parser.set_defaults(lanes=None)
    for action in parser._actions:
        if action.dest == "lanes":
            action.type, action.metavar = lanes_of, "8,1,4,16"
            action.help = "complex modes per cycle and layer; the first is looked at in detail"
    parser.add_argument("--steps", type=positive, metavar="L",
                        help="of each sequence for the utilisation; default: all")
    parser.add_argument("--trace-steps", type=positive, default=TRACED, metavar="N",
                        help=f"steps of the trace, at most {toggles.MOST_STEPS} "
                             f"(default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: build/bench.json")
    parser.add_argument("--report", type=Path, metavar="FOLDER",
                        help="also write <task>.bench.json and .md there")
    return parser.parse_args(argv)


def measure(args: argparse.Namespace) -> dict:
    """Everything that build/bench.json has."""
    task = make_task(args.task)
    tools.verilator()
    split = task.load("test", args.data_dir)
    art = inputs.network(args, task)
    lanes = args.lanes or [chosen_lanes(art, None)]
    for number in lanes:
        Geometry.of(art, number)
    for name, most in (("steps", art.length), ("trace_steps", toggles.MOST_STEPS)):
        if (getattr(args, name) or 1) > most:
            raise SimError(f"--{name.replace('_', '-')} {getattr(args, name)}: it must be at most "
                           f"{most}")
    split = split.take(np.arange(min(SEQUENCES, len(split)))).sequences()
    length = int(split.lengths.max())
    spikes = energy.rates(vectors.expected(art, split.values[:, :length], split.lengths,
                                           inputs.master_seed(args, art), 1))
    result = {
        "task": args.task, "name": inputs.named(args), "network": " ".join(inputs.options(args)),
        "artifact": digest(art), "commit": made.commit(), "machine": machine(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()), "length": art.length,
        "spike_rates": spikes.round(4).tolist(), "synthesis": syntheses(digest(art)),
        "counted": energy.counted(art, spikes).to_dict(), "rows": []}
    for number in lanes:
        print(f"{number} lanes: generating, building and simulating ...", file=sys.stderr)
        core = Core(art, with_options(number, args))    # never elaborated if its Verilog is kept
        source = campaign.source_of(core)
        built = program.build(core, source=source)
        values = utilisation.random_values(art, utilisation.FED, args.steps or art.length)
        row = utilisation.measure(core, built, values) | native_speed(core, built, split)
        result["rows"].append(row)
        if number == lanes[0]:
            print(f"{number} lanes: the other simulators, and a trace ...", file=sys.stderr)
            result["steps_per_second"] = {"lanes": number, "native": row["steps_per_cpu_second"],
                                          **other_speeds(core, source, split)}
            result["toggles"] = toggling(core, source, split, args.trace_steps)
    return result


def native_speed(core: Core, built: Program, split: Split) -> dict:
    """Steps per second of CPU time with as many cores side by side as ``make verify`` has."""
    values = [begin_of(split, k % len(split), STEPS["native"]) for k in range(TRACKS)]
    jobs = [native.Job([v], limit_of(core, v)) for v in values]
    with tools.workspace(tools.build_folder("bench")) as work:
        outs, used = native.run(built, jobs, work)
        steps = sum(int(out.lengths.sum()) for out in outs)
    return {"steps_per_cpu_second": steps / used.seconds, "native_memory_bytes": used.memory,
            "build_seconds": built.seconds, "build_cpu_seconds": built.cpu_seconds}


def other_speeds(core: Core, source: str, split: Split) -> dict[str, float]:
    """Steps per second of cocotb and of Amaranth's simulator, the latter with its preparations."""
    first = begin_of(split, 0, STEPS["cocotb"])
    expected = vectors.make(core.art, first[None])
    with tools.workspace(tools.build_folder("bench")) as work:
        found = cosim.run(core, expected, work / "cocotb", limit=limit_of(core, first),
                          source=source)
    first, begin = first[:STEPS["amaranth"]], time.process_time()
    pysim.run(core, [first], limit_of(core, first))
    return {"cocotb": found["steps_per_second"],
            "amaranth": len(first) / (time.process_time() - begin)}


def begin_of(split: Split, number: int, steps: int) -> np.ndarray:
    """The first steps of a sequence, at most so many."""
    return split.values[number][:min(steps, int(split.lengths[number]))]


def limit_of(core: Core, values: np.ndarray) -> int:
    """Cycles in which a core has certainly answered one sequence."""
    return 2 * predict(core.art, core.hw, [len(values)]).cycles + 1000


def toggling(core: Core, source: str, split: Split, steps: int) -> dict:
    """Toggles per step of the first sequence's first steps, and their energy."""
    built = program.build(core, "vcd", source, "-O0")
    values = begin_of(split, 0, steps)
    with tools.workspace(tools.build_folder("bench")) as work:
        native.run(built, [native.Job([values], limit_of(core, values))], work,
                   work / "trace.vcd", trace_steps=steps)
        with open(work / "trace.vcd") as file:
            found = toggles.read(file)
    per_step = found.total / len(values)
    return {"steps": len(values), "nets": found.nets, "toggles_per_step": per_step,
            "by_part": {name: number / len(values) for name, number in found.by_part.items()},
            "pJ_per_toggle": energy.TOGGLE_PJ, "nJ_per_step": per_step * energy.TOGGLE_PJ / 1000}


def syntheses(artifact: str) -> list[dict]:
    """What ``rtl.synth`` found for this whole network: an entry per family and number of lanes.

    One of the present sources goes before others, which say in ``old`` how they were made.
    """
    found = {}
    for folder in (SYNTHESES, build("synth")):
        for path in sorted(folder.rglob("*synth*.json")):
            if any(name.startswith(".") for name in path.relative_to(folder).parts):
                continue        # it is being made
            row = forms.kept(path, lambda row: isinstance(row, dict) and forms.has(
                {name: row.get(name) for name in SYNTHESIS}, SYNTHESIS))
            if row is None:
                print(f"{path} is damaged or is no synthesis: left out", file=sys.stderr)
            elif (row["artifact"], row["part"], row["layers"]) == (artifact, "core", row["of"]):
                old = made.older("synthesis", row.get("made"))
                key = row["family"], row["lanes"], row["signature"]
                if key in found and (old or not found[key]["old"]):
                    continue
                found[key] = {name: row[name] for name in (
                    "family", "device", "lanes", "signature", "cells")} | {
                    "fmax": max((run["fmax"] for run in row.get("routed") or []), default=None),
                    "old": old}
    return list(found.values())


if __name__ == "__main__":
    sys.exit(main())
