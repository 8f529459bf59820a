"""Two-sided networks of every family that has integers, from a file to integers by the commands."""

import json
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
from tests.quant.toy import at, op_at, place_of

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
    assert not (out / "vectors.npz").exists()
    art, split = artifact.load(out), make_task(task).load("test")
    assert all(isinstance(op_at(art, place_of(art, j, Future)), Future) for j in range(2))
    assert {row["tensor"] for row in art.info["ranges"] if row["proven"]} == {"h", "h_future"}
    result = tmp_path / "r.json"
    assert evaluate.main(["--task", task, "--artifact", str(out), "--json", str(result)]) == 0
    found = [reference.execute(art, v[:n]) for v, n in zip(split.values, split.lengths)]
    assert json.loads(result.read_text())["accuracies"] == [
        np.mean([t.label for t in found] == split.labels)]
    assert rtl.generate.main(["--artifact", str(out), "--out", str(tmp_path / "v")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "a two-sided kernel needs the whole sequence: 20 steps x" in lines[0]
    file = tmp_path / "tuned.pt"
    command(monkeypatch, finetune, *plain, "--out", file, "--steps", 3, "--batch", 4, "--threads",
            1, "--margin", 3)
    command(monkeypatch, export, *plain, "--qat", file, "--out", tmp_path / "b", "-n", 4)
    tuned, place = artifact.load(tmp_path / "b"), place_of(art, 1, Future)
    assert tuned.info["checkpoint"]["fine_tuned"]
    assert (op_at(tuned, place).g_re.real != op_at(art, place).g_re.real).any()


def test_the_sums_of_the_refusal(tmp_path, capsys):
    """The bits that a core would have to keep, from the artifact's own formats."""
    path, out = made(tmp_path / "net.pt", **TWO), tmp_path / "a"
    export.export(checkpoint.load(path, task=TOY), out, n=0)
    art = artifact.load(out)
    op, (u,) = at(art, place_of(art, 0, Future))
    capsys.readouterr()
    rtl.generate.main(["--artifact", str(out), "--out", str(tmp_path / "v")])
    y = op.format(u)
    assert capsys.readouterr().err == (
        f"rtl.generate: layer 0: a two-sided kernel needs the whole sequence: 20 steps x 8 neurons,"
        f" 160 bits of inputs (s_in UQ(1,0)) and {160 * y.width} bits of sums (future {y}), not in "
        f"the RTL; run the network with python -m quant.evaluate, or train one with kernel = "
        f"causal\n")


def test_a_generator_with_enough_streams():
    assert random_format(20, 20, 8, 4).width == 32 < random_format(20, 21, 8, 4).width
