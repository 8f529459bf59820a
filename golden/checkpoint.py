"""Trained networks as files: ``load`` a shipped or an own one, ``save``, ``ship`` a training's.

A file is what ``torch.save`` makes of a plain dict of tensors, numbers, strings, lists and dicts
(``golden.stored``: reading runs no code). Keys: ``network`` (the configuration), ``task``,
``permutation`` (or None), ``state`` (the tensors), ``info`` (anything json can say about how the
network was made) and ``sha256``, over all the others. Training's ``last.pt`` has its resumable
state in the keys of ``RESUME`` and, where it was written inside an epoch, ``part``.

``python -m golden.checkpoint ship build/train/psmnist/best.pt`` copies a training's result and its
log to ``golden/checkpoints/``. A task can have several networks there: its own, <task>.pt, and
named ones, <task>.<net>.pt, which commands take by ``--net``. ``python -m golden.checkpoint seal
FILE`` adds the hash to a file of before there was one.
"""

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from golden import fields, stored, tasks
from golden.base import cli
from golden.base.files import write_atomic
from golden.base.options import SHIPPED, add_task
from golden.fields import REQUIRED, RESUME
from golden.model import before, pair
from golden.model.config import NetworkConfig
from golden.model.network import Network
from golden.stored import StoredError

__all__ = ["REQUIRED", "RESUME", "Checkpoint", "CheckpointError", "config_of", "fill", "load",
           "nets", "of_task", "read", "save", "ship", "shipped", "write"]


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
    """``torch.save`` of the content with its hash, all or nothing."""
    try:
        whole = stored.sealed(content)
        write_atomic(path, lambda file: torch.save(whole, file))
    except (OSError, RuntimeError, StoredError) as error:   # RuntimeError: torch's, of a full disk
        raise CheckpointError(f"cannot write {path}: {error}") from None


def read(path: Path) -> dict:
    """Content of a checkpoint file, its hash and the types of its keys checked.

    Raises :class:`CheckpointError` if it is missing, is not a checkpoint or has other keys.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; train a network first: "
                              f"python -m golden.train --task TASK")
    try:
        content = stored.read(path)
    except StoredError as error:
        raise CheckpointError(f"{path} is damaged or is not a checkpoint of this project: "
                              f"{error}") from None
    try:
        fields.complete(content)
        content = stored.unsealed(content, path)
        fields.check(content)
    except StoredError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return content


def config_of(content: dict, path: Path) -> NetworkConfig:
    """The configuration of a file's network, of either form; one that its tensors can fill."""
    try:
        config = before.config(content["network"])
        fields.claims(config, content["state"])
    except (TypeError, ValueError, StoredError) as error:
        raise CheckpointError(f"{path}: {error}") from None
    return config


def fill(net: nn.Module, state: dict, path: Path) -> None:
    """Copy tensors into the network; names, shapes and types must be its own, values in range.

    Names may be those of before there were families, or of a network that PyTorch has wrapped.
    """
    own = net.state_dict()
    try:
        state = before.state(fields.bare(state, own), list(own), net.cfg.family)
        fields.fit(state, own)
    except StoredError as error:
        raise CheckpointError(f"{path}: {error}") from None
    net.load_state_dict(state)


def _task(content: dict, named: str, path: Path) -> tasks.Task:
    """The task that a file names; a user's own only if it is ``named``, as its code runs here."""
    name = content["task"]
    if ":" not in name or name.partition(":")[0] in tasks.TASKS:
        return tasks.make_task(name)
    if named:
        task = tasks.make_task(named)
        if name in (named, tasks.spec(task)):
            return task
        raise CheckpointError(f"{path} is a network for task {name}, not {named}")
    raise CheckpointError(f"{path} is a network for task {name}, whose code runs only where you "
                          f"name it: add --task {name} if you trust that code")


def load(source: str | Path, net: str = "", task: str = "") -> Checkpoint:
    """Network, task and information from a file, or from a task's name: the shipped one.

    Anything with a suffix ``.pt`` or a path separator is a file; ``net`` chooses among the networks
    shipped for a task. ``task`` is what the user named by ``--task``: a file's own one is imported
    only then. Raises :class:`CheckpointError`, and ``golden.tasks.TaskError`` for a task that does
    not exist.
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
    task = _task(content, task, path)
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


def of_task(found: Checkpoint, task: str, path: Path | None) -> None:
    """Raise :class:`CheckpointError` unless a network is for the task that ``--task`` names."""
    own = tasks.spec(found.task)
    if task and task != own and tasks.spec(tasks.make_task(task)) != own:
        raise CheckpointError(f"{path} is a network for task {own}, not {task}")


def save(path: str | Path, network: nn.Module, task: tasks.Task, info: dict) -> None:
    """Write a checkpoint without a training's resumable state; ``info`` must be plain json."""
    try:
        info = json.loads(json.dumps(info))
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot write {path}: its info is not plain json: {error}") from None
    write(Path(path), {
        "network": network.cfg.to_dict(), "task": tasks.spec(task),
        "permutation": getattr(task, "permutation", None),
        "state": {name: t.detach().clone() for name, t in network.state_dict().items()},
        "info": info})


def ship(source: str | Path, note: str | None = None, folder: Path = SHIPPED,
         net: str = "", task: str = "") -> Path:
    """Copy a training's result to ``folder`` as <task>[.<net>].pt, with its log beside it.

    ``note`` joins the information of the checkpoint (such as untuned); ``task`` is as for
    :func:`load`.
    """
    source = Path(source)
    found = load(source, task=task)
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


def seal(path: Path) -> bool:
    """Add the hash to a file of this project that has none; False: it has one, and it is right."""
    try:
        content = stored.read(path)
        if not isinstance(content, dict) or not {"task", "state"} <= set(content):
            raise StoredError("it is no checkpoint and no fine-tuned file of this project")
        if stored.SEAL in content:
            stored.unsealed(content, path)
            return False
    except StoredError as error:
        raise CheckpointError(f"{path}: {error}") from None
    write(path, content)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="golden.checkpoint", description="Ship the result of a "
                                     "training, or guard a file against damage and edits.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("ship", help="copy to golden/checkpoints/, without optimiser")
    command.add_argument("file", type=Path, help="build/train/<task>/best.pt or last.pt")
    command.add_argument("--note", help="a short remark on the network, such as untuned")
    command.add_argument("--net", default="",
                         help="name that tells it from the task's other networks")
    add_task(command, required=False, default="the checkpoint's")
    command = commands.add_parser("seal", help="add the hash that files of before had not")
    command.add_argument("files", type=Path, nargs="+", metavar="FILE",
                         help="checkpoints, or files of quant.finetune")
    args = parser.parse_args()
    if args.command == "seal":
        for path in args.files:
            print(f"{path} {'has a hash now' if seal(path) else 'had one, which is right'}")
        return
    target = ship(args.file, args.note, net=args.net, task=args.task or "")
    print(f"{target} {target.stat().st_size} bytes")


if __name__ == "__main__":
    cli.run("golden.checkpoint", main)
