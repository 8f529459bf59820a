"""Checkpoints that others wrote: taken where nothing is lost, else one line that says how to."""

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from golden import checkpoint, evaluate, fields, tasks
from golden.base import cli
from golden.checkpoint import CheckpointError
from golden.model.network import Network
from tests.golden.files_of_torch import CFG, network, refusal, small, unsafe


@pytest.mark.parametrize("name", [
    "module.{}", "_orig_mod.{}", "_orig_mod.module.{}", "module._orig_mod.{}",
    "_fsdp_wrapped_module.{}"])
def test_what_wrappers_put_before_names_is_left_out(name, tmp_path):
    net = network()
    path = small(tmp_path / "x.pt", state={name.format(k): t for k, t in net.state_dict().items()})
    found = checkpoint.load(path).network.state_dict()
    assert all(torch.equal(found[k], t) for k, t in net.state_dict().items())


def test_wrapped_parts_and_names_that_become_one(tmp_path):
    state = network().state_dict()
    parts = {k.replace("blocks.0.", "blocks.0._orig_mod."): t for k, t in state.items()}
    assert not refusal(lambda: checkpoint.load(small(tmp_path / "x.pt", state=parts)))
    path = small(tmp_path / "x.pt", state=state | {"module.decoder.bias": torch.zeros(10)})
    assert "two tensors have one name without module" in refusal(lambda: checkpoint.load(path))


@pytest.mark.parametrize("nest", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3},
                                  lambda s: {"model": s, "lr": np.float64(1e-3)}])
def test_tensors_alone_are_told_how_to_become_a_checkpoint(nest, tmp_path):
    torch.save(nest(network().state_dict()), tmp_path / "x.pt")
    line = refusal(lambda: checkpoint.load(tmp_path / "x.pt"))
    assert "tensors by name, but not what network they are of" in line
    assert "golden.checkpoint.save(NEW, net, " in line and "docs/training.md" in line


def sparse(t):
    return t.to_sparse()


STATE = {
    "an int": (lambda t: t.int(), "is of type torch.int32, the network's is torch.float32"),
    "a bool": (lambda t: t > 0, "is of type torch.bool"),
    "a double": (lambda t: t.double(), "convert it (x.to(torch.float32))"),
    "a half": (lambda t: t.half(), "is of type torch.float16"),
    "bfloat16": (lambda t: t.bfloat16(), "is of type torch.bfloat16"),
    "complex": (lambda t: t.to(torch.complex64), "is of type torch.complex64"),
    "sparse": (sparse, "is a sparse tensor: write x.to_dense()"),
    "quantised": (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
                  "is a quantised tensor: write x.dequantize()"),
    "meta": (lambda t: t.to("meta"), "is a tensor without numbers (meta)"),
    "numpy": (lambda t: t.numpy(), "is an array of NumPy: write torch.from_numpy(x)"),
    "a list": (lambda t: t.tolist(), "must be a plain tensor, it is a list"),
    "None": (lambda t: None, "must be a plain tensor, it is None"),
    "an object": (lambda t: Path("x"), "is Python's pathlib.PosixPath"),
    "expanded": (lambda t: torch.ones(1).expand(len(t)), "write an expanded one with .clone()"),
    "a shape": (lambda t: t[None], "has shape (1, 10), the configuration says (10,)"),
    "NaN": (lambda t: t * torch.nan, "contains values that are not finite"),
    "large": (lambda t: t + 1e12, "has numbers from 1e+12 to 1e+12, from -1e+09"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", STATE)
def test_tensors_of_another_kind(kind, tmp_path):
    change, says = STATE[kind]
    state = network().state_dict()
    torch.save({key: value for key, value in checkpoint.read(small(tmp_path / "x.pt")).items()}
               | {"state": state | {"decoder.bias": change(state["decoder.bias"])}},
               tmp_path / "x.pt")
    line = refusal(lambda: checkpoint.load(tmp_path / "x.pt"))
    assert says in line and line.startswith(f"{tmp_path}/x.pt")


@pytest.mark.parametrize("name, value, says", [
    ("blocks.0.fuse.var", -1.0, "from 0 to 1e+09"), ("blocks.0.ssm.log_dt", 90.0, "to 80 are"),
    ("blocks.0.ssm.A_im", torch.inf, "not finite")])
def test_numbers_that_no_network_has(name, value, says, tmp_path):
    state = network().state_dict()
    state[name] = torch.full_like(state[name], value)
    line = refusal(lambda: checkpoint.load(small(tmp_path / "x.pt", state=state)))
    assert name in line and says in line


def test_folded_lengths_are_in_bounds(tmp_path):
    net = Network(replace(CFG, init="hippo_legs"))
    for length, refused in ((8, False), (-1, True), (1 << 40, True)):
        net.blocks[0].ssm.length.fill_(length)
        checkpoint.save(tmp_path / "x.pt", net, tasks.make_task("digits"), {})
        assert bool(refusal(lambda: checkpoint.load(tmp_path / "x.pt"))) == refused


@pytest.mark.parametrize("value, says", [
    (np.float64(0.5), "info['lr'] is numpy.float64: write float(x) or int(x)"),
    (np.float32(0.5), "numpy.float32"), (np.int64(3), "numpy.int64"), (np.bool_(1), "numpy.bool"),
    (np.ones(2), "an array of NumPy: write torch.from_numpy(x)"),
    ({1}, "info['lr'] is Python's "), (torch.float32, "Python's torch.float32"),
    (torch.ones(1), "info['lr'] is a tensor; plain numbers and texts")], ids=repr)
def test_what_stands_beside_the_tensors(value, says, tmp_path):
    content = checkpoint.read(small(tmp_path / "x.pt"))
    torch.save(content | {"info": {"lr": value}}, tmp_path / "x.pt")
    line = refusal(lambda: checkpoint.load(tmp_path / "x.pt"))
    assert says in line and "damaged" not in line


def test_an_info_that_is_no_json_is_not_written(tmp_path):
    for info in ({"a": np.float32(1)}, {"a": {1}}, [[]][0:0] or {"a": object()}):
        with pytest.raises(CheckpointError, match="its info is not plain json"):
            checkpoint.save(tmp_path / "x.pt", network(), tasks.make_task("digits"), info)
    checkpoint.save(tmp_path / "x.pt", network(), tasks.make_task("digits"), {"a": np.float64(0.5)})
    assert checkpoint.load(tmp_path / "x.pt").info == {"a": 0.5}


WRONG = (None, True, -3, 2**62, 0.5, float("nan"), "x", "../../x", "é\n" * 500, [], [[]], {},
         {"a": {}}, {3: 4}, torch.zeros(3), torch.zeros(0), torch.tensor(float("nan")))


@pytest.mark.parametrize("key", fields.TYPES)
def test_any_value_in_any_field(key, tmp_path):
    """Refused in one line, or a network of the same tensors."""
    good = checkpoint.read(small(tmp_path / "x.pt"))
    wanted, refused = network().state_dict(), 0
    inner = [good[key] | {name: value} for name, value in itertools.product(
        [*good[key], 7], WRONG)] if isinstance(good.get(key), dict) and key != "state" else []
    for value in (*WRONG, *inner):
        path = unsafe(tmp_path / "x.pt", good | {key: value})
        found = []
        line = refusal(lambda: found.append(checkpoint.load(path)))
        refused += bool(line)
        if not line:
            assert found[0].task.name == "digits" and (key == "network"
                                                       or found[0].network.cfg == CFG)
            assert all(torch.equal(t, wanted[k]) for k, t in found[0].network.state_dict().items())
    assert refused >= 8


@pytest.mark.parametrize("change, says", [
    ({"d_model": 10**7}, "d_model must be at most 8,192"),
    ({"n_blocks": 10**6}, "n_blocks must be at most 256"),
    ({"n_classes": 10**9}, "n_classes must be at most"),
    ({"vocab": 10**9}, "vocab must be at most"),
    ({"d_state": 10**6}, "d_state must be at most"),
    ({"d_model": 8192, "n_blocks": 256}, "has about 34,"),
    ({"init": "hippo_legs", "d_state": 1024, "d_model": 8192}, "at most 134,217,728 are allowed"),
    ({"d_model": 8000}, "says 1 blocks of 8,000 neurons, the file holds 126 numbers"),
    ({"n_blocks": 200}, "says 200 blocks of 4 neurons, the file holds")], ids=str)
def test_sizes_without_bounds(change, says, tmp_path):
    path = small(tmp_path / "x.pt", network=CFG.to_dict() | change)
    assert says in refusal(lambda: checkpoint.load(path))


OWN = """
from pathlib import Path
Path("ran").touch()
from golden.tasks.digits import Digits
class Mine(Digits):
    pass
class Other(Digits):
    pass
"""


def test_a_task_s_code_runs_only_where_task_names_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = "mine_of_a_checkpoint"
    (tmp_path / f"{name}.py").write_text(OWN)
    path = small(tmp_path / "x.pt", task=f"{name}:Mine")

    def command(*args) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["golden.evaluate", "--checkpoint", str(path), "-n", "2",
                                          "--threads", "1", "--seeds", "1", *args])
        found = cli.code("golden.evaluate", evaluate.main)
        return found, capsys.readouterr().err
    code, line = command()
    assert code == 2 and f"add --task {name}:Mine if you trust" in line and line.count("\n") == 1
    assert not (tmp_path / "ran").exists() and name not in sys.modules
    code, line = command("--task", "digits")
    assert code == 2 and "not digits" in line and not (tmp_path / "ran").exists()
    code, line = command("--task", f"{name}:Other")
    assert code == 2 and f"is a network for task {name}:Mine, not {name}:Other" in line
    assert command("--task", f"{name}:Mine")[0] == 0 and (tmp_path / "ran").exists()
    del sys.modules[name]
