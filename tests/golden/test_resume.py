"""A training may be killed at any moment: it goes on as if nothing had been."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from golden import checkpoint, train
from golden.base import cli
from golden.training.recipes import Recipe, recipe_for
from golden.training.run import Run
from golden.tasks import make_task
from tests.golden.test_train import TINY, command, log_of, one_thread       # noqa: F401

ROOT = Path(__file__).resolve().parents[2]


def equal(a: Path, b: Path) -> None:
    """Two trainings left the same: weights, optimiser, random state, best network and log."""
    for name in ("last.pt", "best.pt"):
        one, two = (torch.load(folder / name, weights_only=True) for folder in (a, b))
        assert set(one) == set(two)
        for key in one["state"]:
            assert torch.equal(one["state"][key], two["state"][key]), key
        assert one["info"] == two["info"]
    one, two = (torch.load(folder / "last.pt", weights_only=True) for folder in (a, b))
    assert torch.equal(one["rng"], two["rng"]) and one["schedule"] == two["schedule"]
    for key, moments in one["optimiser"]["state"].items():
        for name in moments:
            assert torch.equal(moments[name], two["optimiser"]["state"][key][name])
    assert log_of(a) == log_of(b)


def test_killed_in_the_middle_of_an_epoch(tmp_path, monkeypatch):
    """kill -9 inside the second epoch, with half-written files left behind."""
    options = ["--task", "digits", "--recipe", "small", "--limit", 160, "--batch", 4, "--epochs",
               3, "--threads", 1, "--seed", 5]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "-m", "golden.train", *map(str, options), "--out", killed,
         "--save-minutes", "0"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        for _ in range(6_000):
            assert process.poll() is None, process.stderr.read().decode()
            if (killed / "last.pt").exists():
                content = checkpoint.read(killed / "last.pt")
                if content["epoch"] == 1 and content["part"]["steps"] > 2:
                    break
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    content = checkpoint.read(killed / "last.pt")
    assert content["epoch"] == 1 and 0 < content["part"]["steps"] < 40
    (killed / ".last.pt.0123abcd.new").write_bytes(b"half")
    with (killed / "log.jsonl").open("a") as log:
        log.write('{"epoch": 2, "lo')
    assert command(monkeypatch, train, *options, "--out", killed, "--resume") == 0
    assert command(monkeypatch, train, *options, "--out", whole, "--resume") == 0
    equal(killed, whole)
    assert sorted(p.name for p in killed.iterdir()) == ["best.pt", "last.pt", "log.jsonl"]
    assert [line["epoch"] for line in log_of(killed)] == [1, 2, 3]


class Killed(Exception):
    pass


@pytest.mark.parametrize("moment", ["log", "best"])
def test_killed_between_the_files_of_an_epoch(moment, tmp_path, monkeypatch):
    """Behind the line of the log, or behind best.pt: the epoch's end is done again."""
    task, recipe = make_task("digits"), replace(TINY, epochs=2)
    train.train(task, recipe, tmp_path / "whole", limit=64)

    def dies(*args):
        raise Killed
    with monkeypatch.context() as patch:
        if moment == "log":
            patch.setattr(checkpoint, "save", dies)
        else:
            write = train.Saves.write
            patch.setattr(train.Saves, "write", lambda self: (
                dies() if self.epochs == 1 and not self.run.part["steps"] else write(self)))
        with pytest.raises(Killed):
            train.train(task, recipe, tmp_path / "parts", limit=64)
    assert [line["epoch"] for line in log_of(tmp_path / "parts")] == [1]
    train.train(task, recipe, tmp_path / "parts", resume=True, limit=64)
    equal(tmp_path / "whole", tmp_path / "parts")


def test_best_is_the_best_in_validation(tmp_path, monkeypatch):
    """Not the last; the earlier of two equal ones; small, and shipped with its log."""
    task, scores = make_task("digits"), iter([0.25, 0.5, 0.5, 0.125])
    monkeypatch.setattr(train, "accuracy", lambda *args: next(scores))
    train.train(task, replace(TINY, epochs=4), tmp_path, limit=64)
    best = checkpoint.load(tmp_path / "best.pt")
    assert (best.info["epoch"], best.info["val_accuracy"]) == (2, 0.5)
    assert best.info["recipe"]["epochs"] == 4
    assert set(checkpoint.read(tmp_path / "best.pt")) == {*checkpoint.REQUIRED, "info"}
    target = checkpoint.ship(tmp_path / "best.pt", folder=tmp_path / "shipped")
    assert checkpoint.load(target).info["epoch"] == 2
    scores = iter([0.125])
    train.train(task, replace(TINY, epochs=1), tmp_path, limit=64)      # anew: another training
    assert checkpoint.load(tmp_path / "best.pt").info["epoch"] == 1
    assert len(log_of(tmp_path)) == 1


def test_diverged_training_stops_and_keeps_the_last_good_file(tmp_path, monkeypatch, capsys):
    recipe = replace(recipe_for(make_task("digits"), "small"), batch=8, lr=0.1)
    monkeypatch.setattr(train, "recipe_for", lambda task, name: recipe)
    loss = Run.loss
    calls = iter(range(100))
    monkeypatch.setattr(Run, "loss", lambda self, *args: loss(self, *args) * (
        torch.nan if next(calls) == 5 else 1.0))
    assert command(monkeypatch, train, "--task", "digits", "--limit", 80, "--epochs", 1, "--out",
                   tmp_path, "--threads", 1, "--save-minutes", 0) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "epoch 1, step 6 of 10: the loss or a weight is no longer a finite number" in line
    assert "smaller lr (now 0.1)" in line
    content = checkpoint.read(tmp_path / "last.pt")
    assert content["part"]["steps"] == 5
    assert all(torch.isfinite(t).all() for t in content["state"].values())


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    """The loss tells a step later than the weights."""
    task = make_task("digits")
    run = Run(task, TINY, task.load("train").take(range(64)))
    saves = train.Saves(run, tmp_path, 8)
    saves.write()
    with torch.no_grad():
        run.net.decoder.weight[0, 0] = torch.inf
    with pytest.raises(cli.UserError, match="no longer a finite number"):
        saves.write()
    assert torch.isfinite(checkpoint.read(tmp_path / "last.pt")["state"]["decoder.weight"]).all()


def test_files_from_before_go_on_behind_an_epoch(tmp_path):
    """last.pt without ``part``, no best.pt, a log without ``resumed_step``."""
    task = make_task("digits")
    train.train(task, replace(TINY, epochs=2), tmp_path / "whole", limit=64)
    old = tmp_path / "old"
    write = checkpoint.write

    def first_epoch_only(path, content):
        if path.name == "last.pt" and content["epoch"] == 1:
            write(path, {k: v for k, v in content.items() if k != "part"})
            raise Killed
        write(path, content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "write", first_epoch_only)
        with pytest.raises(Killed):
            train.train(task, replace(TINY, epochs=2), old, limit=64)
    (old / "best.pt").unlink()
    lines = [json.loads(line) for line in (old / "log.jsonl").read_text().splitlines()]
    lines[0].pop("resumed_step")
    (old / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    train.train(task, replace(TINY, epochs=2), old, resume=True, limit=64)
    one, two = (checkpoint.read(tmp_path / name / "last.pt") for name in ("whole", "old"))
    assert all(torch.equal(one["state"][k], two["state"][k]) for k in one["state"])
    assert log_of(tmp_path / "whole") == log_of(old)


def test_saved_inside_an_epoch_only_as_often_as_asked(tmp_path, monkeypatch):
    now, writes = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    task = make_task("digits")
    run = Run(task, replace(TINY, batch=4), task.load("train").take(range(64)))
    saves = train.Saves(run, tmp_path, 8)
    monkeypatch.setattr(checkpoint, "write", lambda path, content: writes.append(
        content["part"]["steps"]))

    def after_step():
        now[0] += 150
        saves.after_step()
    run.epoch(0, after_step)
    assert writes == [4, 8, 12, 16]


def test_recipe_parts_have_effect():
    """Dropout, weight decay, warm-up and cosine; rates of A and dt apart."""
    task = make_task("digits")
    split = task.load("train").take(range(64))
    recipe = Recipe(replace(TINY.network, dropout=0.0), epochs=4, batch=16, warmup=4)

    def trained(**changes):
        run = Run(task, replace(recipe, network=replace(recipe.network, **changes)), split)
        run.calibrate()
        run.epoch(0)
        return run.net.blocks[0].mixer.weight
    assert torch.equal(trained(), trained())
    assert not torch.equal(trained(), trained(dropout=0.5))
    run = Run(task, replace(recipe, weight_decay=0.5), split)
    rates = []
    for _ in range(16):
        rates.append([group["lr"] for group in run.opt.param_groups])
        run.opt.step()
        run.schedule.step()
    assert [r[2] / r[0] for r in rates] == pytest.approx([recipe.ssm_lr / recipe.lr] * 16)
    assert rates[0][0] == pytest.approx(recipe.lr / 4)
    weights = [r[0] for r in rates]
    assert weights[:4] == sorted(weights[:4]) and weights[4:] == sorted(weights[4:])[::-1]
    assert weights[-1] < 0.02 * recipe.lr
    names = {id(p): name for name, p in run.net.named_parameters()}
    weights, norms, ssm = ({names[id(p)].split(".", 2)[-1] for p in group["params"]}
                           for group in run.opt.param_groups)
    assert ssm == {"ssm.log_A_re", "ssm.A_im", "ssm.log_dt"} and "mixer.weight" in weights
    before = run.net.blocks[0].mixer.weight.clone(), run.net.blocks[0].ssm.A_im.clone()
    for p in run.net.parameters():
        p.grad = torch.zeros_like(p)
    run.opt.param_groups[0]["lr"] = run.opt.param_groups[2]["lr"] = 0.1
    run.opt.step()
    torch.testing.assert_close(run.net.blocks[0].mixer.weight, 0.95 * before[0])
    assert torch.equal(run.net.blocks[0].ssm.A_im, before[1])
