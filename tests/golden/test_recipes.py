"""Recipes fit every task, the benchmarks' the limits that they were made for; a user's files."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from golden.base import cli
from golden.model.config import PaperConfig
from golden.model.network import Network
from golden.tasks import make_task
from golden.training import recipes
from golden.training.recipes import Recipe, recipe_for, table

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ("smnist", "listops", "text", "retrieval", "image", "pathfinder", "pathx", "sc4",
              "sc10", "sc35", "sc10small", "fsdd")
OWN = """
epochs = 3
lr = 0.5

[network]
family = "lif"
d_model = 7
drive = "spikes"
"""


class Mine:
    name, n_classes, vocab = "mine", 3, 5


class Two(Mine):
    inputs = 2


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_fits_every_task(name):
    """What the file says is what the recipe has; the rest comes from the task or is the default."""
    content = tomllib.loads((ROOT / "golden" / "recipes" / f"{name}.toml").read_text())
    recipe = recipe_for(Mine(), name)
    assert (recipe.network.n_classes, recipe.network.vocab) == (3, 5) and not recipe.network.pair
    network = content.pop("network")
    assert recipe.network.family == network.pop("family")
    for made, said in ((recipe, content), (recipe.network, network)):
        assert said == {key: getattr(made, key) for key in said}
    assert recipe.seed == content.get("seed", 0) and recipe.clip == content.get("clip", 1.0)
    if recipe.network.family in ("paper", "released"):
        assert recipe_for(Two(), name).network.pair


def test_own_tasks_get_a_general_recipe_whatever_they_are_called():
    class Lowercase(Mine):
        name = "text:lowercase"
    general = recipe_for(Mine())
    assert general == recipe_for(Mine(), "general") and general.epochs == 10
    assert (general.network.n_blocks, general.network.d_model) == (2, 64)
    assert recipe_for(Lowercase()) == general != recipe_for(Lowercase(), "text")
    assert recipe_for(make_task("psmnist:seed1")) == recipe_for(make_task("psmnist"), "psmnist")
    assert set(BENCHMARKS) | {"general", "small", "digits", "psmnist"} <= set(recipes.names())


def test_what_a_network_cannot_take_is_one_line():
    for name in ("digits_lif", "digits_gsu"):
        with pytest.raises(cli.UserError, match=f"recipe {name} does not fit task mine: the "
                                                f"network takes one sequence for .* has two"):
            recipe_for(Two(), name)
    many = Mine()
    many.n_classes = 2_000_000
    with pytest.raises(cli.UserError, match="recipe small does not fit task mine: n_classes "
                                            "must be at most 1,048,576"):
        recipe_for(many, "small")
    with pytest.raises(cli.UserError, match="recipe 'best' is unknown; known: binary, digits, .* "
                                            "or give a file whose name ends in .toml"):
        recipe_for(Mine(), "best")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_limits_of_the_benchmarks(name):
    class Task(Mine):
        n_classes = 35 if name == "sc35" else 10
        vocab = {"text": 257, "retrieval": 257, "listops": 16}.get(name, 0)
    recipe = recipe_for(Task(), name)
    network = recipe.network
    assert Network(network).parameter_count() <= 170_000
    assert network.n_blocks * network.d_model * network.n_modes <= 5_500
    assert 1 <= network.n_blocks <= 6 and network.kernel == "causal"
    assert network.sampling == "systematic" and 20 <= recipe.epochs <= 60


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    recipe = recipe_for(Mine(), str(path))
    assert (recipe.epochs, recipe.lr, recipe.batch) == (3, 0.5, 32)
    assert (recipe.network.family, recipe.network.d_model, recipe.network.vocab) == ("lif", 7, 5)


@pytest.mark.parametrize("old, new, message", [
    ("epochs = 3", "epochs = ", "own.toml is not a TOML file: Invalid value"),
    ("epochs = 3", "", "own.toml: epochs is missing"),
    ("lr = 0.5", "learning_rate = 0.5", "own.toml: unknown key learning_rate; known: augment,"),
    ("[network]", "[net]", "own.toml: a table [network]"),
    ("[network]", "network = 3\n[x]", "own.toml: a table [network]"),
    ('family = "lif"', "", "own.toml: family in [network] must be one of paper, released, stream, "
                           "lif, not None"),
    ('family = "lif"', "family = []", "must be one of paper, released, stream, lif, not []"),
    ("d_model", "neurons", "own.toml: unknown key neurons in [network] of family lif; known: act,"),
    ("d_model = 7", "n_classes = 7", "own.toml: n_classes in [network] comes from the task"),
    ("d_model = 7", "vocab = 7", "own.toml: vocab in [network] comes from the task; leave it out"),
    ("d_model = 7", "pair = true", "own.toml: pair in [network] comes from the task; leave it out"),
    ("d_model = 7", "d_model = 7.0", "own.toml: d_model must be a whole number of at least 1"),
    ("d_model = 7", "d_state = 4", "own.toml: d_state = 4 has no effect with drive = spikes"),
    ("d_model = 7", 'dt_min = "x"', "own.toml: dt_min must be a finite number, not 'x'"),
    ("d_model = 7", "dt_max = inf", "own.toml: dt_max must be a finite number, not inf"),
    ("d_model = 7", "d_model = 10000000", "own.toml: d_model must be at most 8,192, not 10000000"),
    ("d_model = 7", "n_blocks = 1000000", "own.toml: n_blocks must be at most 256, not 1000000"),
    ("d_model = 7", f"dt_max = 1{'0' * 400}", "own.toml: dt_max must be a finite number, not 100"),
    ("lr = 0.5", f"lr = 1{'0' * 400}", "own.toml: lr must be a finite number of at least 0"),
    ("lr = 0.5", f"seed = 1{'0' * 40}", "own.toml: seed must be a whole number of at least 0"),
    ("lr = 0.5", "lr = " + "[" * 5000, "own.toml is not a TOML file: "),
    ("d_model = 7", "shared_A = 1", "own.toml: shared_A must be True or False, not 1"),
    ("lr = 0.5", "lr = nan", "own.toml: lr must be a finite number of at least 0, not nan"),
    ("lr = 0.5", "lr = inf", "own.toml: lr must be a finite number of at least 0, not inf"),
    ("lr = 0.5", 'lr = "fast"', "own.toml: lr must be a finite number of at least 0, not 'fast'"),
    ("lr = 0.5", "batch = true", "own.toml: batch must be a whole number of at least 1, not True"),
    ("lr = 0.5", "augment = 1.5", "own.toml: augment must be a finite number in [0, 1], not 1.5")])
def test_a_file_that_is_no_recipe_is_refused_by_name(old, new, message, tmp_path):
    assert OWN.count(old) == 1
    path = tmp_path / "own.toml"
    path.write_text(OWN.replace(old, new))
    with pytest.raises(cli.UserError) as error:
        recipe_for(Mine(), str(path))
    assert message in str(error.value) and str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_example_of_the_docs(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text((ROOT / "docs" / "training.md").read_text().split("```toml")[1].split("```")[0])
    recipe = recipe_for(Mine(), str(path))
    assert (recipe.epochs, recipe.batch, recipe.lr) == (20, 64, 0.006)
    assert (recipe.network.d_model, recipe.network.sampling) == (96, "systematic")


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "own.toml"
    with pytest.raises(cli.UserError, match="cannot read recipe .*own.toml: No such file"):
        recipe_for(Mine(), str(path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(cli.UserError, match="own.toml is not a TOML file"):
        recipe_for(Mine(), str(path))


def test_features_are_for_tasks_of_two_sequences(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('epochs = 1\n[network]\nfamily = "paper"\nfeatures = 4\n')
    assert recipe_for(Two(), str(path)).network.features == 4
    with pytest.raises(cli.UserError, match="own.toml does not fit task mine: the network takes "
                                            "two sequences"):
        recipe_for(Mine(), str(path))


@pytest.mark.parametrize("field", ["epochs", "batch", "warmup", "draws", "seed", "lr", "ssm_lr",
                                   "weight_decay", "label_smoothing", "clip", "augment", "distil"])
def test_numbers_of_a_training_are_checked(field):
    recipe = Recipe(PaperConfig(n_classes=2), epochs=1)
    for wrong in (-1, float("nan"), "1", True, None):
        with pytest.raises(ValueError, match=f"{field} must be a (whole|finite) number "):
            replace(recipe, **{field: wrong})


def test_the_table_is_what_the_code_prints():
    text = (ROOT / "docs" / "training.md").read_text()
    assert f"<!-- table: recipes -->\n{table()}\n<!-- end -->" in text, \
        "put what python -m golden.training.recipes prints into docs/training.md"
