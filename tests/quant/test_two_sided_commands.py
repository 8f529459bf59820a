"""Two-sided networks of every family that has integers, from a file to integers by the commands."""

import json
import re
import sys

import numpy as np
import pytest
import torch

import rtl.generate
from golden import checkpoint
from golden.base import cli
from golden.tasks import make_task
from quant import evaluate, export, finetune
from quant.integer import artifact, reference
from quant.integer.future import Future
from quant.tune.fit import random_format
from tests.quant import test_stream_export as stream
from tests.quant.test_export import RELEASED, TOKENS, TOY, made
from tests.quant.toy import op_at, place_of

TWO = {"kernel": "two_sided"}
CASES = {"paper": (TOY, {}), "plain": (TOKENS, {"residual": "plain", "sampling": "systematic"}),
         "paper, dplr": (TOY, {"init": "hippo_legs"}),
         "released": (TOY, RELEASED | {"d_state": 8}),
         "released, post": (TOKENS, RELEASED | {"residual": "none", "norm_position": "post",
                                                "init": "s4d_lin"}),
         "binary": (TOY, "binary"), "gsu": (TOKENS, "gsu")}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def command(monkeypatch, module, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    cli.run(module.__name__, module.main)


@pytest.mark.parametrize("case", CASES)
def test_export_evaluation_and_fine_tuning(case, tmp_path, monkeypatch, capsys):
    task, options = CASES[case]
    path, out = tmp_path / "net.pt", tmp_path / "a"
    if isinstance(options, str):
        stream.made(path, options, task, **TWO)
    else:
        made(path, task, **options | TWO)
    plain = ("--task", task, "--checkpoint", path)
    command(monkeypatch, export, *plain, "--out", out, "-n", 12, "--seed", 5)
    assert "h_future" in capsys.readouterr().out
    assert (out / "vectors.npz").exists()
    art, split = artifact.load(out), make_task(task).load("test")
    assert all(isinstance(op_at(art, place_of(art, j, Future)), Future) for j in range(2))
    assert {row["tensor"] for row in art.info["ranges"] if row["proven"]} == {"h", "h_future"}
    result = tmp_path / "r.json"
    assert evaluate.main(["--task", task, "--artifact", str(out), "--json", str(result)]) == 0
    found = [reference.execute(art, v[:n]) for v, n in zip(split.values, split.lengths)]
    assert json.loads(result.read_text())["accuracies"] == [
        np.mean([t.label for t in found] == split.labels)]
    one = tmp_path / "one"
    command(monkeypatch, export, *plain, "--out", one, "-n", 4, "--one-format")
    assert rtl.generate.main(["--artifact", str(one), "--out", str(tmp_path / "v")]) == 0
    file = tmp_path / "tuned.pt"
    command(monkeypatch, finetune, *plain, "--out", file, "--steps", 3, "--batch", 4, "--threads",
            1, "--margin", 3)
    command(monkeypatch, export, *plain, "--qat", file, "--out", tmp_path / "b", "-n", 4)
    tuned, place = artifact.load(tmp_path / "b"), place_of(art, 1, Future)
    assert tuned.info["checkpoint"]["fine_tuned"]
    assert (op_at(tuned, place).g_re.real != op_at(art, place).g_re.real).any()


def test_formats_that_differ(tmp_path, capsys):
    """All layers share the hardware, and both sides; leaving out --folded would not help."""
    path, out = made(tmp_path / "net.pt", **TWO), tmp_path / "a"
    export.export(checkpoint.load(path, task=TOY), out, n=0)
    capsys.readouterr()
    assert rtl.generate.main(["--artifact", str(out), "--out", str(tmp_path / "v")]) == 2
    assert re.fullmatch(r"rtl\.generate: .* is SQ\S+ .* but SQ\S+ .*: export with --one-format\n",
                        capsys.readouterr().err)
    assert not (tmp_path / "v").exists()


def test_a_generator_with_enough_streams():
    assert random_format(20, 20, 8, 4).width == 32 < random_format(20, 21, 8, 4).width
