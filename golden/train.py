"""Train a network on a task: ``python -m golden.train --task digits``.

Writes ``build/train/<task>/last.pt`` after every epoch (``--resume`` continues from it, with the
same result as without the interruption) and ``log.jsonl``.
"""

if __name__ == "__main__":
    from golden import heap
    heap.restart_with_settings("golden.train")

import argparse
import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from golden import checkpoint, cli, grow, models
from golden.batches import Stored, accuracy, device_of, fast_dtype, part_changed, spike_rates
from golden.config import NetworkConfig
from golden.graphed import GraphedStep
from golden.recipes import Recipe, recipe_for
from golden.tasks import Split, Task, checked, make_task, slug, spec


def optimiser(net: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW; A, dt and a DPLR model's B and P get their own rate and no decay, as in S4.

    On a GPU its steps can be recorded in a graph (``golden.graphed``).
    """
    ssm, norms, weights = [], [], []
    for name, p in net.named_parameters():
        last = name.split(".")[-1]
        group = (ssm if last in ("log_A_re", "A_im", "log_dt", "B", "P")
                 else weights if p.ndim > 1 else norms)
        group.append(p)
    return torch.optim.AdamW([
        {"params": weights, "lr": recipe.lr, "weight_decay": recipe.weight_decay},
        {"params": norms, "lr": recipe.lr, "weight_decay": 0.0},
        {"params": ssm, "lr": recipe.ssm_lr, "weight_decay": 0.0}],
        **({"fused": True, "capturable": True} if device_of(net).type == "cuda" else {}))


class Run:
    """One training: network, optimiser and schedule, an epoch at a time."""

    def __init__(self, task: Task, recipe: Recipe, train_split: Split,
                 teacher: nn.Module | None = None, device: torch.device = torch.device("cpu")):
        if recipe.augment and not hasattr(task, "augment"):
            raise cli.UserError(f"the recipe augments, but task {task.name} has no augment(values, "
                                f"generator)")
        if bool(recipe.distil) != (teacher is not None):
            raise cli.UserError("distillation needs both a recipe with distil > 0 and --teacher")
        torch.manual_seed(recipe.seed)
        self.teacher = teacher and teacher.to(device)
        self.task, self.recipe, self.split, self.device = task, recipe, train_split, device
        self.stored = Stored(train_split, task, device)
        self.dtype = fast_dtype(device)
        self.batch = min(recipe.batch, len(train_split))
        self.steps = len(train_split) // self.batch         # in an epoch
        self.net = models.build(recipe.network).to(device)
        self.opt = optimiser(self.net, recipe)
        total = recipe.epochs * self.steps
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.opt, lambda i: min(
            1.0, (i + 1) / recipe.warmup) * 0.5 * (1 + math.cos(math.pi * min(i / total, 1.0))))
        self.rates_on_device()
        self.graphed = None

    def rates_on_device(self) -> None:
        """On a GPU, the optimiser's rates as tensors, for a graph to read."""
        if self.device.type == "cuda":
            for group in self.opt.param_groups:
                group["lr"] = torch.tensor(float(group["lr"]), device=self.device)

    def calibrate(self) -> None:
        """The data-dependent start."""
        start = np.random.default_rng(self.recipe.seed).permutation(len(self.split))[:64]
        self.net.calibrate(*self.stored.ordered(start).batch(0, 64)[:2])

    def start_from(self, path: Path) -> str:
        """Take the weights of ``path``; returns the log of the training that made it, if there.

        A narrower network is widened: its new neurons start like those of a new network.
        """
        content = checkpoint.read(path)
        H = content["network"].get("d_model", NetworkConfig.d_model)
        if H == self.recipe.network.d_model:
            checkpoint.fill(self.net, content["state"], path)
        else:
            self.calibrate()
            try:
                grow.widen(self.net, content["state"])
            except ValueError as error:
                raise checkpoint.CheckpointError(
                    f"{path} cannot be widened to {self.recipe.network.d_model} neurons: "
                    f"{error}") from None
        log = path.with_name("log.jsonl")
        return log.read_text() if log.exists() else ""

    def content(self, epoch: int, val_accuracy: float) -> dict:
        """What ``last.pt`` holds; rates are plain numbers in it on any device."""
        optimiser, schedule = self.opt.state_dict(), self.schedule.state_dict()
        for group in optimiser["param_groups"]:
            group["lr"] = float(group["lr"])
        schedule["_last_lr"] = [float(rate) for rate in schedule["_last_lr"]]
        return {"network": self.recipe.network.to_dict(), "recipe": self.recipe.to_dict(),
                "task": spec(self.task), "permutation": getattr(self.task, "permutation", None),
                "state": self.net.state_dict(), "optimiser": optimiser, "schedule": schedule,
                "rng": self.generator().get_state(),
                "epoch": epoch, "val_accuracy": val_accuracy,
                "info": {"train_sequences": len(self.split)}}

    def restore(self, path: Path) -> int:
        """Continue from ``last.pt``; returns the epochs that are done."""
        content = checkpoint.read(path)
        missing = [key for key in checkpoint.RESUME if key not in content]
        if missing:
            raise checkpoint.CheckpointError(f"{path} cannot be resumed: it lacks "
                                             f"{', '.join(missing)}")
        differences = self.recipe.differences(content["recipe"])
        if content["task"] != spec(self.task):
            differences.insert(0, f"task: {content['task']}, now {spec(self.task)}")
        n = content.get("info", {}).get("train_sequences", len(self.split))
        if n != len(self.split):
            differences.append(f"training sequences: {n}, now {len(self.split)}")
        if differences:
            raise checkpoint.CheckpointError(
                f"{path} is of another training ({'; '.join(differences)}); give the same options, "
                f"another --out, or leave --resume out to start again")
        checkpoint.fill(self.net, content["state"], path)
        self.opt.load_state_dict(content["optimiser"])
        self.schedule.load_state_dict(content["schedule"])
        self.rates_on_device()
        if content["rng"].shape == self.generator().get_state().shape:  # the same kind of device
            self.generator().set_state(content["rng"])
        return content["epoch"]

    def generator(self) -> torch.Generator:
        """Of the samplers' draws."""
        if self.device.type == "cpu":
            return torch.default_generator
        return torch.cuda.default_generators[self.device.index or 0]

    def sequences(self, epoch: int) -> Stored:
        """The split in the order of an epoch, augmented if the recipe says so."""
        seed = [self.recipe.seed, epoch]
        order = np.random.default_rng(seed).permutation(len(self.split))
        if not self.recipe.augment:
            return self.stored.ordered(order)
        generator = torch.Generator(self.device)
        generator.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        return self.stored.ordered(order, lambda raw: part_changed(
            raw, self.task.augment, self.recipe.augment, generator))

    def loss(self, logits, values, lengths, labels) -> torch.Tensor:
        """Cross entropy, and with a teacher its share of the divergence from the teacher's."""
        loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        if self.teacher is None:
            return loss
        with torch.no_grad():
            wanted = self.teacher(values, lengths, self.dtype).log_softmax(1)
        divergence = F.kl_div(logits.log_softmax(1), wanted, log_target=True,
                              reduction="batchmean")
        return (1 - self.recipe.distil) * loss + self.recipe.distil * divergence

    def step(self, values, lengths, labels) -> torch.Tensor:
        """One step of training: (loss, sequences that were right)."""
        logits = sum(self.net(values, lengths, self.dtype)
                     for _ in range(self.recipe.draws)) / self.recipe.draws
        loss = self.loss(logits, values, lengths, labels)
        self.opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip)
        self.opt.step()
        return torch.stack([loss.detach(), (logits.argmax(1) == labels).sum().to(loss.dtype)])

    def fast_step(self, values, lengths, labels) -> torch.Tensor:
        """:meth:`step`, from a graph where there is a GPU and all lengths are the same."""
        if self.device.type != "cuda" or lengths is not None:
            return self.step(values, lengths, labels)
        if self.graphed is None:
            self.graphed = GraphedStep(lambda v, y: self.step(v, None, y), self.net, self.opt,
                                       values, labels)
        return self.graphed(values, labels)

    def epoch(self, epoch: int) -> dict:
        """Train one epoch; loss and accuracy over it."""
        sequences = self.sequences(epoch)
        total = torch.zeros(2, device=self.device)      # summed there: no waiting for a GPU
        bar = tqdm(range(self.steps), desc=f"epoch {epoch + 1}/{self.recipe.epochs}",
                   mininterval=1, leave=False)
        self.net.train()
        for k in bar:
            total += self.fast_step(*sequences.batch(k * self.batch, self.batch))
            self.schedule.step()
            if k % 10 == 9 and self.device.type == "cpu":       # on a GPU to read is to wait
                loss, right = (total / (k + 1)).tolist()
                bar.set_postfix(loss=f"{loss:.3f}", acc=f"{right / self.batch:.4f}")
        loss, right = (total / self.steps).tolist()
        return {"loss": round(loss, 4), "train_accuracy": round(right / self.batch, 4)}


def kept_log(path: Path, epochs: int) -> str:
    """The lines of an earlier log that belong to the first ``epochs`` epochs."""
    if not epochs or not path.exists():
        return ""
    lines = path.read_text().splitlines(keepends=True)
    content = [json.loads(line) for line in lines]
    begin = max((k for k, c in enumerate(content) if c.get("resumed_at") == 0), default=0)
    return "".join(line for k, (line, c) in enumerate(zip(lines, content))
                   if k < begin or c.get("epoch", 0) <= epochs)


def train(task: Task, recipe: Recipe, out: Path, data_dir=None, resume: bool = False,
          limit: int | None = None, start: Path | None = None,
          teacher: Path | None = None, device: torch.device = torch.device("cpu")) -> nn.Module:
    """Train by ``recipe``; see the module's text for what is written under ``out``.

    ``start`` is the ``last.pt`` of an earlier training to go on from with a new schedule; its log
    comes first in the new one. ``teacher`` is the checkpoint to follow where the recipe distils.
    """
    train_split, val_split = (checked(task.load(name, data_dir), task) for name in ("train", "val"))
    if limit:
        train_split, val_split = (s.take(np.arange(min(limit, len(s))))
                                  for s in (train_split, val_split))
    guide = checkpoint.load(teacher).network if teacher else None
    run = Run(task, recipe, train_split, guide, device)
    few = val_split.take(np.arange(min(64, len(val_split))))
    last, log_path = out / "last.pt", out / "log.jsonl"
    done, earlier = 0, ""
    if resume and last.exists():
        done = run.restore(last)
        earlier = kept_log(log_path, done)
    elif start:
        earlier = run.start_from(start)
    else:
        run.calibrate()
    out.mkdir(parents=True, exist_ok=True)
    with log_path.open("w") as log:
        log.write(earlier)
        log.write(json.dumps({"task": task.name, "parameters": run.net.parameter_count(),
                              "recipe": recipe.to_dict(), "train_sequences": len(train_split),
                              "resumed_at": done, "started_from": start and start.name}) + "\n")
        log.flush()
        for epoch in range(done, recipe.epochs):
            began = time.time()
            line = {"epoch": epoch + 1} | run.epoch(epoch)
            rates = [r["s_out"] for r in spike_rates(run.net, few, task, run.dtype)]
            line |= {"val_accuracy": round(accuracy(run.net, val_split, task, run.dtype), 4),
                     "spike_rates": rates,
                     "seconds": round(time.time() - began, 1)}
            print(json.dumps(line), flush=True)
            log.write(json.dumps(line) + "\n")
            log.flush()
            checkpoint.write(last, run.content(epoch + 1, line["val_accuracy"]))
    return run.net.eval()


def main() -> None:
    parser = argparse.ArgumentParser(prog="golden.train", description=__doc__.split("\n")[0])
    parser.add_argument("--task", required=True, help="digits, psmnist, psmnist:seed<k>, listops, "
                        "or your own as package.module:Class")
    parser.add_argument("--recipe", help="default: the task's")
    parser.add_argument("--out", type=Path, help="default: build/train/<task>")
    parser.add_argument("--data-dir", help="folder with data files; default $SPIKESSM_DATA, "
                        "else they are downloaded")
    parser.add_argument("--epochs", type=cli.positive)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--limit", type=cli.positive,
                        help="sequences of each split, for a quick look")
    cli.add_device(parser)
    parser.add_argument("--threads", type=cli.positive, default=os.cpu_count())
    parser.add_argument("--start", type=Path, help="last.pt of an earlier training to go on from; a "
                        "narrower network is widened")
    parser.add_argument("--teacher", type=Path, help="checkpoint to follow, if the recipe distils")
    parser.add_argument("--resume", action="store_true", help="continue from last.pt")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    numba.set_num_threads(min(args.threads, numba.config.NUMBA_NUM_THREADS))
    task = make_task(args.task)
    recipe = recipe_for(task, args.recipe)
    changes = {"epochs": args.epochs, "seed": args.seed}
    recipe = replace(recipe, **{k: v for k, v in changes.items() if v is not None})
    train(task, recipe, args.out or Path("build/train") / slug(task.name), args.data_dir,
          args.resume, args.limit, args.start, args.teacher, args.device)


if __name__ == "__main__":
    cli.run("golden.train", main)
