"""The tables of README.md and docs/results.md, printed from measured results.

``python -m sim.results`` prints them, with ``--write`` it puts them into the two pages between
their markers, and a test compares. They are made from JSON files in ``docs/results``:

* ``<task>.evaluate.json``: ``python -m quant.evaluate --json``
* ``<task>.sim.json``, ``<task>.verify.json``: ``make sim``, ``make verify``
* ``<task>.host.json``, ``<task>.host_noise.json``: ``python -m host run --port sim --json``
* ``<task>.energy.json``: ``python -m golden.energy --json``
* ``whole_way.json``: ``python -m bench.whole_way``; ``networks.json``: with ``--networks``
"""

import argparse
import json
import re
import sys
from pathlib import Path

from golden.base.files import write_atomic

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")
TASKS = ("psmnist", "digits", "listops", "digits_binary", "digits_gsu")


def results(kind: str) -> dict[str, dict]:
    """Measured results of one kind (evaluate, sim, ...) by task, of the tasks that have any."""
    paths = {task: RESULTS / f"{task}.{kind}.json" for task in TASKS}
    return {task: json.loads(path.read_text()) for task, path in paths.items() if path.exists()}


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def accuracy(r: dict) -> str:
    """Mean of an evaluation, and its standard deviation over seeds."""
    spread = f" ± {100 * r['accuracy_std']:.2f}" if len(r["seeds"]) > 1 else ""
    return f"{100 * r['accuracy_mean']:.2f} %{spread}"


def summary_table() -> str:
    """Per task: accuracy of the integers, and the largest comparison of the hardware with them."""
    compared = results("sim") | results("verify")
    rows = [[task, accuracy(r), f"{compared[task]['sequences']:,}",
             f"{compared[task]['spikes_compared']:,}", str(compared[task]["mismatches"]),
             f"{compared[task]['predicted_cycles']:,}", f"{compared[task]['simulated_cycles']:,}"]
            for task, r in results("evaluate").items()]
    return markdown(["task", "integer accuracy", "sequences through the RTL", "spikes compared",
                     "mismatches", "predicted cycles", "simulated cycles"], rows)


def accuracy_table() -> str:
    """Accuracy of the integer networks on their test sets."""
    rows = []
    for task, r in results("evaluate").items():
        rows.append([task, accuracy(r), str(len(r["seeds"])),
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


def complete_table() -> str:
    """Complete test sets through the RTL."""
    rows = [[task, f"{r['sequences']:,}", f"{r['steps']:,}", f"{r['spikes_compared']:,}",
             f"{r['signatures_compared']:,}", str(r["mismatches"]), str(r["lanes"]),
             f"{r['predicted_cycles']:,}", f"{r['simulated_cycles']:,}",
             f"{r['seconds'] / 60:.1f} min, {r['processes']} processes"]
            for task, r in results("verify").items()]
    return markdown(["task", "sequences", "steps", "spikes compared", "signatures compared",
                     "mismatches", "lanes", "predicted cycles", "simulated cycles", "time"], rows)


def host_table() -> str:
    """Answers of the simulated board behind its serial line, without and with noise on the line."""
    clean, noisy = results("host"), results("host_noise")
    rows = []
    for task, r in ((task, runs[task]) for task in clean for runs in (clean, noisy)):
        noise, line = r["noise"], r["line"]
        rows.append([task, f"{noise['corrupted']:,}, {noise['dropped']:,}",
                     f"{r['equal']} of {r['runs']}", f"{r['cycles']:,.0f}",
                     f"{r['runs'] - r['cycles_not_as_predicted']} of {r['runs']}",
                     f"{line['sent']:,}, {line['repeated']:,}"])
    return markdown(["task", "bytes changed, lost on the line", "answers equal",
                     "cycles per sequence", "cycles as predicted", "frames sent, sent again"], rows)


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


def networks_table() -> str:
    """Every kind of network the whole way."""
    rows = [[recipe,
             ", ".join(f"{100 * r['accuracy'][name]:.1f} %" for name in ("float", "integer")),
             str(r["sequences"]), str(r["mismatches"]), f"{r['predicted_cycles']:,}",
             f"{r['simulated_cycles']:,}",
             f"{100 * r['utilisation']:.2f} %" if r["multipliers"] else "",
             f"{r['multipliers']} + {r['others']}"]
            for recipe, r in json.loads((RESULTS / "networks.json").read_text())["rows"].items()]
    return markdown(["recipe", "accuracy of float and integers, 200 sequences", "simulated",
                     "mismatches", "predicted cycles", "simulated cycles", "multiplier slots busy",
                     "multipliers of lanes, others"], rows)


TABLES = {"summary": summary_table, "accuracy": accuracy_table, "equality": equality_table,
          "complete": complete_table, "whole_way": whole_way_table, "host": host_table,
          "energy": energy_table, "networks": networks_table}


def fill(text: str) -> str:
    """``text`` with every ``<!-- table: NAME -->`` ... ``<!-- end -->`` holding its table."""
    def table(match: re.Match) -> str:
        return f"<!-- table: {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"
    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", table, text, flags=re.S)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("sim.results", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true",
                        help="put the tables into README.md and docs/results.md")
    args = parser.parse_args(argv)
    if args.write:
        for page in PAGES:
            write_atomic(page, fill(page.read_text()))
    else:
        print("\n\n".join(f"{name}\n\n{table()}" for name, table in TABLES.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
