"""Fine-tuning on the integers' grids: ``python -m quant.finetune --task digits --epochs 2``.

Trains the convolution form of the quantisation-aware model on the training split, straight through
every rounding and every sampler, from the folded checkpoint. The result is a file that
``python -m quant.export --qat FILE`` takes in place of plain rounding.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("quant.finetune")

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from golden import checkpoint, memory, tasks
from golden.base import cli, folders
from golden.base.options import (above_zero, add_build, add_data_dir, add_task, add_threads, build,
                                 natural, positive)
from golden.stored import StoredError
from golden.training import divergence, resume as resuming
from golden.training.batches import batch_of
from golden.checkpoint import Checkpoint
from quant import prepare, tuned
from quant.tune.fit import ExportError


def optimiser(net: nn.Module, lr: float) -> torch.optim.Adam:
    """Adam; decay and angle of the states, which are the most sensitive, at a tenth of the rate."""
    slow = [p for name, p in net.named_parameters() if name.endswith(("log_decay", "angle"))]
    fast = [p for name, p in net.named_parameters()
            if not name.endswith(("log_decay", "angle")) and p.numel()]
    return torch.optim.Adam([{"params": fast, "lr": lr}, {"params": slow, "lr": lr / 10}])


def finetune(found: Checkpoint, net: nn.Module, path: Path, data_dir=None, steps: int = 200,
             batch: int = 32, lr: float = 1e-3, seed: int = 0, save_every: int = 200,
             resume: dict | None = None, widths: dict | None = None) -> nn.Module:
    """Train ``net`` for ``steps`` batches with a falling rate; deterministic for one thread count.

    Every ``save_every`` steps and at the end the file ``path`` is written; ``resume`` is the
    content of such a file to go on from. ``widths`` are the options that chose the formats, which
    a file keeps. Returns the model in float64.

    Raises :class:`golden.training.divergence.Diverged`, and leaves the file, where the loss or a
    weight is no longer finite; :class:`ExportError` for a ``resume`` of other options.
    """
    options = {"steps": steps, "batch": batch, "lr": lr, "seed": seed} | (widths or {})
    split = found.task.load("train", data_dir)
    memory.require("a step of fine-tuning", found.network.cfg, batch, split.lengths, torch.float32)
    net.float().train()
    opt, first = optimiser(net, lr), 0
    torch.manual_seed(seed)
    if resume:
        first = _resumed(resume, options, opt, path)
    base = [group["lr"] for group in optimiser(net, lr).param_groups]
    bar = tqdm(range(first, steps), initial=first, total=steps, mininterval=2)
    smooth = None
    for step in bar:
        for group, rate in zip(opt.param_groups, base):
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        indices = np.random.default_rng([seed, step]).integers(0, len(split), batch)
        values, lengths, labels = batch_of(split, indices, found.task)
        loss = F.cross_entropy(net(values, lengths), labels)
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        saves = (step + 1) % save_every == 0 or step + 1 == steps
        what = ("the loss" if not math.isfinite(loss.item())
                else divergence.not_finite(net, opt) if saves else "")
        if what:
            raise divergence.diverged(
                f"step {step + 1} of {steps}", what, f"a smaller --lr (now {lr:g}), a larger "
                f"--batch (now {batch}) or another --seed (now {seed}); --resume goes on from the "
                f"file only with the same options")
        smooth = loss.item() if smooth is None else 0.95 * smooth + 0.05 * loss.item()
        bar.set_postfix(loss=f"{smooth:.4f}")
        if saves:
            tuned.save(path, found, net, step + 1, opt if step + 1 < steps else None, options)
    return net.double().eval()


def _resumed(content: dict, options: dict, opt: torch.optim.Optimizer, path: Path) -> int:
    """Take up optimiser and random state of a file; returns the steps that it has behind it."""
    before = content.get("options") or options    # files of before do not say
    differences = [f"{name}: {before.get(name)}, now {value}" for name, value in options.items()
                   if before.get(name) != value]
    if differences:
        raise ExportError(f"{path} belongs to another fine-tuning ({'; '.join(differences)}); give "
                          f"the same options, another --out, or leave --resume out to start again")
    try:
        if not 0 <= content["steps"] <= options["steps"]:
            raise StoredError(f"it is after step {content['steps']} of {options['steps']}")
        state = resuming.moments(content["optimiser"], opt)
        resuming.generator_state(content["rng"], torch.default_generator)
    except StoredError as error:
        raise ExportError(f"{path} cannot be resumed: {error}") from None
    opt.load_state_dict(state)
    return content["steps"]


def _run(args: argparse.Namespace, found: Checkpoint, train, out: Path, steps: int) -> None:
    """Fine-tune, from the start or from ``out``."""
    content = None
    if args.resume and out.exists():
        content = tuned.read(out, found)
        if not all(key in content for key in tuned.RESUME):
            raise ExportError(f"{out} is finished after {content['steps']} steps; "
                              f"start again without --resume")
        net = tuned.load(out, found)
    else:
        torch.set_num_threads(1)
        net = prepare.prepare(found, train).model(prepare.config_of(args))
    torch.set_num_threads(args.threads)
    widths = {name: str(value) for name, value in (
        ("config", prepare.config_of(args)), ("sampling", args.sampling or "as trained"))}
    finetune(found, net, out, args.data_dir, steps, args.batch, args.lr, args.seed, resume=content,
             widths=widths)


def main() -> None:
    parser = argparse.ArgumentParser("quant.finetune", description=__doc__.splitlines()[0])
    add_task(parser)
    parser.add_argument("--checkpoint", type=Path,
                        help="a trained network; default: the one shipped")
    parser.add_argument("--out", type=Path, help="file; default build/qat/<task>.pt")
    add_build(parser)
    add_data_dir(parser)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=positive, help="passes over the training split")
    length.add_argument("--steps", type=positive, help="batches; default 200")
    parser.add_argument("--batch", type=positive, default=32, help="default 32")
    parser.add_argument("--lr", type=above_zero, default=1e-3, help="default 0.001")
    parser.add_argument("--seed", type=natural, default=0, help="default 0")
    add_threads(parser)
    parser.add_argument("--resume", action="store_true", help="go on from --out if it exists")
    prepare.add_width_options(parser)
    args = parser.parse_args()
    found = checkpoint.load(args.checkpoint or args.task, task=args.task)
    checkpoint.of_task(found, args.task, args.checkpoint)
    found = tuned.in_form(found, args.sampling)
    out = args.out or build("qat", f"{tasks.slug(args.task)}.pt")
    train = found.task.load("train", args.data_dir)
    found = prepare.ready(found, train)
    steps = args.epochs * -(-len(train) // args.batch) if args.epochs else args.steps or 200
    with folders.lock(out):     # two of one file would each replace the other's
        _run(args, found, train, out, steps)
    print(f"{out} after {steps} steps; export with python -m quant.export --task {args.task} "
          f"--qat {out}")


if __name__ == "__main__":
    cli.run("quant.finetune", main)
