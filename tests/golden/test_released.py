"""The released configurations: their sizes, and that each runs forward and backward."""

import sys

import pytest
import torch

from golden import models, released
from golden.base import cli
from golden.recipes import RECIPES
from golden.released import CONFIGURATIONS
from golden.run import optimiser

TABLE = {       # layers, d_model, d_state, norm, position, residual, dropout: as published
    "psmnist": (2, 400, 64, "batch", "pre", "none", 0.1),
    "listops": (4, 128, 16, "batch", "post", "plain", 0.0),
    "text": (4, 128, 16, "batch", "pre", "plain", 0.05),
    "retrieval": (4, 200, 24, "batch", "pre", "plain", 0.0),
    "image": (6, 512, 64, "layer", "post", "plain", 0.1),
    "pathfinder": (6, 256, 64, "batch", "pre", "plain", 0.1)}


@pytest.mark.parametrize("name", TABLE)
def test_size_and_a_pass_forward_and_backward(name):
    made = CONFIGURATIONS[name]
    c = made.network
    assert TABLE[name] == (c.n_blocks, c.d_model, c.d_state, c.norm, c.norm_position, c.residual,
                           c.dropout)
    assert (c.kernel, c.ssm, c.act, c.gelu_before_sampler) == ("two_sided", "dplr", "gelu", True)
    torch.manual_seed(0)
    net, loss = released.run(c, 8)
    assert type(net) is type(models.build(c)) and loss > 0
    count = sum(p.numel() for p in net.parameters() if p.grad is not None)
    assert count == net.parameter_count()
    assert abs(count / made.parameters - 1) < 0.01
    assert all(p.grad.isfinite().all() for p in net.parameters())


def test_those_with_a_task_are_recipes():
    for name in ("psmnist", "listops"):
        recipe, made = RECIPES[f"{name}_released"], CONFIGURATIONS[name]
        assert recipe.network == made.network
        assert {k: getattr(recipe, k) for k in made.training} == made.training
    assert RECIPES["psmnist_released"].lr == 5e-4 and recipe.weight_decay == 0.01


def test_the_optimiser_gives_the_state_space_its_own_rate():
    recipe = RECIPES["listops_released"]
    net = models.build(recipe.network)
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
