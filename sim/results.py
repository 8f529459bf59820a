"""The README's tables, printed from measured results: ``python -m sim.results``.

``docs/results/<task>.evaluate.json``, ``<task>.sim.json`` and ``<task>.energy.json`` are copies of
what ``python -m quant.evaluate --json``, ``make sim`` and ``python -m golden.energy --json`` wrote,
``docs/results/whole_way.json`` what ``python -m bench.whole_way`` did.
``--write`` puts the tables into the README between their markers; a test says whether they are
still there.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from golden.base.files import write_atomic

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
README = ROOT / "README.md"
TASKS = ("psmnist", "digits", "listops")


def results(kind: str) -> dict[str, dict]:
    """Measured results of one kind (evaluate, sim) by task, of the tasks that have any."""
    paths = {task: RESULTS / f"{task}.{kind}.json" for task in TASKS}
    return {task: json.loads(path.read_text()) for task, path in paths.items() if path.exists()}


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def accuracy_table() -> str:
    """Accuracy of the integer networks on their test sets."""
    rows = []
    for task, r in results("evaluate").items():
        spread = f" ± {100 * r['accuracy_std']:.2f}" if len(r["seeds"]) > 1 else ""
        rows.append([task, f"{100 * r['accuracy_mean']:.2f} %{spread}", str(len(r["seeds"])),
                     f"{r['n']:,}", " ".join(f"{rate:.2f}" for rate in r["spike_rates"]),
                     str(sum(r["saturations"])), f"{r['seconds'] / len(r['seeds']):.1f} s"])
    return markdown(["task", "integer accuracy", "seeds", "test sequences", "spike rate by layer",
                     "saturations", "time per seed"], rows)


def equality_table() -> str:
    """RTL in Verilator against the integer reference."""
    rows = []
    for task, r in results("sim").items():
        rows.append([task, str(r["sequences"]), f"{r['steps']:,}", f"{r['spikes_compared']:,}",
                     str(r["mismatches"]), str(r["lanes"]), f"{r['cycles_per_step']:g}",
                     f"{r['predicted_cycles']:,}", f"{r['simulated_cycles']:,}",
                     f"{r['steps_per_second']:,.0f}"])
    return markdown(["task", "sequences", "steps", "spikes compared", "mismatches", "lanes",
                     "cycles per step", "predicted cycles", "simulated cycles",
                     "steps per second"], rows)


def energy_table() -> str:
    """Operations and energy of spiking and other networks, in two countings."""
    rows = []
    for task, r in results("energy").items():
        for row in r["rows"]:
            rows.append([task, row["counting"], row["network"], f"{row['mac']:,.0f}",
                         f"{row['add']:,.0f}", f"{row['nJ_per_step']:.1f}",
                         f"{row['uJ_per_sequence']:.2f}", f"{row['s4d_ratio']:.1f}"])
    return markdown(["task", "counting", "network", "MAC per step", "accumulates per step",
                     "nJ per step", "uJ per sequence", "S4D / this"], rows)


def whole_way_table() -> str:
    """Every task the whole way, a small network after one epoch."""
    rows = [[task, f"{r['parameters']:,}", f"{100 * r['accuracy']['integer']:.1f} %",
             f"{r['steps']:,}", f"{r['spikes_compared']:,}", str(r["mismatches"]),
             f"{r['predicted_cycles']:,}", f"{r['simulated_cycles']:,}"]
            for task, r in json.loads((RESULTS / "whole_way.json").read_text())["rows"].items()]
    return markdown(["task", "parameters", "integer accuracy (first test sequences)",
                     "steps simulated", "spikes compared", "mismatches", "predicted cycles",
                     "simulated cycles"], rows)


TABLES = {"accuracy": accuracy_table, "equality": equality_table, "energy": energy_table,
          "whole_way": whole_way_table}


def fill(text: str) -> str:
    """``text`` with every ``<!-- table: NAME -->`` ... ``<!-- end -->`` holding its table."""
    def table(match: re.Match) -> str:
        return f"<!-- table: {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"
    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", table, text, flags=re.S)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("sim.results", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the tables into the README")
    args = parser.parse_args(argv)
    if args.write:
        write_atomic(README, fill(README.read_text()))
    else:
        print("\n\n".join(f"{name}\n\n{table()}" for name, table in TABLES.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
