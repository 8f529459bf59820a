"""A training that diverges ends with code 2, leaves what was saved, and says what to try."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from golden import checkpoint, evaluate, train
from golden.tasks import make_task
from golden.training import batches
from golden.training.divergence import Diverged, NotFinite, not_finite
from golden.training.recipes import Recipe
from golden.training.run import Run
from tests.golden.files_of_torch import CFG, network
from tests.golden.test_train import command

RECIPE = Recipe(CFG, epochs=2, batch=16, warmup=2)


def poisoned(net, opt, what: str) -> None:
    """A number that is not finite, in one of the places where a training can have it."""
    with torch.no_grad():
        if what == "weight":
            net.decoder.weight[0, 0] = torch.inf
        elif what == "statistic":
            net.blocks[0].fuse.var[1] = torch.nan
        elif what == "moment":
            next(iter(opt.state.values()))["exp_avg"].fill_(torch.nan)
        elif what == "square":
            next(iter(opt.state.values()))["exp_avg_sq"].fill_(torch.inf)


PLACES = {"weight": "decoder.weight", "statistic": "blocks.0.fuse.var", "moment": "exp_avg of ",
          "square": "exp_avg_sq of ", "loss": "the loss", "gradient": "", "output": "an output"}


@pytest.mark.parametrize("what", PLACES)
def test_every_way_to_diverge(what, tmp_path, monkeypatch, capsys):
    """In the second epoch: last.pt is the one before it, best.pt that of the first."""
    monkeypatch.setattr(train, "recipe_for", lambda task, name: RECIPE)
    step, calls, out = Run.step, iter(range(1000)), tmp_path / "out"

    def bad(run, *args):
        at = next(calls)
        if at == 6 and what in ("loss", "gradient"):
            with torch.no_grad():
                run.net.blocks[0].mixer.weight.register_hook(lambda g: g * torch.nan)
            if what == "loss":
                return step(run, *args) * torch.nan
        found = step(run, *args)
        if at == 6:
            poisoned(run.net, run.opt, what)
        return found
    monkeypatch.setattr(Run, "step", bad)
    right, seen = batches.right, iter(range(100))
    if what == "output":
        monkeypatch.setattr(batches, "right", lambda forward, *args: right(
            lambda *v: forward(*v) * (torch.nan if next(seen) else 1), *args))
    code = command(monkeypatch, train, "--task", "digits", "--limit", 64, "--out", out,
                   "--threads", 1, "--save-minutes", 0)
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2 and "no longer a finite number" in line and PLACES[what] in line
    for advice in ("smaller lr (now 0.01)", "smaller clip (now 1)", "--seed (now 0)"):
        assert advice in line
    last, best = (checkpoint.read(out / name) for name in ("last.pt", "best.pt"))
    assert best["info"]["epoch"] == 1 and last["epoch"] == 1
    assert last["part"]["steps"] in ((4,) if what == "output" else (1, 2, 3))
    for content in (last, best):
        assert all(torch.isfinite(t).all() for t in content["state"].values())
    assert all(torch.isfinite(t).all() for state in last["optimiser"]["state"].values()
               for t in state.values())


def test_a_start_that_is_not_finite_replaces_nothing(tmp_path, monkeypatch):
    task = make_task("digits")
    train.train(task, replace(RECIPE, epochs=1), tmp_path, limit=32)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.suffix != ".lock"}
    monkeypatch.setattr(Run, "calibrate", lambda run: poisoned(run.net, run.opt, "weight"))
    with pytest.raises(Diverged, match="before the first step"):
        train.train(task, replace(RECIPE, epochs=1), tmp_path, limit=32)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.suffix != ".lock"} == before


def test_a_class_is_not_chosen_among_no_numbers(tmp_path, monkeypatch, capsys):
    """An evaluation of a network whose finite weights overflow is refused."""
    task, net = make_task("digits"), network()
    with torch.no_grad():
        net.decoder.weight.fill_(3e38)
        net.encoder.weight.fill_(1e8)
    split = task.load("val").take(np.arange(8))
    with pytest.raises(NotFinite, match="output is no finite number"):
        batches.accuracy(net, split, task)
    with torch.no_grad():
        net.decoder.weight.fill_(1e9)
        net.decoder.bias.fill_(-1e9)
    checkpoint.save(tmp_path / "x.pt", net, task, {})
    monkeypatch.setattr(evaluate, "right", lambda forward, *args, **kwargs: batches.right(
        lambda *v: forward(*v) * torch.inf, *args, **kwargs))
    assert command(monkeypatch, evaluate, "--checkpoint", tmp_path / "x.pt", "-n", 4, "--seeds", 1,
                   "--threads", 1) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0


def test_names_of_what_is_not_finite():
    net = network()
    opt = torch.optim.AdamW(net.parameters())
    assert not_finite(net, opt) == ""
    net(torch.rand(2, 9)).sum().backward()
    opt.step()
    assert not_finite(net, opt) == ""
    poisoned(net, opt, "moment")
    assert not_finite(net) == "" and not_finite(net, opt).startswith("exp_avg of ")
