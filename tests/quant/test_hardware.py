"""``python -m quant.export --hardware``: what the RTL cannot have is refused, nothing written."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from quant import hardware
from quant.integer import artifact
from quant.integer.synthetic import random_artifact
from quant.tune.fit import ExportError
from tests.quant import test_stream_export as stream
from tests.quant.test_export import RELEASED, TOY, command, made, refused
from tests.rtl.fabric import multiplying

TWO = {"kernel": "two_sided"}
NEEDS = re.compile(r"^tests\.quant\.toy:Toy: 2 layers of \d+ neurons of \d+ modes, \d+ lanes: \d+ "
                   r"cycles per step, \d+ multipliers, \d+ of them not of lanes \.\.\.$", re.M)
BUILT = {"paper, dplr": {"init": "hippo_legs"}, "binary": "binary", "gsu": "gsu",
         "lif": {"family": "lif"}}
REFUSED = {"released": RELEASED | {"d_state": 8}, "gsu": "gsu"}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(path, options, **more):
    """A checkpoint file of a network of any family."""
    if isinstance(options, str):
        return stream.made(path, options, **more)
    return made(path, **{name: value for name, value in (options | more).items()})


def options(path, out) -> tuple:
    return "--task", TOY, "--checkpoint", path, "--out", out, "-n", 0, "--vectors", 0, "--hardware"


@pytest.mark.parametrize("kind", BUILT)
def test_a_network_that_hardware_has(kind, tmp_path, monkeypatch, capsys):
    """It says what the network needs and writes the artifact; dense matrices are diagonal then."""
    path, out = network(tmp_path / "net.pt", BUILT[kind]), tmp_path / "a"
    command(monkeypatch, *options(path, out))
    assert NEEDS.search(capsys.readouterr().err)
    hardware.check(artifact.load(out))


@pytest.mark.parametrize("kind", REFUSED)
def test_a_network_that_it_has_not(kind, tmp_path, monkeypatch, capsys):
    """Operation, reason, what works; exit code 2, and the artifact of before is still there."""
    path, out = network(tmp_path / "net.pt", REFUSED[kind], **TWO), tmp_path / "a"
    line = refused(monkeypatch, capsys, *options(path, out))
    assert re.match(r"quant\.export: layer 0: \w+ of the states is .* of the past, but .* of the "
                    r"future; both sides share the hardware: export with --one-format; without "
                    r"--hardware it is exported all the same$", line), line
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt"]
    command(monkeypatch, *options(path, out)[:-1])
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    refused(monkeypatch, capsys, *options(path, out))
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_any_refusal_of_the_rtl_is_the_export_s():
    with pytest.raises(ExportError, match=r"^layer 0: Mix \(a -> n\) has weights .*; run the "
                                          r"network with python -m quant.evaluate; without --hard"):
        hardware.check(replace(multiplying(), task="digits"))


def test_a_program_that_says_nothing(monkeypatch):
    """Its exit code is all that there is to tell."""
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(
        a, -9, "", ""))
    with pytest.raises(ExportError, match="^exit code -9; without --hardware"):
        hardware.check(random_artifact(1, n_layers=1, H=2, n=1, length=4))


def test_an_operation_of_one_s_own(tmp_path, monkeypatch):
    """The example of docs/operations.md: the program that is asked imports the task's module."""
    root = Path(__file__).resolve().parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{root}:{root / 'docs' / 'examples'}", prepend=":")
    done = subprocess.run([sys.executable, "-c", MAKE], capture_output=True, text=True,
                          cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("leaky.task:Bursts: 1 layers of 2 neurons of 1 modes, 2 lanes")


MAKE = """
from dataclasses import replace
import numpy as np
import leaky.task
from golden.base.qformat import UQ
from leaky.operation import Leak
from quant import hardware
from quant.integer.memory import Fire
from quant.integer.operation import Tensor
from quant.integer.synthetic import random_artifact

art = random_artifact(1, n_layers=1, H=2, n=1, length=4, gelu_out=True)
ops, v = list(art.blocks[0]), art.spiking.layers[0].fmt.h
k = max(k for k, op in enumerate(ops) if isinstance(op, Fire))
ops[k] = Leak(ops[k].wiring, leak=Tensor(np.array([3, 5]), UQ(0, 5)),
              theta=Tensor(np.array([9, 9]), v), v=v)
print(hardware.check(replace(art, blocks=(tuple(ops),), task="leaky.task:Bursts")))
"""
