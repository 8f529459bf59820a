"""Checkpoints: what is written is read again, and what is wrong is named."""

import json
import re
from pathlib import Path

import pytest
import torch

from golden import checkpoint, tasks
from golden.checkpoint import CheckpointError
from golden.model.config import PaperConfig
from golden.model.network import Network

SHIPPED = sorted(path for path in checkpoint.SHIPPED.glob("*.pt")
                 if not path.name.endswith(".qat.pt"))


@pytest.fixture
def net() -> Network:
    torch.manual_seed(0)
    return Network(PaperConfig(n_classes=10, n_blocks=1, d_model=4, d_state=2))


@pytest.fixture
def path(tmp_path, net) -> Path:
    checkpoint.save(tmp_path / "net.pt", net, tasks.make_task("digits:seed3"), {"note": "a test"})
    return tmp_path / "net.pt"


def test_round_trip(path, net):
    found = checkpoint.load(path)
    assert found.network.cfg == net.cfg and not found.network.training
    assert found.task.name == "digits:seed3" and found.info == {"note": "a test"}
    for name, tensor in net.state_dict().items():
        assert torch.equal(found.network.state_dict()[name], tensor), name
    assert [p.name for p in path.parent.iterdir()] == ["net.pt"]


def change(path, **changes):
    content = torch.load(path, weights_only=True)
    for key, value in changes.items():
        if value is None:
            del content[key]
        else:
            content[key] = value(content[key]) if callable(value) else value
    del content["sha256"]
    checkpoint.write(path, content)


@pytest.mark.parametrize("changes, message", [
    ({"state": None}, "lacks state"), ({"future": 1}, "unknown key future"),
    ({"network": lambda n: n | {"magic": 1}}, "unknown option magic"),
    ({"network": lambda n: n | {"act": "tanh"}}, "act must be one of"),
    ({"network": lambda n: n | {"d_model": 5}}, "has shape (4,), the configuration says (5,)"),
    ({"network": lambda n: n | {"n_blocks": 2}}, "missing blocks.1"),
    ({"state": lambda s: s | {"extra": torch.zeros(1)}}, "unknown extra"),
    ({"state": lambda s: s | {"decoder.bias": torch.full((10,), torch.nan)}}, "not finite"),
    ({"network": lambda n: n | {"n_classes": 3}}, "3 classes"),
    ({"permutation": "seed4"}, "permutation seed4"), ({"task": "nonsense"}, "known: psmnist")])
def test_what_is_wrong_is_named(path, changes, message):
    change(path, **changes)
    with pytest.raises((CheckpointError, tasks.TaskError), match=re.escape(message)) as error:
        checkpoint.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "list", "code"])
def test_damaged_file(path, damage):
    good = path.read_bytes()
    if damage == "list":
        torch.save([1, 2], path)
    elif damage == "code":                          # a pickle that would call a function
        torch.save({"state": Path("x")}, path)
    else:
        path.write_bytes({"truncated": good[:-100], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(CheckpointError, match="not a checkpoint of this project") as error:
        checkpoint.load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_missing(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match="does not exist"):
        checkpoint.load(tmp_path / "nothing.pt")
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    with pytest.raises(CheckpointError, match="no network is shipped for task digits;"):
        checkpoint.load("digits")
    for name in ("digits.small.pt", "digits.qat.pt", "digits-seed3.pt", "digits.log.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match="no network large is shipped for task digits; it has "
                                              "small "):
        checkpoint.load("digits", "large")
    with pytest.raises(CheckpointError, match="--net small chooses a shipped"):
        checkpoint.load(tmp_path / "digits.small.pt", "small")


def test_nothing_half_written(path, monkeypatch):
    good = path.read_bytes()

    def full(content, target):
        target.write(b"half")
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match="No space left"):
        checkpoint.write(path, {})
    assert path.read_bytes() == good and len(list(path.parent.iterdir())) == 1


def test_ship(path, net):
    folder = path.parent / "shipped"
    with pytest.raises(CheckpointError, match="log of its run"):
        checkpoint.ship(path, folder=folder)
    (path.parent / "log.jsonl").write_text('{"epoch": 1}\n')
    change(path, optimiser={"state": {}}, epoch=7)
    target = checkpoint.ship(path, "untuned", folder)
    assert target == folder / "digits-seed3.pt"
    assert "optimiser" not in torch.load(target, weights_only=True)
    assert checkpoint.load(target).info == {"note": "untuned", "epoch": 7}
    assert (folder / "digits-seed3.log.jsonl").read_text() == '{"epoch": 1}\n'
    named = checkpoint.ship(path, folder=folder, net="small")
    assert named == folder / "digits-seed3.small.pt"
    assert (folder / "digits-seed3.small.log.jsonl").exists()
    with pytest.raises(CheckpointError, match="letters"):
        checkpoint.ship(path, folder=folder, net="a/b")


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda p: p.stem)
def test_shipped(shipped):
    found = checkpoint.load(shipped)
    task = tasks.spec(found.task)
    assert shipped in [checkpoint.shipped(task, net) for net in checkpoint.nets(task)]
    assert shipped.stat().st_size < 2_000_000 and found.network.parameter_count() <= 170_000
    log = [json.loads(line) for line in
           shipped.with_name(shipped.stem + ".log.jsonl").read_text().splitlines()]
    rounds = [line for line in log if "recipe" in line]     # the last one made the weights
    assert rounds[-1]["recipe"] == found.info["recipe"]
    assert log[-1]["epoch"] == found.info["epoch"]
    if found.task.name == "listops":
        assert "untuned" in found.info["note"]


def test_networks_are_shipped():
    assert {p.stem for p in SHIPPED} >= {"digits"}
