"""What helps the accuracy and what does not: ``python -m bench.ablation``.

Trains a small psMNIST network once per row, one thing changed from the first row at a time, on part
of the training split and for few epochs, and judges it on validation sequences. Not what a shipped
network reaches: what is compared is the same short training. Every row is kept in the JSON file as
it is found, so a run that was stopped goes on. ``--show`` only prints.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("bench.ablation")

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numba
import torch
from rich.table import Table

from bench import kept
from golden import train
from golden.base import cli
from golden.base.files import write_atomic
from golden.base.options import add_build, add_data_dir, add_device, add_threads, build, positive
from golden.model.config import PaperConfig
from golden.model.network import Network
from golden.training.recipes import Recipe
from golden.tasks import make_task

BASE = Recipe(PaperConfig(n_classes=10, n_blocks=2, d_model=64, d_state=8,
                          sampling="systematic"), epochs=3)
# Row: (changes of the network, changes of the training). "mean first" starts from the row "mean".
ROWS = {
    "base": ({}, {}),
    "bernoulli": ({"sampling": "bernoulli"}, {}),
    "sobol": ({"sampling": "sobol"}, {}),
    "mean": ({"sampling": "mean"}, {}),
    "mean first": ({}, {}),
    "distilled from mean": ({}, {"distil": 0.5}),
    "2 draws a step": ({}, {"draws": 2}),
    "residual none": ({"residual": "none"}, {}),
    "residual plain": ({"residual": "plain"}, {}),
    "identity mixer": ({"act": "identity"}, {}),
    "gelu mixer": ({"act": "gelu"}, {}),
    "4 blocks of 42": ({"n_blocks": 4, "d_model": 42}, {}),
    "1 block of 96": ({"n_blocks": 1, "d_model": 96}, {}),
    "2 blocks of 16": ({"d_model": 16}, {}),
    "2 blocks of 32": ({"d_model": 32}, {}),
    "2 blocks of 128": ({"d_model": 128}, {}),
    "2 blocks of 256": ({"d_model": 256}, {}),
    "d_state 4": ({"d_state": 4}, {}),
    "d_state 16": ({"d_state": 16}, {}),
    "A shared": ({"shared_A": True}, {}),
    "s4d_inv": ({"init": "s4d_inv"}, {}),
    "s4d_legs": ({"init": "s4d_legs"}, {}),
    "dt to 0.3": ({"dt_max": 0.3}, {}),
    "dt from 0.003": ({"dt_min": 3e-3}, {}),
    "dt 0.01 to 0.3": ({"dt_min": 1e-2, "dt_max": 0.3}, {}),
    "lr 0.003": ({}, {"lr": 3e-3}),
    "lr 0.03": ({}, {"lr": 3e-2}),
    "ssm lr 0.001": ({}, {"ssm_lr": 1e-3}),
    "ssm lr 0.01": ({}, {"ssm_lr": 1e-2}),
    "dropout 0.1": ({"dropout": 0.1}, {}),
    "no label smoothing": ({}, {"label_smoothing": 0.0}),
    "half augmented": ({}, {"augment": 0.5}),
    "batch 64": ({}, {"batch": 64}),
    "batch 16": ({}, {"batch": 16}),
    "batch 8, lr 0.005": ({}, {"batch": 8, "lr": 5e-3}),
}
AFTER_MEAN = ("mean first", "distilled from mean")


def recipe_of(name: str) -> Recipe:
    """The recipe of a row."""
    network, training = ROWS[name]
    return replace(BASE, network=replace(BASE.network, **network), **training)


def run(name: str, sequences: int, data_dir, mean: Path, device: torch.device) -> dict:
    """Train one row; ``mean`` is where the weights of the row ``mean`` are kept."""
    recipe, task = recipe_of(name), make_task("psmnist")
    if name in AFTER_MEAN and not mean.exists():
        raise cli.UserError(f"{name} starts from the row mean; run that first")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "training"
        train.train(task, recipe, out, data_dir, limit=sequences,
                    start=mean if name == "mean first" else None,
                    teacher=mean if recipe.distil else None, device=device)
        log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        if name == "mean":
            mean.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(mean, (out / "last.pt").read_bytes())
    last = log[-1]
    return {"parameters": Network(recipe.network).parameter_count(),
            "train": last["train_accuracy"], "validation": last["val_accuracy"]}


def show(result: dict) -> None:
    table = Table(title=f"psmnist, {result['sequences']} training sequences, {BASE.epochs} epochs; "
                        f"2 blocks of 64 neurons, d_state 8 and one change")
    for name in ("changed", "parameters", "training %", "validation %"):
        table.add_column(name, justify="left" if name == "changed" else "right")
    for name, row in result["rows"].items():
        table.add_row(name, f"{row['parameters']:,}", f"{100 * row['train']:.1f}",
                      f"{100 * row['validation']:.1f}")
    cli.console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser("bench.ablation", description=__doc__.splitlines()[0])
    parser.add_argument("--row", action="append", choices=ROWS, help="default: all of them")
    parser.add_argument("--sequences", type=positive, default=20_000)
    parser.add_argument("--json", type=Path, help="file for the results; default: "
                        "build/ablation/results.json")
    add_build(parser)
    add_data_dir(parser)
    add_device(parser)
    add_threads(parser, 1)
    parser.add_argument("--show", action="store_true", help="print what is known, train nothing")
    args = parser.parse_args()
    args.json = args.json or build("ablation", "results.json")
    torch.set_num_threads(args.threads)
    numba.set_num_threads(min(args.threads, numba.config.NUMBA_NUM_THREADS))
    key = () if args.show else [kept.of_data(make_task("psmnist"), args.data_dir, "train", "val")]
    result = kept.opened(args.json, {"sequences": args.sequences}, "rows", args.show, *key)
    kept.fill(args.json, result, result["rows"], () if args.show else args.row or ROWS,
              lambda name: run(name, args.sequences, args.data_dir,
                               kept.place(args.json, f"{args.sequences}.mean.pt"),
                               args.device))
    show(result)


if __name__ == "__main__":
    cli.run("bench.ablation", main)
