"""Accuracy against every width: ``python -m bench.quantisation --checkpoint FILE``.

One width at a time is changed from the default format; each row is the integer network on sequences
of the validation split (never the test set: the format is chosen from this table). Rows already in
the JSON file are kept, so a run that was stopped goes on. Writes
``build/quantisation/<name>.json``.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("bench.quantisation")

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.table import Table
from tqdm import tqdm

from bench import kept
from golden import checkpoint, tasks
from golden.training import batches
from golden.base import cli
from golden.base.options import add_build, add_data_dir, add_task, build, positive
from golden.checkpoint import Checkpoint
from golden.tasks import Split
from quant import prepare, tuned
from quant.evaluate import evaluate
from quant.integer.lfsr import SEED
from quant.formats import QUANT_CONFIGS, QuantConfig
from quant.tune.convert import to_artifact
from quant.tune.fit import ExportError

# Values of each width, the others as by default. "k" is of RandomFormat, the rest of QuantConfig.
SWEEPS = {
    "state_bits": (12, 14, 16, 18, 20, 24),
    "state_bits, half_even": (12, 14, 16, 18, 20, 24),
    "weight_bits": (2, 3, 4, 5, 6, 8),
    "coef_bits": (10, 12, 14, 16, 18),
    "g_bits": (6, 8, 10, 12, 14, 16, 18),
    "p_bits": (6, 8, 10, 12),
    "k": (6, 8, 10, 12, 16),
}


def variant(base: QuantConfig, what: str, value: int) -> QuantConfig:
    """The configuration of one cell; ``k`` changes nothing here."""
    if what == "k":
        return base
    name, _, rounding = what.partition(", ")
    shift = 5 if name == "weight_bits" else base.shift_bits     # rows of few bits shift further
    return replace(base, **{name: value}, rounding=rounding or base.rounding, shift_bits=shift)


class Bench:
    """A checkpoint, prepared once, and the sequences it is judged on."""

    def __init__(self, found: Checkpoint, data_dir, count: int, seeds: int):
        self.found, self.seeds = found, seeds
        self.prepared = prepare.prepare(found, found.task.load("train", data_dir))
        val = found.task.load("val", data_dir)
        self.split: Split = val.take(np.arange(min(count, len(val))))
        self.key = (tuned.state_digest(found.network), kept.of_data(found.task, data_dir, "train",
                                                                    "val"))

    def float_accuracy(self) -> list[float]:
        """Of the float network under its own sampling, a value per seed."""
        found = []
        for seed in range(self.seeds):
            torch.manual_seed(seed)
            right = batches.right(self.found.network, self.split, self.found.task, 100)
            found.append(float(right.mean()))
        return found

    def integer_accuracy(self, config: QuantConfig, k: int | None = None) -> list[float]:
        """Of the integer network in the formats of ``config``, a value per seed."""
        task, net = self.found.task, self.prepared.model(config)
        art = to_artifact(net, tasks.spec(task), task.length, SEED, {})
        if k is not None:
            art = replace(art, random=replace(art.random, k=k)).check()
        return evaluate(art, self.split, self.seeds)["accuracies"]

    def cell(self, config: QuantConfig, k: int | None = None) -> list[float] | str:
        """The same, or why the export refuses."""
        try:
            return self.integer_accuracy(config, k)
        except ExportError as error:
            return str(error)


def run(bench: Bench, sweeps: dict, path: Path) -> dict:
    """Every cell, written to ``path`` as it is found. A cell that export refuses holds why."""
    settings = {"n": len(bench.split), "seeds": bench.seeds, "split": "val"}
    result = kept.opened(path, {}, "cells", False, *bench.key, json.dumps(settings)) | settings
    if "float" not in result:
        result["float"] = bench.float_accuracy()
    base = QUANT_CONFIGS["default"]
    todo = {"default": ("", 0)} | {f"{what} {value}": (what, value)
                                   for what, values in sweeps.items() for value in values}

    def cell(name: str) -> list[float] | str:
        what, value = todo[name]
        return bench.cell(variant(base, what, value) if value else base,
                          value if what == "k" else None)
    kept.fill(path, result, result["cells"], tqdm(todo, unit="cell"), cell)
    return result


def text(cell: list[float] | str) -> str:
    """A cell as per cent with the deviation over seeds, or ``refused``."""
    if isinstance(cell, str):
        return "refused"
    spread = f" ± {100 * statistics.stdev(cell):.2f}" if len(cell) > 1 else ""
    return f"{100 * statistics.mean(cell):.2f}{spread}"


def show(result: dict, sweeps: dict) -> None:
    table = Table(title=f"validation accuracy in %, {result['n']} sequences, {result['seeds']} "
                        f"seed(s); float {text(result['float'])}, "
                        f"default format {text(result['cells']['default'])}")
    for name in ("bits", *sweeps):
        table.add_column(name, justify="right")
    for v in sorted({v for row in sweeps.values() for v in row}):
        table.add_row(str(v), *(text(result["cells"][f"{what} {v}"]) if v in row else ""
                                for what, row in sweeps.items()))
    cli.console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser("bench.quantisation", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="a file, or the task of a shipped one")
    add_task(parser, required=False, default="the checkpoint's")
    parser.add_argument("-n", type=positive, default=2000, help="validation sequences")
    parser.add_argument("--seeds", type=positive, default=1)
    parser.add_argument("--sweep", action="append", choices=SWEEPS, help="default: all of them")
    add_data_dir(parser)
    add_build(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    sweeps = {what: SWEEPS[what] for what in args.sweep or SWEEPS}
    path = build("quantisation", f"{Path(args.checkpoint).stem}.json")
    bench = Bench(checkpoint.load(args.checkpoint, task=args.task or ""), args.data_dir, args.n,
                  args.seeds)
    path.parent.mkdir(parents=True, exist_ok=True)
    show(run(bench, sweeps, path), sweeps)


if __name__ == "__main__":
    cli.run("bench.quantisation", main)
