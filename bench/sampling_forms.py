"""The three forms of the SpikeSampler against each other: ``python -m bench.sampling_forms``.

Trains the small psMNIST network of ``bench.ablation`` with each form, with and without a residual,
and runs each of the integer networks in every form, on validation sequences under several sampler
seeds, and once with eight votes. Every network is kept beside the JSON file as it is trained, what
was found with it in the file, so a run that was stopped goes on; ``--train`` stops there, for a
machine that has a GPU and another that has time. ``--show`` only prints.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("bench.sampling_forms")

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path

import numba
import numpy as np
import torch
from rich.table import Table

from bench import kept
from bench.ablation import BASE
from bench.quantisation import text
from golden import checkpoint, tasks, train
from golden.base import cli
from golden.base.options import add_build, add_data_dir, add_device, add_threads, build, positive
from golden.tasks import make_task
from quant import prepare
from quant.evaluate import evaluate
from quant.integer.lfsr import SEED
from quant.formats import QuantConfig
from quant.integer.sampling import FORMS
from quant.tune.convert import to_artifact

NETWORKS = [f"{residual}, {form}" for residual, form in product(("clampfuse", "none"), FORMS)]
VOTES = 8


def accuracies(found: checkpoint.Checkpoint, data_dir, count: int, seeds: int) -> dict:
    """Of the integer network in every form: ``single``, a value per seed, and ``votes``."""
    task, rows = found.task, {}
    val = task.load("val", data_dir)
    val = val.take(np.arange(min(count, len(val))))
    net = prepare.prepare(found, task.load("train", data_dir)).model(QuantConfig())
    for form in FORMS:
        net.sampling = form
        art = to_artifact(net, tasks.spec(task), task.length, SEED, {})
        rows[form] = {"single": evaluate(art, val, seeds)["accuracies"],
                      "votes": evaluate(art, val, 1, votes=VOTES)["accuracy_mean"]}
    return rows


def trained(name: str, args: argparse.Namespace) -> Path:
    """The checkpoint of one network, which is trained, or trained on, as far as it is not yet."""
    residual, form = name.split(", ")
    recipe = replace(BASE, network=replace(BASE.network, residual=residual, sampling=form))
    folder = kept.place(args.json, f"{residual}.{form}.{args.sequences}")
    train.train(make_task("psmnist"), recipe, folder, args.data_dir, resume=True,
                limit=args.sequences, device=args.device)
    return folder / "last.pt"


def run(name: str, args: argparse.Namespace) -> dict:
    """Train one network and judge it."""
    return accuracies(checkpoint.load(trained(name, args)), args.data_dir, args.n, args.seeds)


def show(result: dict) -> None:
    table = Table(title=f"psmnist, integer networks of 2 blocks of 64, trained on "
                        f"{result['sequences']} sequences; {result['n']} validation sequences, "
                        f"{result['seeds']} seeds")
    for head in ("residual", "trained with", *FORMS, *(f"{form}, {VOTES} votes" for form in FORMS)):
        table.add_column(head, justify="right")
    for name, row in result["networks"].items():
        table.add_row(*name.split(", "), *(text(row[form]["single"]) for form in FORMS),
                      *(f"{100 * row[form]['votes']:.2f}" for form in FORMS))
    cli.console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser("bench.sampling_forms", description=__doc__.splitlines()[0])
    parser.add_argument("--network", action="append", choices=NETWORKS, help="default: all of them")
    parser.add_argument("--sequences", type=positive, default=20_000, help="to train on")
    parser.add_argument("-n", type=positive, default=2000, help="validation sequences")
    parser.add_argument("--seeds", type=positive, default=5)
    parser.add_argument("--json", type=Path, help="file for the results; default: "
                        "build/sampling/results.json")
    add_build(parser)
    add_data_dir(parser)
    add_device(parser)
    add_threads(parser, 1)
    parser.add_argument("--train", action="store_true", help="train and do not judge")
    parser.add_argument("--show", action="store_true", help="print what is known, train nothing")
    args = parser.parse_args()
    args.json = args.json or build("sampling", "results.json")
    torch.set_num_threads(args.threads)
    numba.set_num_threads(min(args.threads, numba.config.NUMBA_NUM_THREADS))
    names = args.network or NETWORKS
    if args.train:
        for name in names:
            print(trained(name, args))
        return
    settings = {"sequences": args.sequences, "n": args.n, "seeds": args.seeds}
    key = () if args.show else [kept.of_data(make_task("psmnist"), args.data_dir, "train", "val")]
    result = kept.opened(args.json, settings, "networks", args.show, *key)
    kept.fill(args.json, result, result["networks"], () if args.show else names,
              lambda name: run(name, args))
    show(result)


if __name__ == "__main__":
    cli.run("bench.sampling_forms", main)
