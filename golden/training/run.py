"""One training run: network, optimiser and schedule, a step and an epoch at a time, resumable."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from golden import checkpoint
from golden.stored import StoredError
from golden.training import divergence, grow, resume
from golden.base import cli
from golden.training.batches import (Stored, device_of, epoch_order, fast_dtype, longest,
                                     part_changed)
from golden.training.graphed import GraphedStep
from golden.memory import batch_for
from golden.model import before
from golden.model.network import Network
from golden.training.recipes import Recipe
from golden.tasks import Split, Task, spec

START = {"steps": 0, "sums": [0.0, 0.0], "seconds": 0.0, "cpu_seconds": 0.0}   # see Run.part


def group_of(name: str, p: torch.Tensor) -> int:
    """Of the optimiser's groups that of a parameter: 0 matrices, 1 the rest, 2 A, dt, B and P."""
    if name.split(".")[-1] in ("log_A_re", "A_im", "log_dt", "B", "P"):
        return 2
    return int(p.ndim <= 1)


def optimiser(net: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW; A, dt and a DPLR model's B and P get their own rate and no decay, as in S4.

    On a GPU its steps can be recorded in a graph (``golden.training.graphed``).
    """
    weights, norms, ssm = ([p for name, p in net.named_parameters() if group_of(name, p) == group]
                           for group in range(3))
    return torch.optim.AdamW([
        {"params": weights, "lr": recipe.lr, "weight_decay": recipe.weight_decay},
        {"params": norms, "lr": recipe.lr, "weight_decay": 0.0},
        {"params": ssm, "lr": recipe.ssm_lr, "weight_decay": 0.0}],
        **({"fused": True, "capturable": True} if device_of(net).type == "cuda" else {}))


class Run:
    """One training: network, optimiser and schedule, an epoch at a time.

    ``part`` says where in an epoch it is: steps done, their sums of losses and of right answers,
    and the seconds that they took, by the clock and of the processor.
    """

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
        self.stored = Stored(train_split, task, device, few_lengths=True)
        self.dtype = fast_dtype(recipe.network.d_model, device)
        self.batch = min(recipe.batch, len(train_split))
        self.steps = len(train_split) // self.batch         # in an epoch
        self.net = Network(recipe.network).to(device)
        self.opt = optimiser(self.net, recipe)
        total = recipe.epochs * self.steps
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.opt, lambda i: min(
            1.0, (i + 1) / recipe.warmup) * 0.5 * (1 + math.cos(math.pi * min(i / total, 1.0))))
        self.rates_on_device()
        self.graphed = None
        self.part = dict(START)

    def rates_on_device(self) -> None:
        """On a GPU, the optimiser's rates as tensors, for a graph to read."""
        if self.device.type == "cuda":
            for group in self.opt.param_groups:
                group["lr"] = torch.tensor(float(group["lr"]), device=self.device)

    def calibrate(self) -> None:
        """The data-dependent start."""
        start = np.random.default_rng(self.recipe.seed).permutation(len(self.split))
        size = batch_for(64, self.split.lengths, self.recipe.network.d_model, self.device)
        self.net.calibrate(*self.stored.ordered(start[:size]).batch(0, size)[:2])

    def start_from(self, path: Path) -> str:
        """Take the weights of ``path``; returns the log of the training that made it, if there.

        A narrower network is widened: its new neurons start like those of a new network.
        """
        content = checkpoint.read(path)
        if checkpoint.config_of(content, path).d_model == self.recipe.network.d_model:
            checkpoint.fill(self.net, content["state"], path)
        else:
            self.calibrate()
            try:
                grow.widen(self.net, content["state"])
            except grow.GrowError as error:
                raise checkpoint.CheckpointError(
                    f"{path} cannot be widened to {self.recipe.network.d_model} neurons: "
                    f"{error}") from None
        log = path.with_name("log.jsonl")
        return log.read_text(errors="replace") if log.exists() else ""

    def content(self, epoch: int, val_accuracy: float | None) -> dict:
        """What ``last.pt`` holds after ``epoch`` epochs and the part of one that was done since.

        Rates are plain numbers in it on any device.
        """
        optimiser, schedule = self.opt.state_dict(), self.schedule.state_dict()
        for group in optimiser["param_groups"]:
            group["lr"] = float(group["lr"])
        schedule["_last_lr"] = [float(rate) for rate in schedule["_last_lr"]]
        return {"network": self.recipe.network.to_dict(), "recipe": self.recipe.to_dict(),
                "task": spec(self.task), "permutation": getattr(self.task, "permutation", None),
                "state": self.net.state_dict(), "optimiser": optimiser, "schedule": schedule,
                "rng": self.generator().get_state(), "part": self.part,
                "epoch": epoch, "val_accuracy": val_accuracy, "info": self.info()}

    def info(self) -> dict:
        """What a checkpoint says about its making."""
        return {"train_sequences": len(self.split)}

    def restore(self, path: Path) -> tuple[int, float | None]:
        """Continue from ``last.pt``; returns the epochs that are done and their accuracy."""
        content = checkpoint.read(path)
        missing = [key for key in checkpoint.RESUME if key not in content]
        if missing:
            raise checkpoint.CheckpointError(f"{path} cannot be resumed: it lacks "
                                             f"{', '.join(missing)}")
        try:
            differences = self.recipe.differences(content["recipe"])
        except (KeyError, TypeError, ValueError) as error:
            raise checkpoint.CheckpointError(f"{path} cannot be resumed: its recipe is not one: "
                                             f"{error}") from None
        if content["task"] != spec(self.task):
            differences.insert(0, f"task: {content['task']}, now {spec(self.task)}")
        n = content.get("info", {}).get("train_sequences", len(self.split))
        if n != len(self.split):
            differences.append(f"training sequences: {n}, now {len(self.split)}")
        if differences:
            raise checkpoint.CheckpointError(
                f"{path} belongs to another training ({'; '.join(differences)}); give the same "
                f"options, another --out, or leave --resume out to start again")
        checkpoint.fill(self.net, content["state"], path)
        try:
            self.part = self.place(content)
        except StoredError as error:
            raise checkpoint.CheckpointError(f"{path} cannot be resumed: {error}") from None
        return content["epoch"], content["val_accuracy"]

    def place(self, content: dict) -> dict:
        """Take up everything but the weights; returns where in the epoch it is."""
        part = resume.part_of(content, self.recipe.epochs, self.steps, START)
        optimiser = content["optimiser"]
        if "family" not in content["network"]:
            try:
                optimiser = before.optimiser(optimiser, self.net, group_of)
            except (KeyError, TypeError, AttributeError):
                raise StoredError("its optimiser is not one of before") from None
        found = resume.moments(optimiser, self.opt)
        rates = [group["lr"] for group in found["param_groups"]]
        schedule = resume.schedule(content["schedule"], self.schedule,
                                   content["epoch"] * self.steps + part["steps"], rates)
        resume.generator_state(content["rng"], self.generator())
        self.opt.load_state_dict(found)
        self.schedule.load_state_dict(schedule)
        self.rates_on_device()
        return part

    def generator(self) -> torch.Generator:
        """Of the samplers' draws."""
        if self.device.type == "cpu":
            return torch.default_generator
        return torch.cuda.default_generators[self.device.index or 0]

    def sequences(self, epoch: int) -> Stored:
        """The split in the order of an epoch, augmented if the recipe says so."""
        seed = [self.recipe.seed, epoch]
        order = epoch_order(longest(self.split.lengths), self.batch, np.random.default_rng(seed))
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
        """:meth:`step`, from a graph where there is a GPU and all batches have one length."""
        if self.device.type != "cuda" or lengths is not None or self.stored.few_lengths:
            return self.step(values, lengths, labels)
        if self.graphed is None:
            self.graphed = GraphedStep(lambda v, y: self.step(v, None, y), self.net, self.opt,
                                       values, labels)
        return self.graphed(values, labels)

    def check(self, where: str) -> None:
        """Raise if the loss, a weight, a norm's statistic or a moment is not a finite number."""
        what = ("the loss" if not math.isfinite(self.part["sums"][0])
                else divergence.not_finite(self.net, self.opt))
        if what:
            raise self.diverged(where, what)

    def diverged(self, where: str, what: str) -> divergence.Diverged:
        """The error that ends the training."""
        recipe = self.recipe
        return divergence.diverged(
            where, what, f"a recipe with a smaller lr (now {recipe.lr:g}), a smaller clip (now "
            f"{recipe.clip:g}) or a longer warmup (now {recipe.warmup} steps), a larger --batch "
            f"(now {recipe.batch}) or another --seed (now {recipe.seed}), with another --out")

    def epoch(self, epoch: int, after_step: Callable[[], None] = lambda: None) -> dict:
        """Train an epoch, or what is left of it; loss, accuracy and seconds over it.

        ``after_step`` is called whenever ``part`` is up to date: on a CPU after every step.
        """
        sequences, first, began = self.sequences(epoch), self.part["steps"], time.monotonic()
        cpu, before = time.process_time(), self.part
        sums = torch.tensor(self.part["sums"], device=self.device)  # there: no waiting for a GPU
        bar = tqdm(range(first, self.steps), desc=f"epoch {epoch + 1}/{self.recipe.epochs}",
                   initial=first, total=self.steps, mininterval=1, leave=False)
        self.net.train()
        for k in bar:
            sums += self.fast_step(*sequences.batch(k * self.batch, self.batch))
            self.schedule.step()
            if self.device.type != "cpu" and k % 100 != 99 and k + 1 < self.steps:
                continue                                            # to read is to wait
            self.part = {"steps": k + 1, "sums": sums.tolist(),
                         "seconds": before["seconds"] + time.monotonic() - began,
                         "cpu_seconds": before["cpu_seconds"] + time.process_time() - cpu}
            loss, right = (s / (k + 1) for s in self.part["sums"])
            if not math.isfinite(loss):
                self.check(f"epoch {epoch + 1}, step {k + 1} of {self.steps}")
            if k % 10 == 9:
                bar.set_postfix(loss=f"{loss:.3f}", acc=f"{right / self.batch:.4f}")
            after_step()
        done, self.part = self.part, dict(START)
        loss, right = (s / self.steps for s in done["sums"])
        return {"loss": round(loss, 4), "train_accuracy": round(right / self.batch, 4),
                "seconds": done["seconds"], "cpu_seconds": done["cpu_seconds"]}
