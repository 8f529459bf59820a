"""Checkpoints of every family, training's ``last.pt`` and files of the fine-tuning."""

import contextlib
import copy
import functools
from pathlib import Path

import numpy as np
import torch

from bench.attack import tensors
from bench.attack.edits import Rng
from bench.attack.target import Harm, Target
from golden import checkpoint
from golden.base.options import SHIPPED
from golden.model.config import from_dict
from golden.model.network import Network
from golden.tasks import make_task, spec
from golden.training.batches import batch_of
from golden.training.recipes import Recipe
from golden.training.run import Run
from quant import finetune, prepare, tuned
from quant.formats import QuantConfig

FILE = "net.pt"
SMALL = {"n_blocks": 1, "d_model": 6, "d_state": 4, "n_classes": 10}
NETWORKS = {        # task, and options of the network
    "paper": ("digits", {"family": "paper"}),
    "paper, tokens": ("listops", {"family": "paper", "vocab": 16, "sampling": "sobol"}),
    "released": ("digits", {"family": "released", "branch": True}),
    "stream": ("digits", {"family": "stream", "norm": "layer"}),
    "lif": ("digits", {"family": "lif"})}
FEW = {"norms": 16, "ranges": 16}       # sequences that preparing a network reads
TUNED, RESUMED = 2, 3                   # steps of fine-tuning in the file, and after going on


def configured(name: str):
    return from_dict(SMALL | NETWORKS[name][1])


def logits(net, task) -> torch.Tensor:
    """What a network answers to two short sequences."""
    torch.manual_seed(1)
    values = torch.randint(task.vocab, (2, 10)) if task.vocab else torch.rand(2, 10)
    with torch.no_grad():
        return net(values)


def read(folder: Path) -> dict:
    found = checkpoint.load(folder / FILE)
    net = found.network
    return {"config": net.cfg, "task": spec(found.task), "info": tensors.plain(found.info),
            "state": tensors.plain(net.state_dict()),
            "answers": tensors.plain(logits(net, found.task))}


def harmed(rng: Rng, folder: Path) -> Harm:
    new, harm = tensors.of_file(rng, (folder / FILE).read_bytes())
    (folder / FILE).write_bytes(new)
    return harm


def _network(name: str) -> Target:
    def make(folder: Path) -> None:
        torch.manual_seed(0)
        net = Network(configured(name)).eval()
        checkpoint.save(folder / FILE, net, make_task(NETWORKS[name][0]),
                        {"train_sequences": 100, "val_accuracy": 0.5})
    return Target(f"checkpoint ({name})", make, harmed, read)


def _unsealed() -> Target:
    """A file as earlier versions wrote it, without a hash."""
    def make(folder: Path) -> None:
        _network("paper").make(folder)
        content = tensors.loaded((folder / FILE).read_bytes())
        content.pop("sha256", None)
        (folder / FILE).write_bytes(tensors.saved(content))
    return Target("checkpoint without a hash", make, harmed, read)


def _shipped(name: str) -> Target:
    """A file as it is shipped."""
    return Target(f"shipped {name}", lambda folder: (folder / FILE).write_bytes(
        (SHIPPED / f"{name}.pt").read_bytes()), harmed, read)


@functools.cache
def _split():
    return make_task("digits").load("train").first(16)


def _run() -> Run:
    """A training in a state of its own, for a file to change."""
    run = Run(make_task("digits"), Recipe(configured("paper"), epochs=3, batch=4), _split())
    torch.manual_seed(77)
    return run


def _last() -> Target:
    def make(folder: Path) -> None:
        run = _run()

        def stop() -> None:
            if run.part["steps"] == 2:
                raise InterruptedError
        run.epoch(0)
        with contextlib.suppress(InterruptedError):
            run.epoch(1, stop)
        run.part |= {"seconds": 0.25, "cpu_seconds": 0.25}
        checkpoint.write(folder / FILE, run.content(1, 0.25))

    def restored(folder: Path) -> dict:
        run = _run()
        epoch, accuracy = run.restore(folder / FILE)
        return tensors.plain({
            "state": run.net.state_dict(), "optimiser": run.opt.state_dict(), "epoch": epoch,
            "schedule": run.schedule.state_dict(), "accuracy": accuracy, "part": run.part,
            "rng": torch.get_rng_state()})
    return Target("training's last.pt", make, harmed, restored)


@functools.cache
def _found():
    """The golden network of a file of fine-tuning, and the model to begin with."""
    torch.manual_seed(0)
    found = checkpoint.Checkpoint(Network(configured("paper")).eval(), make_task("digits"), {})
    made = prepare.prepare(found, _split(), FEW)
    return made.found, made.model(QuantConfig())


def _tuned(resumable: bool) -> Target:
    """A file of the fine-tuning: with an optimiser to go on from, or finished."""
    def make(folder: Path) -> None:
        found, net = _found()
        net = copy.deepcopy(net).float().train()
        opt = finetune.optimiser(net, 1e-3)
        net(*batch_of(_split(), np.arange(4), found.task)[:2]).square().sum().backward()
        opt.step()
        tuned.save(folder / FILE, found, net, TUNED, opt if resumable else None)

    def built(folder: Path) -> dict:
        found, _ = _found()
        content = tuned.read(folder / FILE, found)
        net = tuned.build(content, found)
        facts = {"program": tuned.formats_of(net.program), "sampling": net.sampling,
                 "steps": content["steps"], "state": tensors.plain(net.state_dict())}
        if resumable:
            torch.manual_seed(5)
            after = finetune.finetune(found, net, folder / "after.pt", steps=RESUMED, batch=2,
                                      resume=content)
            facts |= {"after": tensors.plain(after.state_dict()),
                      "rng": tensors.plain(torch.get_rng_state())}
        return facts
    return Target("fine-tuned, to go on" if resumable else "fine-tuned", make, harmed, built)


def targets() -> list[Target]:
    torch.set_num_threads(1)
    return [*map(_network, NETWORKS), _unsealed(), _shipped("digits.tiny"), _last(), _last(),
            _tuned(True), _tuned(False)]
