"""The released configurations: their sizes, and that each runs forward and backward."""

import sys

import pytest
import torch

from golden.released import configurations as released
from golden.base import cli
from golden.model.network import Network
from golden.released.configurations import CONFIGURATIONS
from golden.training.run import optimiser
from golden.tasks import make_task
from golden.training.recipes import made, read, recipe_for

TABLE = {       # layers, d_model, d_state, norm, position, residual, dropout: as published
    "psmnist": (2, 400, 64, "batch", "pre", "none", 0.1),
    "listops": (4, 128, 16, "batch", "post", "plain", 0.0),
    "text": (4, 128, 16, "batch", "pre", "plain", 0.05),
    "retrieval": (4, 200, 24, "batch", "pre", "plain", 0.0),
    "image": (6, 512, 64, "layer", "post", "plain", 0.1),
    "pathfinder": (6, 256, 64, "batch", "pre", "plain", 0.1)}


TRAINING = {    # epochs, batch, learning rate, weight decay, steps of warm-up
    "psmnist": (200, 64, 5e-4, 0.01, 1), "listops": (200, 32, 8e-4, 0.01, 12_000),
    "text": (200, 32, 5e-3, 0.05, 5_000), "retrieval": (20, 36, 3e-3, 0.05, 5_000),
    "image": (200, 50, 5e-3, 0.01, 18_000), "pathfinder": (500, 100, 2e-4, 0.0, 50_000)}


@pytest.mark.parametrize("name", TABLE)
def test_size_and_a_pass_forward_and_backward(name):
    published = CONFIGURATIONS[name]
    c = published.network(name)
    assert TABLE[name] == (c.n_blocks, c.d_model, c.d_state, c.norm, c.norm_position, c.residual,
                           c.dropout)
    assert (c.kernel, c.init, c.act, c.gelu_before_sampler) == ("two_sided", "hippo_legs", "gelu",
                                                                True)
    assert c.shared_A is (name != "pathfinder") and c.branch is (name != "psmnist")
    assert c.tie_dropout is (name == "image") and c.pair is (name == "retrieval")
    torch.manual_seed(0)
    net, loss = released.run(c, 8)
    assert loss > 0
    count = sum(p.numel() for p in net.parameters() if p.grad is not None)
    assert count == net.parameter_count()
    assert abs(count / published.parameters - 1) < 0.01
    assert all(p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("name", TABLE)
def test_each_is_a_recipe(name):
    r = made(read(f"{name}_released"), 10, 0, False)
    assert TRAINING[name] == (r.epochs, r.batch, r.lr, r.weight_decay, r.warmup)
    assert (r.ssm_lr, r.label_smoothing) == (1e-3, 0.0)
    if name in ("psmnist", "listops"):      # the task is this project's too
        assert recipe_for(make_task(name), f"{name}_released").network == (
            CONFIGURATIONS[name].network(name))


def test_the_optimiser_gives_the_state_space_its_own_rate():
    recipe = recipe_for(make_task("listops"), "listops_released")
    net = Network(recipe.network)
    names = {id(p): name for name, p in net.named_parameters()}
    groups = optimiser(net, recipe).param_groups
    slow = {names[id(p)].split(".")[-1] for g in groups if g["lr"] == recipe.ssm_lr
            for p in g["params"]}
    assert slow == {"log_A_re", "A_im", "B", "P"}
    assert all(g["weight_decay"] == 0 for g in groups if g["lr"] == recipe.ssm_lr)
    assert sum(len(g["params"]) for g in groups) == len(names)


def test_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["golden.released", "text", "--length", "9"])
    cli.run("golden.released", released.main)
    line = capsys.readouterr().out.splitlines()[1].split()
    assert line[:5] == ["text", "188,674", "189,000", "-0.17%", "9"] and line[5] == "0"
    monkeypatch.setattr(sys, "argv", ["golden.released", "imdb"])
    with pytest.raises(SystemExit) as stopped:
        cli.run("golden.released", released.main)
    assert stopped.value.code == 2 and "'imdb' is unknown" in capsys.readouterr().err
