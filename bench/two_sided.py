"""Two-sided kernels against causal ones: ``python -m bench.two_sided``.

Trains the digits' recipe in both forms with the same seeds and epochs, fewer than the recipe's own,
exports each network in the default widths and runs its integers on the test set. Every network is
kept beside the JSON file, what was found with it in the file, so a run that was stopped goes on.
``--show`` only prints.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("bench.two_sided")

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path

import numba
import torch
from rich.table import Table

from bench import kept
from bench.quantisation import text
from golden import checkpoint, tasks, train
from golden.base import cli
from golden.base.options import add_build, add_data_dir, add_threads, build, positive
from golden.model.config import CHOICES
from golden.tasks import make_task
from golden.training.recipes import recipe_for
from quant import prepare
from quant.evaluate import evaluate
from quant.formats import QuantConfig
from quant.integer.lfsr import SEED
from quant.tune.convert import to_artifact

TASK = "digits"


def accuracy(name: str, args: argparse.Namespace) -> float:
    """Train one network, ``KERNEL SEED``, or train it on, and run its integers on the test set."""
    (kernel, seed), task = name.split(), make_task(TASK)
    recipe = recipe_for(task)
    recipe = replace(recipe, network=replace(recipe.network, kernel=kernel), epochs=args.epochs,
                     seed=int(seed))
    folder = kept.place(args.json, f"{kernel}.{seed}.{args.epochs}")
    train.train(task, recipe, folder, args.data_dir, resume=True)
    found = checkpoint.load(folder / "last.pt")
    net = prepare.prepare(found, task.load("train", args.data_dir)).model(QuantConfig())
    art = to_artifact(net, tasks.spec(task), task.length, SEED, {})
    return evaluate(art, task.load("test", args.data_dir), 1)["accuracy_mean"]


def show(result: dict) -> None:
    table = Table(title=f"{TASK}, integer networks after {result['epochs']} epochs, test accuracy "
                        f"in %, by the training's seed")
    kernels = {}
    for name, value in result["networks"].items():
        kernels.setdefault(name.split()[0], []).append(value)
    for head in ("kernel", "each seed", "mean"):
        table.add_column(head, justify="right")
    for kernel, found in kernels.items():
        table.add_row(kernel, "  ".join(f"{100 * value:.1f}" for value in found), text(found))
    cli.console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser("bench.two_sided", description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=positive, default=20)
    parser.add_argument("--seeds", type=positive, default=5)
    parser.add_argument("--json", type=Path, help="file for the results; default: "
                        "build/two_sided/results.json")
    add_build(parser)
    add_data_dir(parser)
    add_threads(parser, 1)
    parser.add_argument("--show", action="store_true", help="print what is known, train nothing")
    args = parser.parse_args()
    args.json = args.json or build("two_sided", "results.json")
    torch.set_num_threads(args.threads)
    numba.set_num_threads(min(args.threads, numba.config.NUMBA_NUM_THREADS))
    key = () if args.show else [kept.of_data(make_task(TASK), args.data_dir, "train", "val",
                                             "test")]
    result = kept.opened(args.json, {"epochs": args.epochs}, "networks", args.show, *key)
    names = [f"{kernel} {seed}" for seed, kernel in product(range(args.seeds), CHOICES["kernel"])]
    kept.fill(args.json, result, result["networks"], () if args.show else names,
              lambda name: accuracy(name, args))
    show(result)


if __name__ == "__main__":
    cli.run("bench.two_sided", main)
