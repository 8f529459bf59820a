"""Fine-tuning on the integers' grids: ``python -m quant.finetune --task digits --epochs 2``.

Trains the convolution form of the quantisation-aware model on the training split, straight through
every rounding and every sampler, from the folded checkpoint. The result is a file that
``python -m quant.export --qat FILE`` takes in place of plain rounding.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("quant.finetune")

import argparse
import hashlib
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from golden import checkpoint, memory, tasks
from golden.base import cli
from golden.base.options import above_zero, add_data_dir, add_task, natural, positive
from golden.batches import batch_of
from golden.checkpoint import Checkpoint
from quant import diagonalise
from quant.tune.fit import ExportError
from quant.systems import system_of

KEYS = ("task", "golden", "formats", "state", "steps")
RESUME = ("optimiser", "rng")


def state_digest(net: nn.Module) -> str:
    """sha256 of a golden network's tensors, without the batch-norm statistics."""
    h = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        if not name.endswith(("fuse.mean", "fuse.var", "norm.mean", "norm.var")):
            h.update(f"{name} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return h.hexdigest()


def choose_sampling(found: Checkpoint, form: str | None) -> None:
    """Let a golden network draw its spikes in another form, see ``golden.sampling``; None: as is."""
    if form is not None and form != found.network.cfg.sampling:
        if found.network.cfg.neuron != "sampler":
            raise ExportError(f"sampling {form}: neuron {found.network.cfg.neuron} draws no "
                              f"spikes; leave the option out")
        try:
            found.network.cfg = replace(found.network.cfg, sampling=form)
        except ValueError as error:     # of the configuration's own rules
            raise ExportError(f"{error}; leave the option out") from None


def read(path: Path, found: Checkpoint) -> dict:
    """Content of a file of this module, checked to belong to the golden network ``found``."""
    if not Path(path).is_file():
        raise ExportError(f"{path} does not exist; make it with python -m quant.finetune")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        missing = [key for key in KEYS if key not in content]
    except Exception as error:      # torch raises many kinds for a damaged file
        raise ExportError(f"{path} is damaged or was not made by quant.finetune "
                          f"({type(error).__name__})") from None
    if missing:
        raise ExportError(f"{path} was not made by quant.finetune: it lacks {', '.join(missing)}")
    if content["golden"] != state_digest(found.network):
        raise ExportError(f"{path} was fine-tuned from another checkpoint of {content['task']}; "
                          f"fine-tune this one, or export without --qat")
    return content


def build(content: dict, found: Checkpoint) -> nn.Module:
    """The model of a file's content, float64; ``found`` gets its sampling form."""
    choose_sampling(found, content.get("sampling"))
    system = system_of(found.network.cfg)
    net = system.model(system.fold(found.network), system.formats(content["formats"]))
    net.load_state_dict(content["state"])
    return net.eval()


def load(path: Path, found: Checkpoint) -> nn.Module:
    """The fine-tuned model in a file, float64, in evaluation mode.

    Raises :class:`quant.tune.fit.ExportError` if it is missing, damaged or of another network.
    """
    return build(read(path, found), found)


def optimiser(net: nn.Module, lr: float) -> torch.optim.Adam:
    """Adam; decay and angle of the states, which are the most sensitive, at a tenth of the rate."""
    slow = [p for name, p in net.named_parameters() if name.endswith(("log_decay", "angle"))]
    fast = [p for name, p in net.named_parameters()
            if not name.endswith(("log_decay", "angle")) and p.numel()]
    return torch.optim.Adam([{"params": fast, "lr": lr}, {"params": slow, "lr": lr / 10}])


def finetune(found: Checkpoint, net: nn.Module, path: Path, data_dir=None, steps: int = 200,
             batch: int = 32, lr: float = 1e-3, seed: int = 0, save_every: int = 200,
             resume: dict | None = None) -> nn.Module:
    """Train ``net`` for ``steps`` batches with a falling rate; deterministic for one thread count.

    Every ``save_every`` steps and at the end the file ``path`` is written; ``resume`` is the content
    of such a file to go on from. Returns the model in float64.
    """
    split = found.task.load("train", data_dir)
    memory.require("a step of fine-tuning", found.network.cfg, batch, split.lengths, torch.float32)
    net.float().train()
    opt, first = optimiser(net, lr), 0
    torch.manual_seed(seed)
    if resume:
        first = resume["steps"]
        opt.load_state_dict(resume["optimiser"])
        torch.set_rng_state(resume["rng"])
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
        smooth = loss.item() if smooth is None else 0.95 * smooth + 0.05 * loss.item()
        bar.set_postfix(loss=f"{smooth:.4f}")
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save(path, found, net, step + 1, opt if step + 1 < steps else None)
    return net.double().eval()


def save(path: Path, found: Checkpoint, net: nn.Module, steps: int, opt) -> None:
    """Write the file; with an optimiser it can be resumed, without it is small."""
    content = {"task": tasks.spec(found.task), "golden": state_digest(found.network),
               "formats": net.formats.to_dict(), "sampling": found.network.cfg.sampling,
               "state": net.state_dict(), "steps": steps}
    if opt is not None:
        content |= {"optimiser": opt.state_dict(), "rng": torch.get_rng_state()}
    checkpoint.write(path, content)


def main() -> None:
    from quant.export import add_width_options, config_of, prepare
    parser = argparse.ArgumentParser("quant.finetune", description=__doc__.splitlines()[0])
    add_task(parser)
    parser.add_argument("--checkpoint", type=Path, help="a trained network; default: the shipped")
    parser.add_argument("--out", type=Path, help="file; default build/qat/<task>.pt")
    add_data_dir(parser)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=positive, help="times the training split")
    length.add_argument("--steps", type=positive, help="batches; default 200")
    parser.add_argument("--batch", type=positive, default=32, help="default 32")
    parser.add_argument("--lr", type=above_zero, default=1e-3, help="default 0.001")
    parser.add_argument("--seed", type=natural, default=0, help="default 0")
    parser.add_argument("--threads", type=positive, default=os.cpu_count())
    parser.add_argument("--resume", action="store_true", help="go on from --out if it exists")
    add_width_options(parser)
    args = parser.parse_args()
    found = checkpoint.load(args.checkpoint or args.task)
    choose_sampling(found, args.sampling)
    out = args.out or Path("build/qat") / f"{tasks.slug(args.task)}.pt"
    train = found.task.load("train", args.data_dir)
    found = diagonalise.ready(found, train)
    steps = args.epochs * -(-len(train) // args.batch) if args.epochs else args.steps or 200
    content = None
    if args.resume and out.exists():
        content = read(out, found)
        if not all(key in content for key in RESUME):
            raise ExportError(f"{out} is finished after {content['steps']} steps; "
                              f"start again without --resume")
        net = build(content, found)
    else:
        torch.set_num_threads(1)
        prepared = prepare(found, train)
        system = system_of(found.network.cfg)
        net = system.model(prepared.folded, system.fit(
            prepared.folded, prepared.seen, config_of(args), found.task.sample_format,
            found.task.length))
    torch.set_num_threads(args.threads)
    finetune(found, net, out, args.data_dir, steps, args.batch, args.lr, args.seed, resume=content)
    print(f"{out} after {steps} steps; export with python -m quant.export --task {args.task} "
          f"--qat {out}")


if __name__ == "__main__":
    cli.run("quant.finetune", main)
