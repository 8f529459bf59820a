"""Trained networks as files: ``load`` a shipped or an own one, ``save``, ``ship`` a training's.

A file is what ``torch.save`` makes of a plain dict of tensors, numbers, strings, lists and dicts,
so it is read with ``weights_only=True`` and runs no code. Keys: ``network`` (the configuration),
``task``, ``permutation`` (or None), ``state`` (the tensors) and ``info`` (anything json can say
about how the network was made). Training's ``last.pt`` has its resumable state in the keys of
``RESUME`` and, where it was written inside an epoch, ``part``.

``python -m golden.checkpoint ship build/train/psmnist/best.pt`` copies a training's result and its
log to ``golden/checkpoints/``. A task can have several networks there: its own, <task>.pt, and
named ones, <task>.<net>.pt, which commands take by ``--net``.
"""

import argparse
import json
import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from golden import tasks
from golden.base import cli
from golden.base.files import write_atomic
from golden.base.options import SHIPPED
from golden.model import before, pair
from golden.model.config import NetworkConfig
from golden.model.network import Network

REQUIRED = ("network", "task", "permutation", "state")
RESUME = ("recipe", "optimiser", "schedule", "rng", "epoch", "val_accuracy")


class CheckpointError(cli.UserError):
    """A checkpoint is missing, damaged or does not fit; the message says which and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained network (in evaluation mode) with its task and what is known about its making."""

    network: nn.Module
    task: tasks.Task
    info: dict


def shipped(task: str, net: str = "") -> Path:
    """Where the network shipped for a task lies, or the one of its networks named ``net``."""
    return SHIPPED / f"{tasks.slug(task, net)}.pt"


def nets(task: str) -> list[str]:
    """Names of the networks shipped for a task; "" is the one taken without a name."""
    begin = tasks.slug(task)
    names = [path.name[len(begin):-len(".pt")] for path in SHIPPED.glob(f"{begin}.*")
             if path.suffix == ".pt" and not path.name.endswith(".qat.pt")]
    return sorted(name.removeprefix(".") for name in names)


def write(path: Path, content: dict) -> None:
    """``torch.save``, all or nothing."""
    try:
        write_atomic(path, lambda file: torch.save(content, file))
    except (OSError, RuntimeError) as error:        # torch reports a full disk as RuntimeError
        raise CheckpointError(f"cannot write {path}: {error}") from None


def read(path: Path) -> dict:
    """Content of a checkpoint file, its keys checked.

    Raises :class:`CheckpointError` if it is missing, is not a checkpoint or has other keys.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; train a network first: "
                              f"python -m golden.train --task TASK")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
        raise CheckpointError(f"{path} is damaged or is not a checkpoint of this project") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a checkpoint of this project: it holds a "
                              f"{type(content).__name__}, not a dict")
    missing = [key for key in REQUIRED if key not in content]
    if missing:
        raise CheckpointError(f"{path} is not a checkpoint of this project: "
                              f"it lacks {', '.join(missing)}")
    unknown = sorted(map(str, set(content) - set(REQUIRED) - set(RESUME) - {"info", "part"}))
    if unknown:
        raise CheckpointError(f"{path}: unknown key {', '.join(unknown)}; "
                              f"it may come from a newer version")
    return content


def config_of(content: dict, path: Path) -> NetworkConfig:
    """The configuration of a file's network, of either form."""
    try:
        return before.config(content["network"])
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from None


def fill(net: nn.Module, state: dict, path: Path) -> None:
    """Copy tensors into the network; names and shapes must be its own, values finite.

    Names may be those of before there were families.
    """
    own = net.state_dict()
    state = before.state(state, list(own), net.cfg.family)
    different = cli.differing(own, state)
    if different:
        raise CheckpointError(f"{path}: the tensors do not fit the configuration: {different}")
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise CheckpointError(f"{path}: {name} has shape {tuple(tensor.shape)}, "
                                  f"the configuration says {tuple(own[name].shape)}")
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {name} contains values that are not finite")
    net.load_state_dict(state)


def load(source: str | Path, net: str = "") -> Checkpoint:
    """Network, task and information from a file, or from a task's name: the shipped one.

    Anything with a suffix ``.pt`` or a path separator is a file; ``net`` chooses among the networks
    shipped for a task. Raises :class:`CheckpointError`,
    and ``golden.tasks.TaskError`` for a task that does not exist.
    """
    text = str(source)
    if text.endswith(".pt") or "/" in text or isinstance(source, Path):
        if net:
            raise CheckpointError(f"--net {net} chooses a shipped network; leave it out or {text}")
        path = Path(source)
    else:
        task = tasks.spec(tasks.make_task(text))
        path = shipped(task, net)
        if not path.is_file():
            names = [name for name in nets(task) if name]
            raise CheckpointError(
                f"no network {net + ' ' if net else ''}is shipped for task {text}"
                + (f"; it has {', '.join(names)} (--net)" if names else "")
                + f"; train one (python -m golden.train --task {text}) and give its file")
    content = read(path)
    task = tasks.make_task(content["task"])
    if content["permutation"] != getattr(task, "permutation", None):
        raise CheckpointError(f"{path}: permutation {content['permutation']}, but task "
                              f"{content['task']} has {getattr(task, 'permutation', None)}")
    config = config_of(content, path)
    if (config.vocab, config.n_classes) != (task.vocab, task.n_classes):
        raise CheckpointError(
            f"{path}: {config.n_classes} classes and a vocabulary of {config.vocab}, but task "
            f"{content['task']} has {task.n_classes} and {task.vocab}")
    different = pair.mismatch(config, task)
    if different:
        raise CheckpointError(f"{path}: {different}")
    net = Network(config)
    fill(net, content["state"], path)
    info = dict(content.get("info", {}))
    info.update({k: content[k] for k in ("recipe", "epoch", "val_accuracy") if k in content})
    return Checkpoint(net.eval(), task, info)


def save(path: str | Path, network: nn.Module, task: tasks.Task, info: dict) -> None:
    """Write a checkpoint without a training's resumable state; ``info`` must be plain json."""
    write(Path(path), {
        "network": network.cfg.to_dict(), "task": tasks.spec(task),
        "permutation": getattr(task, "permutation", None),
        "state": {name: t.detach().clone() for name, t in network.state_dict().items()},
        "info": json.loads(json.dumps(info))})


def ship(source: str | Path, note: str | None = None, folder: Path = SHIPPED,
         net: str = "") -> Path:
    """Copy a training's result to ``folder`` as <task>[.<net>].pt, with its log beside it.

    ``note`` joins the information of the checkpoint (such as untuned).
    """
    source = Path(source)
    found = load(source)
    log = source.with_name("log.jsonl")
    if not log.is_file():
        raise CheckpointError(f"{log} does not exist; a network is shipped with the log of its "
                              f"run")
    if net == "qat" or not re.fullmatch("[A-Za-z0-9_-]*", net):
        raise CheckpointError(f"--net {net}: a name is made of letters, digits, _ and -, and is "
                              f"not qat")
    target = folder / shipped(tasks.spec(found.task), net).name
    save(target, found.network, found.task, found.info | ({"note": note} if note else {}))
    write_atomic(target.with_name(target.stem + ".log.jsonl"), log.read_bytes())
    return target


def main() -> None:
    parser = argparse.ArgumentParser(prog="golden.checkpoint",
                                     description="Ship the result of a training.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("ship", help="copy to golden/checkpoints/, without optimiser")
    command.add_argument("file", type=Path, help="build/train/<task>/best.pt or last.pt")
    command.add_argument("--note", help="a short remark on the network, such as untuned")
    command.add_argument("--net", default="",
                         help="name that tells it from the task's other networks")
    args = parser.parse_args()
    target = ship(args.file, args.note, net=args.net)
    print(f"{target} {target.stat().st_size} bytes")


if __name__ == "__main__":
    cli.run("golden.checkpoint", main)
