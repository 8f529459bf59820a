"""Every task, or every kind of network, the whole way: ``python -m bench.whole_way``.

For each task a small network (the recipe ``small``) is trained for one epoch; with ``--networks``,
one network of digits of each kind by its own recipe. It is exported, and its first test sequences
go through the RTL, every spike compared; then the busy slots of its multipliers are counted. Each
row is kept in the JSON file as it is found, so a run that was stopped goes on. ``--show`` only
prints.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from rich.table import Table

from bench import kept
from golden.base import cli
from golden.base.options import add_build, add_data_dir, build, positive
from golden.tasks import slug

TASKS = ("smnist", "listops", "text", "image", "pathfinder", "sc4", "sc10small", "fsdd")
NETWORKS = ("digits_binary", "digits_gsu", "digits_released", "digits_released_alone",
            "digits_released_post", "digits_released_post_alone", "digits_lif", "digits_lif_alone")


def called(module: str, *arguments) -> float:
    """Seconds that ``python -m module`` took; ``UserError`` with its last line if it fails."""
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["it printed nothing"])[-1]
        raise cli.UserError(f"{module} {' '.join(map(str, arguments))}: exit code "
                            f"{done.returncode}: {re.split(chr(13), last)[-1]}")
    return round(time.perf_counter() - begin, 1)


def measure(row: str, n: int, data: list[str]) -> dict:
    """A task, or a recipe of digits; its files are kept in ``build/whole_way/<sources>.<row>``."""
    task, recipe = ("digits", row) if row in NETWORKS else (row, "small")
    out = kept.place(build("whole_way", "results.json"), slug(row))
    seconds = {"train": called("golden.train", "--task", task, "--recipe", recipe, "--resume",
                               "--out", out, "--threads", 1, "--device", "cpu", *data)}
    artifact = out / "artifact"
    seconds["export"] = called("quant.export", "--task", task, "--checkpoint", out / "best.pt",
                               "--out", artifact, "-n", 200, "--vectors", 1, "--hardware", *data)
    seconds["sim"] = called("sim", "--task", task, "--artifact", artifact, "-n", n, "--json",
                            out / "report.json", *data)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    manifest, report = (json.loads(path.read_text()) for path in (artifact / "manifest.json",
                                                                  out / "report.json"))
    called("sim.utilisation", "--artifact", artifact, "--lanes", report["lanes"], "--json",
           out / "utilisation.json")
    (busy,) = json.loads((out / "utilisation.json").read_text())["rows"]
    keys = ("sequences", "steps", "spikes_compared", "mismatches", "equal", "lanes",
            "cycles_per_step", "predicted_cycles", "simulated_cycles")
    return {"parameters": log[0]["parameters"], "train_sequences": log[0]["train_sequences"],
            "validation": log[-1]["val_accuracy"], "accuracy": manifest["info"]["accuracy"],
            "seconds": seconds} | {key: report[key] for key in keys} | {
        key: busy[key] for key in ("multipliers", "others", "utilisation")}


def show(result: dict) -> None:
    table = Table(title="the whole way")
    for name in ("task or recipe", "parameters", "validation %", "integer % (200)", "steps",
                 "spikes compared", "different", "predicted cycles", "simulated cycles"):
        table.add_column(name, justify="left" if name.startswith("task") else "right")
    for task, row in result["rows"].items():
        table.add_row(task, f"{row['parameters']:,}", f"{100 * row['validation']:.1f}",
                      f"{100 * row['accuracy']['integer']:.1f}", f"{row['steps']:,}",
                      f"{row['spikes_compared']:,}", str(row["mismatches"]),
                      f"{row['predicted_cycles']:,}", f"{row['simulated_cycles']:,}")
    cli.console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser("bench.whole_way", description=__doc__.splitlines()[0])
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument("--task", action="append", help=f"default: {', '.join(TASKS)}")
    rows.add_argument("--networks", action="store_true", help=", ".join(NETWORKS))
    parser.add_argument("-n", type=positive, default=2, help="test sequences; default 2")
    parser.add_argument("--json", type=Path, help="file for the results; default: "
                        "build/whole_way/results.json, or networks.json")
    add_build(parser)
    add_data_dir(parser)
    parser.add_argument("--show", action="store_true", help="print what is known, do nothing")
    args = parser.parse_args()
    args.json = args.json or build("whole_way",
                                   "networks.json" if args.networks else "results.json")
    result = kept.opened(args.json, {"n": args.n}, "rows", args.show)
    data = ["--data-dir", args.data_dir] if args.data_dir else []
    kept.fill(args.json, result, result["rows"], () if args.show else
              NETWORKS if args.networks else args.task or TASKS,
              lambda row: measure(row, args.n, data))
    show(result)


if __name__ == "__main__":
    cli.run("bench.whole_way", main)
