"""Every table and picture of the accuracy on psMNIST: ``make reproduce``.

The shipped psMNIST networks are evaluated anew on the whole test set, in floats and in integers,
each in its own form of sampling under seeds 0..4, and in the other forms on validation sequences;
what was found is kept in ``build/reproduce`` by a digest of all that it was found with, so a run
that was stopped goes on. Learning curves come from the logs of their trainings, the tables of
choices, as they were measured before, from ``docs/results`` (``bench.ablation``,
``bench.sampling_forms``, ``bench.quantisation``, ``bench.widths``). Pictures are written to
``docs/figures``.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("bench.reproduce")

import argparse
import json
import sys
from itertools import zip_longest
from pathlib import Path

import numba
import numpy as np
import torch
from rich.table import Table
from tqdm import tqdm

from bench import ablation, curves, kept, quantisation, sampling_forms, widths
from bench.quantisation import text
from bench.shipped import shipped
from golden import checkpoint, evaluate
from golden.base import cli, forms, made
from golden.base.options import add_build, add_data_dir, add_threads, build, positive
from quant import prepare
from quant.evaluate import evaluate as evaluate_integers
from quant.export import export
from quant.formats import QUANT_CONFIGS, shipped_config
from quant.integer import artifact
from quant.integer.sampling import FORMS

RESULTS = Path("docs/results")
SEEDS = 5


def facts(path: Path) -> dict:
    """What a checkpoint and the log of its training say."""
    found = checkpoint.load(path)
    cfg = found.network.cfg
    log = [json.loads(line) for line in
           path.with_name(path.stem + ".log.jsonl").read_text().splitlines()]
    return {"parameters": found.network.parameter_count(),
            "blocks": cfg.n_blocks, "H": cfg.d_model, "modes": cfg.n_blocks * cfg.d_model
            * cfg.n_modes, "sampling": cfg.sampling, "residual": cfg.residual,
            "curve": [{key: line[key] for key in ("train_accuracy", "val_accuracy")}
                      for line in log if "epoch" in line]}


class Measured:
    """Accuracies of one network, kept in a file."""

    def __init__(self, path: Path, data_dir, n: int | None):
        self.source, self.data_dir, self.n = path, data_dir, n
        self.found = checkpoint.load(path)
        self.own = self.found.network.cfg.sampling
        beside = path.with_suffix(".qat.pt")
        self.tuned = beside if beside.exists() else None
        self.config = QUANT_CONFIGS[shipped_config(path.stem)]
        self.key = (kept.of_files(filter(None, [path, self.tuned])), repr(self.config), str(n),
                    kept.of_data(self.found.task, data_dir, "train", "val", "test"))
        self.path = build("reproduce", f"{path.stem}.{kept.by(*self.key)}.json")

    def jobs(self) -> dict:
        """What is to be measured, by name: functions that return a value per seed."""
        return {"float": self.floats} | {
            f"{form} {split}": lambda form=form, split=split: self.integers(form, split)
            for form, split in [(self.own, "test")] + [(form, "val") for form in FORMS]}

    def split(self, name: str, limit: int | None):
        split = self.found.task.load(name, self.data_dir)
        return split.take(np.arange(min(limit or len(split), len(split))))

    def floats(self) -> list[float]:
        """Test accuracy of the float network, batch norms re-estimated as for the export."""
        train = self.found.task.load("train", self.data_dir)
        found = prepare.reestimated(self.found, train, 1024)
        return evaluate.evaluate(found.network, self.found.task, self.split("test", self.n),
                                 SEEDS)["accuracies"]

    def integers(self, form: str, split: str) -> list[float]:
        folder = self.path.with_suffix("") / form
        if not (folder / "manifest.json").exists():
            export(checkpoint.load(self.source), folder, self.config, self.data_dir, n=0,
                   n_vectors=0, qat=self.tuned, source=self.source.name, sampling=form)
        part = self.split(split, self.n if split == "test" else min(self.n or 2000, 2000))
        return evaluate_integers(artifact.load(folder), part, SEEDS)["accuracies"]

    def run(self, bar: tqdm) -> dict:
        """Measure what is not known yet."""
        result = kept.opened(self.path, {}, "accuracies", False, *self.key)
        for name, job in self.jobs().items():
            bar.set_description(f"{self.source.stem}, {name}")
            kept.fill(self.path, result, result["accuracies"], [name], lambda _, job=job: job())
            bar.update()
        return result["accuracies"]


def networks_table(rows: dict[str, tuple[dict, dict]], n: int | None) -> Table:
    """Of (facts, accuracies) by network."""
    table = Table(title=f"psMNIST, causal; test accuracy in % over {SEEDS} sampler seeds, "
                        f"{n or 'all'} test sequences")
    for head in ("network", "parameters", "blocks x H", "sum of H n", "sampling", "epochs",
                 "float", "integer"):
        table.add_column(head, justify="right")
    for name, (fact, found) in rows.items():
        table.add_row(name, f"{fact['parameters']:,}", f"{fact['blocks']} x {fact['H']}",
                      f"{fact['modes']:,}", fact["sampling"],
                      str(len(fact["curve"])), text(found["float"]),
                      text(found[f"{fact['sampling']} test"]))
    return table


def forms_table(rows: dict[str, tuple[dict, dict]]) -> Table:
    table = Table(title=f"the same networks drawn in each form; integer validation accuracy in % "
                        f"over {SEEDS} seeds")
    for head in ("network", "widths", "trained with", *FORMS):
        table.add_column(head, justify="right")
    for name, (fact, found) in rows.items():
        table.add_row(name, shipped_config(name), fact["sampling"],
                      *(text(found[f"{form} val"]) for form in FORMS))
    return table


def curves_table(rows: dict[str, tuple[dict, dict]]) -> Table:
    table = Table(title="learning curves: training / validation accuracy in % by epoch, running "
                        "batch norms")
    for head in ("epoch", *rows):
        table.add_column(head, justify="right")
    lines = [[f"{100 * e['train_accuracy']:.1f} / {100 * e['val_accuracy']:.1f}"
              for e in fact["curve"]] for fact, _ in rows.values()]
    for epoch, cells in enumerate(zip_longest(*lines, fillvalue="")):
        table.add_row(str(epoch + 1), *cells)
    return table


def choices() -> None:
    """Print the tables of choices that ``docs/results`` has."""
    for name, show in (("ablation", ablation.show), ("sampling", sampling_forms.show),
                       ("quantisation", lambda r: quantisation.show(r, quantisation.SWEEPS)),
                       ("widths", widths.show)):
        path = RESULTS / f"psmnist.{name}.json"
        if path.exists():
            result = forms.read(path, "take it from the repository again")
            at = made.commits(result.get("made", {}).get("commits", {}).values())
            print(f"{path}, {f'measured at commit {at}' if at else 'measured earlier'}:")
            show(result)
        else:
            print(f"{path} does not exist: no table of the {name}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser("bench.reproduce", description=__doc__.splitlines()[0])
    parser.add_argument("--network", action="append", metavar="NAME",
                        help="one of the shipped networks; default: all of them")
    parser.add_argument("-n", type=positive, help="the first N test sequences; default all")
    parser.add_argument("--out", type=Path, default=Path("docs/figures"), help="for the pictures")
    add_data_dir(parser)
    add_build(parser)
    add_threads(parser, 2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    numba.set_num_threads(min(args.threads, numba.config.NUMBA_NUM_THREADS))
    paths = shipped(args.network)
    measured = {name: Measured(path, args.data_dir, args.n) for name, path in paths.items()}
    for one in measured.values():
        one.split("test", 1)                                # say now if there are no data
    with tqdm(total=len(paths) * (len(FORMS) + 2), leave=False) as bar:
        rows = {name: (facts(paths[name]), one.run(bar)) for name, one in measured.items()}
    for table in (networks_table(rows, args.n), forms_table(rows), curves_table(rows)):
        cli.console().print(table)
    choices()
    for path in curves.write(rows, RESULTS / "psmnist.ablation.json", args.out):
        print(path)


if __name__ == "__main__":
    cli.run("bench.reproduce", main)
