"""Train a network on a task: ``python -m golden.train --task psmnist``.

Writes ``build/train/<name>/last.pt`` after every epoch (resumable with ``--resume``) and
``log.jsonl``; heap settings that make training on a CPU several times faster are made here.
"""

import argparse
import json
import math
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

HEAP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8000000000",
        "MALLOC_TOP_PAD_": "500000000"}
if __name__ == "__main__" and any(os.environ.get(k) != v for k, v in HEAP.items()):
    # glibc reads these once, when a process starts.
    os.execve(sys.executable, [sys.executable, "-m", "golden.train", *sys.argv[1:]],
              {**os.environ, **HEAP})

import numba
import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from golden.config import NetworkConfig
from golden.network import Network
from golden.recipes import RECIPES, Recipe
from golden.tasks import Split, make_task


def batch_of(split: Split, indices, task) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """(values (B, L), lengths or None, labels) of some sequences, cut at the longest of them."""
    lengths = torch.from_numpy(split.lengths[indices])
    longest = int(lengths.max())
    values = torch.from_numpy(split.values[indices][:, :longest])
    if task.sample_format is None:
        values = values.long()
    else:
        values = values.float() * 2.0 ** -task.sample_format.f_bits
    labels = torch.from_numpy(split.labels[indices])
    return values, None if int(lengths.min()) == longest else lengths, labels


@torch.no_grad()
def accuracy(net: Network, split: Split, task, dtype=None, batch: int = 200) -> float:
    """Fraction of ``split`` that the network gets right, one sampler draw per step."""
    net.eval()
    right = 0
    for k in range(0, len(split), batch):
        values, lengths, labels = batch_of(split, np.arange(k, min(k + batch, len(split))), task)
        right += (net(values, lengths, dtype).argmax(1) == labels).sum().item()
    net.train()
    return right / len(split)


def optimiser(net: Network, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW; A and dt get their own rate and no decay, as in S4."""
    ssm, norms, weights = [], [], []
    for name, p in net.named_parameters():
        last = name.split(".")[-1]
        group = (ssm if last in ("log_A_re", "A_im", "log_dt")
                 else weights if p.ndim > 1 else norms)
        group.append(p)
    return torch.optim.AdamW([
        {"params": weights, "lr": recipe.lr, "weight_decay": recipe.weight_decay},
        {"params": norms, "lr": recipe.lr, "weight_decay": 0.0},
        {"params": ssm, "lr": recipe.ssm_lr, "weight_decay": 0.0}])


def save(path: Path, **content) -> None:
    """``torch.save`` to a temporary name, then rename: never a half-written file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    try:
        torch.save(content, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def train(task, recipe: Recipe, out: Path, data_dir=None, resume: bool = False,
          limit: int | None = None) -> Network:
    """Train by ``recipe``; see the module's text for what is written under ``out``."""
    torch.manual_seed(recipe.seed)
    train_split, val_split = task.load("train", data_dir), task.load("val", data_dir)
    if limit:
        train_split, val_split = (s.take(np.arange(min(limit, len(s))))
                                  for s in (train_split, val_split))
    dtype = torch.bfloat16 if torch.cpu._is_amx_tile_supported() else torch.float32
    net = Network(recipe.network)
    opt = optimiser(net, recipe)
    per_epoch = len(train_split) // recipe.batch
    total = recipe.epochs * per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda i: min(
        1.0, (i + 1) / recipe.warmup) * 0.5 * (1 + math.cos(math.pi * min(i / total, 1.0))))
    first = 0
    last = out / "last.pt"
    if resume and last.exists():
        content = torch.load(last, weights_only=False)
        net.load_state_dict(content["state"])
        opt.load_state_dict(content["optimiser"])
        schedule.load_state_dict(content["schedule"])
        torch.set_rng_state(content["rng"])
        first = content["epoch"]
    else:
        start = np.random.default_rng(recipe.seed).permutation(len(train_split))[:64]
        net.calibrate(*batch_of(train_split, start, task)[:2])
    out.mkdir(parents=True, exist_ok=True)
    log = (out / "log.jsonl").open("a" if first else "w")
    log.write(json.dumps({"task": task.name, "parameters": net.parameter_count(),
                          "recipe": recipe.to_dict(), "resumed_at": first}) + "\n")
    for epoch in range(first, recipe.epochs):
        order = np.random.default_rng([recipe.seed, epoch]).permutation(len(train_split))
        began, loss_sum, right = time.time(), 0.0, 0
        bar = tqdm(range(per_epoch), desc=f"epoch {epoch + 1}/{recipe.epochs}", mininterval=5)
        for k in bar:
            indices = order[k * recipe.batch:(k + 1) * recipe.batch]
            values, lengths, labels = batch_of(train_split, indices, task)
            logits = net(values, lengths, dtype)
            loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            opt.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)
            opt.step()
            schedule.step()
            loss_sum += loss.item()
            right += (logits.argmax(1) == labels).sum().item()
            if k % 10 == 9:
                bar.set_postfix(loss=f"{loss_sum / (k + 1):.3f}",
                                acc=f"{right / ((k + 1) * recipe.batch):.4f}")
        values, lengths, _ = batch_of(val_split, np.arange(min(64, len(val_split))), task)
        record = []
        net.eval()
        with torch.no_grad():
            net(values, lengths, dtype, record)
        line = {"epoch": epoch + 1, "loss": loss_sum / per_epoch,
                "train_accuracy": right / (per_epoch * recipe.batch),
                "val_accuracy": accuracy(net, val_split, task, dtype),
                "spike_rates": [round(r["s_out"].float().mean().item(), 4) for r in record],
                "seconds": round(time.time() - began, 1)}
        print(json.dumps(line))
        log.write(json.dumps(line) + "\n")
        log.flush()
        save(last, network=recipe.network.to_dict(), recipe=recipe.to_dict(), task=task.name,
             permutation=getattr(task, "permutation", None), state=net.state_dict(),
             optimiser=opt.state_dict(), schedule=schedule.state_dict(),
             rng=torch.get_rng_state(), epoch=epoch + 1, val_accuracy=line["val_accuracy"])
    log.close()
    return net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", required=True)
    parser.add_argument("--recipe", help="default: the task's name", default=None)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--limit", type=int, help="sequences of each split, for a quick look")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    numba.set_num_threads(args.threads)
    recipe = RECIPES[args.recipe or args.task]
    if args.epochs:
        recipe = replace(recipe, epochs=args.epochs)
    train(make_task(args.task), recipe, args.out or Path("build/train") / (args.recipe or args.task),
          args.data_dir, args.resume, args.limit)


if __name__ == "__main__":
    main()
