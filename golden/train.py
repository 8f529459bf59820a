"""Train a network on a task: ``python -m golden.train --task digits``.

Writes under ``build/train/<task>``: ``last.pt``, every few minutes and after every epoch
(``--resume`` continues from it, with the same result as without the interruption, wherever that
came); ``best.pt``, the network of the epoch that was best in validation; and ``log.jsonl``, a line
per epoch.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("golden.train")

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from golden import checkpoint, memory
from golden.base import cli, folders, forms
from golden.base.files import write_atomic
from golden.base.options import (add_build, add_data_dir, add_device, add_task, add_threads, build,
                                 minutes, natural, positive)
from golden.training.batches import accuracy, spike_rates
from golden.training.divergence import NotFinite
from golden.training.run import Run
from golden.tasks import Split, Task, checked, make_task, slug, spec
from golden.training.recipes import Recipe, recipe_for

SAVE_MINUTES = 8.0


def kept_log(path: Path, epochs: int) -> str:
    """The lines of an earlier log that belong to the first ``epochs`` epochs.

    A line that a kill left unfinished, or that is none of a training's, is dropped.
    """
    if not path.exists():
        return ""
    lines, content = [], []
    for line in path.read_text(errors="replace").splitlines(keepends=True):
        try:
            found = forms.parsed(line)
        except ValueError:
            continue
        if isinstance(found, dict) and type(found.get("epoch", 0)) is int:
            content.append(found)
            lines.append(line)
    begin = max((k for k, c in enumerate(content) if c.get("resumed_at") == 0), default=0)
    return "".join(line for k, (line, c) in enumerate(zip(lines, content))
                   if k < begin or c.get("epoch", 0) <= epochs)


class Saves:
    """What a training leaves in its folder ``out``, each file whole at any moment.

    At most ``minutes``, and a step, pass between two times that ``last.pt`` is written in an epoch.
    """

    def __init__(self, run: Run, out: Path, minutes: float):
        self.run, self.minutes = run, minutes
        self.last, self.best, self.log = (out / name for name in ("last.pt", "best.pt",
                                                                  "log.jsonl"))
        self.epochs, self.val_accuracy, self.saved_at = 0, None, time.monotonic()
        self.highest = -1.0         # validation accuracy, of best.pt

    def resume(self) -> str:
        """Continue from ``last.pt``; the lines of the log that stay."""
        self.epochs, self.val_accuracy = self.run.restore(self.last)
        if self.best.exists():
            self.highest = checkpoint.read(self.best).get("info", {}).get("val_accuracy")
            if self.highest is None:
                raise checkpoint.CheckpointError(f"{self.best} is not the best network of a "
                                                 f"training: move it away")
        return kept_log(self.log, self.epochs)

    def begin(self, earlier: str, header: dict, anew: bool) -> None:
        """Start the log with the ``earlier`` one's text; ``anew``: no file of another training."""
        self.run.check("before the first step")
        write_atomic(self.log, earlier + json.dumps(header) + "\n")
        if anew:
            self.best.unlink(missing_ok=True)
            self.write()

    def write(self) -> None:
        """``last.pt`` as the run stands."""
        self.run.check(f"after {self.epochs} epochs and {self.run.part['steps']} steps")
        checkpoint.write(self.last, self.run.content(self.epochs, self.val_accuracy))
        self.saved_at = time.monotonic()

    def after_step(self) -> None:
        """``last.pt`` if it is time to, and before the validation, which can take long."""
        if (time.monotonic() - self.saved_at >= 60 * self.minutes
                or self.run.part["steps"] == self.run.steps):
            self.write()

    def after_epoch(self, line: dict) -> None:
        """A line of the log; ``best.pt`` if none was better, then ``last.pt``."""
        with self.log.open("a") as log:
            log.write(json.dumps(line) + "\n")
        self.epochs, self.val_accuracy = line["epoch"], line["val_accuracy"]
        if self.val_accuracy > self.highest:
            self.run.check(f"after {self.epochs} epochs")
            self.highest = self.val_accuracy
            checkpoint.save(self.best, self.run.net, self.run.task, self.run.info() | {
                "recipe": self.run.recipe.to_dict(), "epoch": self.epochs,
                "val_accuracy": self.val_accuracy})
        self.write()


def train(task: Task, recipe: Recipe, out: Path, data_dir=None, resume: bool = False,
          limit: int | None = None, start: Path | None = None,
          teacher: Path | None = None, device: torch.device = torch.device("cpu"),
          save_minutes: float = SAVE_MINUTES) -> nn.Module:
    """Train by ``recipe``; see the module's text for what is written under ``out``.

    ``start`` is the ``last.pt`` of an earlier training to go on from with a new schedule; its log
    comes first in the new one. ``teacher`` is the checkpoint to follow where the recipe distils.
    """
    train_split, val_split = (checked(task.load(name, data_dir), task).first(limit)
                              for name in ("train", "val"))
    guide = guide_of(teacher, task, recipe) if teacher else None
    with folders.lock(out):         # two trainings in one folder would each replace the other's
        return _train(Run(task, recipe, train_split, guide, device), val_split, out, resume, start,
                      save_minutes)


def guide_of(teacher: Path, task: Task, recipe: Recipe) -> nn.Module:
    """The network to follow; its classes and inputs must be this training's."""
    found = checkpoint.load(teacher, task=spec(task)).network
    for name in ("n_classes", "vocab", "pair"):
        theirs, ours = getattr(found.cfg, name), getattr(recipe.network, name)
        if theirs != ours:
            raise cli.UserError(f"--teacher {teacher}: its {name} is {theirs}, this training's is "
                                f"{ours}")
    return found


def _train(run: Run, val_split: Split, out: Path, resume: bool, start: Path | None,
           save_minutes: float) -> nn.Module:
    """:func:`train` with what it has made ready, in a folder of its own."""
    task, recipe = run.task, run.recipe
    memory.require("a training step", recipe.network, run.batch, run.split.lengths, run.dtype,
                   copies=recipe.draws, device=run.device)
    saves, earlier = Saves(run, out, save_minutes), ""
    resumed = resume and saves.last.exists()
    if resumed:
        earlier = saves.resume()
    elif start:
        earlier = run.start_from(start)
    else:
        run.calibrate()
    saves.begin(earlier, {
        "task": task.name, "parameters": run.net.parameter_count(), "recipe": recipe.to_dict(),
        "train_sequences": len(run.split), "resumed_at": saves.epochs,
        "resumed_step": run.part["steps"], "started_from": start and start.name}, not resumed)
    for epoch in range(saves.epochs, recipe.epochs):
        line = {"epoch": epoch + 1} | run.epoch(epoch, saves.after_step)
        began, cpu = time.monotonic(), time.process_time()
        try:
            line |= validated(run, val_split)
        except NotFinite:
            raise run.diverged(f"validation of epoch {epoch + 1}", "an output") from None
        line["seconds"] = round(line["seconds"] + time.monotonic() - began, 1)
        line["cpu_seconds"] = round(line["cpu_seconds"] + time.process_time() - cpu, 1)
        print(json.dumps(line), flush=True)
        saves.after_epoch(line)
    return run.net.eval()


def validated(run: Run, split: Split) -> dict:
    """What a line of the log says of the validation split; ``NotFinite`` for no numbers."""
    rates = [r["s_out"] for r in spike_rates(run.net, split.first(64), run.task, run.dtype)]
    return {"spike_rates": rates,
            "val_accuracy": round(accuracy(run.net, split, run.task, run.dtype), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="golden.train", description=__doc__.split("\n")[0])
    add_task(parser)
    parser.add_argument("--recipe", help="a name or a TOML file; default: the task's own "
                        "(small fits every task)")
    parser.add_argument("--out", type=Path, help="default: build/train/<task>")
    add_build(parser)
    add_data_dir(parser)
    parser.add_argument("--epochs", type=positive, help="number of epochs; default: the recipe's")
    parser.add_argument("--batch", type=positive,
                        help="sequences in a batch; default: the recipe's")
    parser.add_argument("--seed", type=natural, help="of the training; default: the recipe's")
    parser.add_argument("--limit", type=positive,
                        help="only the first N sequences of each split, for a quick look")
    add_device(parser)
    add_threads(parser)
    parser.add_argument("--start", type=Path, help="last.pt of an earlier training to go on from; "
                        "a narrower network is widened")
    parser.add_argument("--teacher", type=Path, help="checkpoint to follow, if the recipe distils")
    parser.add_argument("--resume", action="store_true",
                        help="continue from last.pt, or start if there is none")
    parser.add_argument("--save-minutes", type=minutes, default=SAVE_MINUTES,
                        help="minutes between two writes of last.pt; default %(default)g")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    task = make_task(args.task)
    recipe = recipe_for(task, args.recipe)
    changes = {"epochs": args.epochs, "seed": args.seed, "batch": args.batch}
    recipe = replace(recipe, **{k: v for k, v in changes.items() if v is not None})
    train(task, recipe, args.out or build("train", slug(spec(task))), args.data_dir,
          args.resume, args.limit, args.start, args.teacher, args.device, args.save_minutes)


if __name__ == "__main__":
    cli.run("golden.train", main)
