"""Widening: the wider network computes what the narrower one does, and its new neurons learn."""

from dataclasses import replace

import pytest
import torch

from golden import checkpoint, train
from golden.training.grow import GrowError, widen
from golden.model.config import LIFConfig, PaperConfig, ReleasedConfig, StreamConfig
from golden.model.network import Network
from golden.tasks import make_task
from golden.training.recipes import Recipe

SMALL = PaperConfig(n_classes=3, n_blocks=3, d_model=5, d_state=4, dt_min=1e-2, dt_max=0.5,
                    sampling="mean")


def values(cfg):
    return torch.randint(0, 4, (6, 20)) if cfg.vocab else torch.rand(6, 20, dtype=torch.float64)


def network(cfg, seed):
    torch.manual_seed(seed)
    net = Network(cfg).double()
    net.calibrate(values(cfg))
    for norm in net.norms():
        norm.mean.copy_(torch.rand(cfg.d_model))
        norm.var.copy_(torch.rand(cfg.d_model) + 0.5)
    return net.eval()


@pytest.mark.parametrize("cfg", [SMALL, replace(SMALL, vocab=4), replace(SMALL, residual="plain"),
                                 replace(SMALL, kernel="two_sided")],
                         ids=["samples", "tokens", "plain", "two_sided"])
def test_the_same_function(cfg):
    small, large = network(cfg, 1), network(replace(cfg, d_model=8), 2)
    v = values(cfg)
    wanted = small(v)
    assert not torch.allclose(large(v), wanted, atol=1e-3)
    fresh = large.blocks[1].mixer.weight[5:].clone()
    widen(large, small.state_dict())
    torch.testing.assert_close(large(v), wanted, rtol=0, atol=1e-12)
    assert torch.equal(large.blocks[1].mixer.weight[5:], fresh)     # new neurons see everything


def test_new_neurons_learn():
    large = network(replace(SMALL, d_model=8), 2)
    widen(large, network(SMALL, 1).state_dict())
    large(values(SMALL)).square().sum().backward()
    assert large.decoder.weight.grad[:, 5:].abs().min() > 0
    assert large.blocks[1].mixer.weight.grad[:5, 5:].abs().max() > 0


@pytest.mark.parametrize("other, message", [
    (replace(SMALL, d_model=9), "it has 9 neurons in a block, more than 8"),
    (replace(SMALL, d_state=6), r"blocks.0.ssm.log_A_re has shape \(5, 3\), expected \(5, 2\)"),
    (replace(SMALL, n_blocks=2), "it has other tensors: blocks.2"),
    (replace(SMALL, n_classes=4), r"decoder.weight has shape \(4, 5\), expected \(3, 5\)"),
])
def test_what_cannot_be_widened(other, message):
    large = network(replace(SMALL, d_model=8), 2)
    before = {name: t.clone() for name, t in large.state_dict().items()}
    with pytest.raises(GrowError, match=message):
        widen(large, network(other, 1).state_dict())
    assert all(torch.equal(t, before[name]) for name, t in large.state_dict().items())


@pytest.mark.parametrize("cls", [ReleasedConfig, StreamConfig, LIFConfig])
def test_another_family(cls):
    other = Network(cls(n_classes=3, d_model=5, d_state=4))
    with pytest.raises(GrowError, match=f"family {cls.family} cannot be widened, only one of"):
        widen(other, other.state_dict())
    with pytest.raises(GrowError, match="it has other tensors"):
        widen(network(SMALL, 1), other.state_dict())


def test_a_training_starts_from_a_narrower_network(tmp_path):
    task = make_task("digits")
    recipe = Recipe(PaperConfig(n_classes=10, n_blocks=1, d_model=6, d_state=4), epochs=1)
    first = train.train(task, recipe, tmp_path / "first", limit=64)
    wide = replace(recipe, network=replace(recipe.network, d_model=8), lr=0.0, ssm_lr=0.0)
    last = tmp_path / "first" / "last.pt"
    net = train.train(task, wide, tmp_path / "second", limit=64, start=last)
    assert torch.equal(net.blocks[0].ssm.C[:6], first.blocks[0].ssm.C)
    assert not net.decoder.weight[:, 6:].any()
    with pytest.raises(checkpoint.CheckpointError, match="last.pt cannot be widened to 4 neurons"):
        narrow = replace(wide, network=replace(wide.network, d_model=4))
        train.train(task, narrow, tmp_path / "third", limit=64, start=last)
    assert not (tmp_path / "third").exists()


def test_a_start_of_an_unknown_option_is_one_line(tmp_path):
    task, path = make_task("digits"), tmp_path / "odd.pt"
    cfg = PaperConfig(n_classes=10, n_blocks=1, d_model=6, d_state=4)
    checkpoint.save(path, Network(cfg), task, {})
    content = checkpoint.read(path)
    checkpoint.write(path, content | {"network": content["network"] | {"magic": 1}})
    with pytest.raises(checkpoint.CheckpointError, match="odd.pt: unknown option magic"):
        train.train(task, Recipe(cfg, epochs=1), tmp_path / "out", limit=64, start=path)
