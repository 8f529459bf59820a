"""Recipes fit every task, and the benchmarks' the limits that they were made for."""

from pathlib import Path

import pytest

from golden import models
from golden.base import cli
from golden.recipes import BENCHMARKS, GENERAL, RECIPES, recipe_for, table

DOCS = Path(__file__).resolve().parents[2] / "docs"


class Mine:
    name, n_classes, vocab = "mine", 3, 5


def test_own_tasks_get_a_general_recipe_and_any_other():
    assert recipe_for(Mine()).epochs == GENERAL.epochs
    for name, recipe in RECIPES.items():
        if recipe.network.architecture == "released" and recipe.network.pair:
            continue
        found = recipe_for(Mine(), name)
        assert (found.network.n_classes, found.network.vocab) == (3, 5)
        assert not {d.split(":")[0] for d in found.differences(recipe.to_dict())} - {
            "n_classes", "vocab"}
    Mine.name = "text:lowercase"
    assert recipe_for(Mine()) == recipe_for(Mine(), "text")


def test_what_a_network_cannot_take_is_one_line():
    class Two(Mine):
        inputs = 2
    with pytest.raises(cli.UserError, match="recipe digits_lif does not fit task .*: pair needs"):
        recipe_for(Two(), "digits_lif")
    with pytest.raises(cli.UserError, match="recipe 'best' is unknown; known: smnist, listops"):
        recipe_for(Mine(), "best")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_limits_of_the_benchmarks(name):
    class Task(Mine):
        n_classes = 35 if name == "sc35" else 10
        vocab = {"text": 257, "retrieval": 257, "listops": 16}.get(name, 0)
    recipe = recipe_for(Task(), name)
    network = recipe.network
    assert models.build(network).parameter_count() <= 170_000
    assert network.n_blocks * network.d_model * network.n_modes <= 5_500
    assert 1 <= network.n_blocks <= 6 and network.kernel == "causal"
    assert network.sampling == "systematic" and 20 <= recipe.epochs <= 60


def test_the_table_is_what_the_code_prints():
    text = (DOCS / "training.md").read_text()
    assert f"<!-- table: recipes -->\n{table()}\n<!-- end -->" in text, \
        "put what python -m golden.recipes prints into docs/training.md"
