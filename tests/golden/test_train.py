"""Training and evaluation as commands, on a few digits; resuming changes nothing."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from golden import checkpoint, evaluate, train
from golden.kernels import ops
from golden.training import run
from golden.base import cli
from golden.model.config import PaperConfig
from golden.training.recipes import Recipe
from golden.tasks import Split, make_task

ROOT = Path(__file__).resolve().parents[2]
TINY = Recipe(PaperConfig(n_classes=10, n_blocks=1, d_model=8, d_state=4, dropout=0.1), epochs=3,
              warmup=2)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def command(monkeypatch, module, *args) -> int:
    """Exit code of ``python -m golden.<module>`` with these arguments, in this process."""
    name = module.__name__
    monkeypatch.setattr(sys, "argv", [name, *map(str, args)])
    try:
        cli.run(name, module.main)
    except SystemExit as end:
        return end.code
    return 0


def log_of(out: Path) -> list[dict]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "cpu_seconds")}
            for line in lines if "epoch" in line]


def test_resumed_equals_uninterrupted(tmp_path, monkeypatch):
    task = make_task("digits")
    train.train(task, TINY, tmp_path / "whole", limit=96)
    write = checkpoint.write

    def interrupted(path, content):
        write(path, content)
        if content.get("epoch") == 2:
            raise KeyboardInterrupt
    monkeypatch.setattr(checkpoint, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.train(task, TINY, tmp_path / "parts", limit=96)
    monkeypatch.setattr(checkpoint, "write", write)
    torch.manual_seed(99)
    train.train(task, TINY, tmp_path / "parts", resume=True, limit=96)
    whole, parts = (torch.load(tmp_path / name / "last.pt", weights_only=True)
                    for name in ("whole", "parts"))
    for name in whole["state"]:
        assert torch.equal(whole["state"][name], parts["state"][name]), name
    assert whole["val_accuracy"] == parts["val_accuracy"] and parts["epoch"] == 3
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "parts")


def test_second_round_keeps_the_first_ones_log(tmp_path):
    task = make_task("digits")
    first = train.train(task, TINY, tmp_path / "first", limit=96)
    second = replace(TINY, epochs=2, lr=0.0, ssm_lr=0.0, seed=5)
    net = train.train(task, second, tmp_path / "second", limit=96,
                      start=tmp_path / "first" / "last.pt")
    assert [line["epoch"] for line in log_of(tmp_path / "second")] == [1, 2, 3, 1, 2]
    assert torch.equal(net.blocks[0].mixer.weight, first.blocks[0].mixer.weight)
    train.train(task, second, tmp_path / "second", limit=96, resume=True)
    assert [line["epoch"] for line in log_of(tmp_path / "second")] == [1, 2, 3, 1, 2]


def test_resume_of_another_training(tmp_path, monkeypatch):
    task = make_task("digits")
    train.train(task, replace(TINY, epochs=1), tmp_path, limit=64)
    content = (tmp_path / "last.pt").read_bytes()
    for other, recipe, limit, message in (
            (task, replace(TINY, epochs=1, lr=0.5), 64, "lr: 0.01, now 0.5"),
            (task, replace(TINY, epochs=2), 64, "epochs: 1, now 2"),
            (task, replace(TINY, epochs=1, network=replace(TINY.network, d_model=9)), 64,
             "d_model: 8, now 9"),
            (make_task("digits:seed5"), replace(TINY, epochs=1), 64, "task: digits, now digits:s"),
            (task, replace(TINY, epochs=1), 32, "training sequences: 64, now 32")):
        with pytest.raises(checkpoint.CheckpointError, match=message):
            train.train(other, recipe, tmp_path, resume=True, limit=limit)
    assert (tmp_path / "last.pt").read_bytes() == content
    checkpoint.save(tmp_path / "last.pt", checkpoint.load(tmp_path / "last.pt").network, task, {})
    with pytest.raises(checkpoint.CheckpointError, match="cannot be resumed: it lacks recipe"):
        train.train(task, replace(TINY, epochs=1), tmp_path, resume=True, limit=64)


def test_it_learns():
    """Two classes by brightness: an epoch is enough."""
    class Bright:
        name, n_classes, length, vocab, sample_format = "bright", 2, 64, 0, None
    digits = make_task("digits")
    split = digits.load("train")
    labels = (split.values.sum(1) > 310).astype(int)
    split = Split(split.values, split.lengths, labels)
    Bright.sample_format = digits.sample_format
    recipe = replace(TINY, epochs=4, warmup=10, network=replace(TINY.network, n_classes=2))
    training = run.Run(Bright(), recipe, split)
    training.calibrate()
    first = training.epoch(0)
    for epoch in range(1, 4):
        last = training.epoch(epoch)
    assert last["loss"] < first["loss"] and last["train_accuracy"] > 0.8


@pytest.mark.parametrize("sampling", ["bernoulli", "systematic"])
def test_without_fused_kernels_as_on_a_gpu(sampling, monkeypatch):
    """In bfloat16 plain PyTorch computes what the kernels do: samplers sum in float32."""
    monkeypatch.setattr(run, "fast_dtype", lambda neurons, device: torch.bfloat16)
    losses = []
    for fused in (True, False):
        if not fused:
            monkeypatch.setattr(ops, "fusable", lambda x: False)
        recipe = replace(TINY, network=replace(TINY.network, sampling=sampling, dropout=0.0))
        task = make_task("digits")
        training = run.Run(task, recipe, task.load("train").take(np.arange(256)))
        training.calibrate()
        losses.append([training.epoch(epoch)["loss"] for epoch in range(3)])
    assert losses[0] == pytest.approx(losses[1], abs=0.15) and losses[1][2] < losses[1][0]


def test_bfloat16_draws_are_fair_without_kernels(monkeypatch):
    """A p far finer than bfloat16's uniform numbers."""
    monkeypatch.setattr(ops, "fusable", lambda x: False)
    torch.manual_seed(0)
    p = 1 / 700
    s = ops.sample(torch.zeros(1, 2_000_000).bfloat16(), torch.full((1,), p))
    assert abs(s.float().mean().item() - p) < 5 * (p / 2_000_000) ** 0.5


def test_no_such_device(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command(monkeypatch, train, "--task", "digits", "--device", "cuda") == 2
    assert "--device cuda: PyTorch sees no such device here" in capsys.readouterr().err
    assert command(monkeypatch, train, "--task", "digits", "--device", "gpu") == 2
    assert "--device gpu: it must be cpu or cuda" in capsys.readouterr().err


@pytest.mark.parametrize("module, args, message", [
    (train, ["--task", "mnist"], "task 'mnist' is unknown; known:"),
    (train, ["--task", "digits", "--recipe", "best"], "'best' is unknown; known: binary, digits,"),
    (train, ["--task", "digits", "--save-minutes", "-1"], "'-1' is not a number of minutes"),
    (train, ["--task", "digits", "--seed", "-1"], "'-1' is not a whole number of at least 0"),
    (train, ["--task", "digits", "--seed", "9" * 30], "of at least 0 and at most 18 digits"),
    (train, ["--task", "digits", "--batch", "x"], "'x' is not a whole number of at least 1"),
    (train, ["--task", "psmnist", "--data-dir", "/nowhere"], "/nowhere (from --data-dir)"),
    (train, ["--task", "digits", "--epochs", "0"], "'0' is not a whole number of at least 1"),
    (evaluate, ["--task", "digits", "--checkpoint", "gone.pt"], "gone.pt does not exist"),
    (evaluate, ["--task", "psmnist", "--checkpoint", "digits"], "digits does not exist"),
    (evaluate, ["--task", "psmnist", "--checkpoint", checkpoint.shipped("digits")],
     "is a network for task digits, not psmnist"),
    (evaluate, [], "give --task, --checkpoint or both")])
def test_mistakes_are_one_line(module, args, message, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, module, *args) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_evaluate_shipped_digits(tmp_path, monkeypatch, capsys):
    path = tmp_path / "r" / "result.json"
    assert command(monkeypatch, evaluate, "--task", "digits", "--seeds", "3", "--json", path,
               "--threads", "1") == 0
    result = json.loads(path.read_text())
    assert result["n"] == 359 and result["seeds"] == 3 and result["split"] == "test"
    assert result["accuracy_mean"] >= 0.85 and 0 < result["accuracy_std"] < 0.05
    assert abs(sum(result["accuracies"]) / 3 - result["accuracy_mean"]) < 1e-5
    assert all(0.02 < rate < 0.9 for block in result["spike_rates"] for rate in block.values())
    assert f"{100 * result['accuracy_mean']:.2f} %" in capsys.readouterr().out


def test_commands_in_a_shell(tmp_path):
    """The two commands as a user types them, heap settings included."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    out = tmp_path / "run"

    def shell(*args):
        return subprocess.run([sys.executable, "-m", *map(str, args)], cwd=ROOT, env=env,
                              capture_output=True, text=True, timeout=300)
    done = shell("golden.train", "--task", "digits", "--limit", 64, "--epochs", 1, "--out", out,
                 "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["epoch"] == 1
    done = shell("golden.evaluate", "--checkpoint", out / "last.pt", "-n", 20, "--seeds", 1,
                 "--threads", 1)
    assert done.returncode == 0 and "digits, test, 20 sequences" in done.stdout, done.stderr


def test_augmentation_draws_and_teacher_change_the_training(tmp_path):
    class Moved(type(make_task("digits"))):
        def augment(self, values, generator):
            return values.roll(int(torch.randint(1, 9, (1,), generator=generator)), 1)
    found = {}
    train.train(make_task("digits"), TINY, tmp_path / "plain", limit=64)
    for name, options in {"augment": {"augment": 1.0}, "half": {"augment": 0.5},
                          "draws": {"draws": 2}, "distil": {"distil": 0.5}}.items():
        task = Moved()
        train.train(task, replace(TINY, epochs=1, **options), tmp_path / name, limit=64,
                    teacher=tmp_path / "plain" / "last.pt" if name == "distil" else None)
        found[name] = log_of(tmp_path / name)[0]["loss"]
    assert len(set(found.values()) | {log_of(tmp_path / "plain")[0]["loss"]}) == 5


def test_augmentation_and_distillation_need_what_they_need(tmp_path):
    task = make_task("digits")
    with pytest.raises(cli.UserError, match="digits has no augment"):
        train.train(task, replace(TINY, augment=0.5), tmp_path, limit=64)
    with pytest.raises(cli.UserError, match="--teacher"):
        train.train(task, replace(TINY, distil=0.5), tmp_path, limit=64)


def test_loss_with_a_teacher_is_least_at_the_teacher():
    teacher = torch.nn.Linear(4, 3)
    training = run.Run.__new__(run.Run)
    training.recipe, training.dtype = replace(TINY, distil=1.0), None
    training.teacher = lambda values, lengths, dtype: teacher(values)
    values = torch.randn(5, 4)
    labels = torch.zeros(5, dtype=torch.long)
    assert training.loss(teacher(values), values, None, labels).abs() < 1e-6
    assert training.loss(teacher(values) + torch.randn(5, 3), values, None, labels) > 0.01
