"""A resumed training is exactly the one that was interrupted, or it is refused in one line."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from golden import checkpoint, train
from golden.base.folders import Busy, lock
from golden.model.network import Network
from golden.tasks import make_task
from golden.training.recipes import Recipe
from golden.training.run import Run
from tests.golden.files_of_torch import CFG, refusal, unsafe

RECIPE = Recipe(CFG, epochs=3, batch=16, warmup=2)


def begun() -> Run:
    task = make_task("digits")
    return Run(task, RECIPE, task.load("train").take(np.arange(64)))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, content of a last.pt after an epoch and a step)."""
    run = begun()
    run.calibrate()
    run.epoch(0)
    found = []

    def after_step():
        found.append(run.content(1, 0.5))
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        run.epoch(1, after_step)
    folder = tmp_path_factory.mktemp("resume")
    checkpoint.write(folder / "last.pt", found[0])
    return folder, checkpoint.read(folder / "last.pt")


def refused(made, **changes) -> str:
    """The line with which a changed file is refused; "": it goes on."""
    folder, content = made
    path = unsafe(folder / "bad.pt", content | changes)
    line = refusal(lambda: begun().restore(path))
    assert not line or line.startswith(f"{path}")
    return line


def moments(content: dict, **changes) -> dict:
    """The optimiser's content with other moments of the first parameter."""
    opt = content["optimiser"]
    return opt | {"state": opt["state"] | {0: opt["state"][0] | changes}}


def test_the_file_itself_goes_on(made):
    assert refused(made) == ""


WRONG = {
    "NaN moments": ({"exp_avg": "nan"}, "exp_avg of parameter 0 has numbers that are not finite"),
    "infinite": ({"exp_avg_sq": "inf"}, "exp_avg_sq of parameter 0 has numbers that are not"),
    "negative squares": ({"exp_avg_sq": "neg"}, "are not finite, or below 0"),
    "another shape": ({"exp_avg": torch.zeros(3)}, "must be a tensor of shape (4, 1, 2)"),
    "another type": ({"exp_avg": torch.zeros(4, 1, 2, dtype=torch.int32)}, "type torch.float32"),
    "a half": ({"exp_avg_sq": torch.zeros(4, 1, 2).half()}, "torch.float16"),
    "no tensor": ({"exp_avg": [1.0]}, "it is a list"),
    "steps of a vector": ({"step": torch.zeros(2)}, "step of parameter 0"),
    "one more": ({"max_exp_avg_sq": torch.zeros(4, 1, 2)}, "must have step, exp_avg, exp_avg_sq"),
}


@pytest.mark.parametrize("name", WRONG)
def test_moments(name, made):
    change, says = WRONG[name]
    key, value = next(iter(change.items()))
    if isinstance(value, str):
        value = torch.full((4, 1, 2), {"nan": torch.nan, "inf": torch.inf, "neg": -1.0}[value])
    assert says in refused(made, optimiser=moments(made[1], **{key: value}))


def optimiser(content: dict, k: int = 0, **changes) -> dict:
    groups = content["optimiser"]["param_groups"]
    return content["optimiser"] | {"param_groups": [
        group | changes if j == k else group for j, group in enumerate(groups)]}


def test_rates_schedule_and_place(made):
    """What the recipe says is not taken from the file, and what it holds besides must agree."""
    content = made[1]
    rates = "its rates are not those of the recipe after 5 steps"
    after = content["schedule"]
    assert rates in refused(made, optimiser=optimiser(content, lr=0.5))
    assert "the rate of group 0 must be a number" in refused(made, optimiser=optimiser(
        content, lr=torch.nan))
    assert rates in refused(made, schedule=after | {"_last_lr": [0.1, 0.1, 0.1]})
    assert "its schedule is not after 5 steps" in refused(made, schedule=after | {"last_epoch": 4})
    assert "of other parameters" in refused(made, optimiser=optimiser(content, params=[1]))
    assert "state 99 of no parameter" in refused(made, optimiser=content["optimiser"] | {
        "state": {99: {}}}).replace("'", "")
    assert "epoch must be a whole number from 0 to 3, it is 4" in refused(made, epoch=4)
    assert "val_accuracy must be a number from 0 to 1" in refused(made, val_accuracy=1.5)
    for change, says in (({"steps": 9}, "part['steps'] must be a whole number from 0 to 4"),
                         ({"sums": [1.0]}, "part['sums'] must be 2 numbers"),
                         ({"sums": [torch.nan, 1.0]}, "part, number 0, must be a number from 0"),
                         ({"seconds": -1.0}, "number 2, must be"), ({"more": 1}, "part must have")):
        assert says in refused(made, part=content["part"] | change)
    run = begun()
    checkpoint.write(made[0] / "x.pt", content | {"optimiser": optimiser(
        content, 0, betas=(0.0, 0.0), weight_decay=9.0, maximize=True)})
    run.restore(made[0] / "x.pt")
    fresh = begun().opt.param_groups[0]
    assert all(run.opt.param_groups[0][k] == fresh[k] for k in ("betas", "weight_decay",
                                                               "maximize"))


@pytest.mark.parametrize("rng, says", [
    (torch.zeros(100, dtype=torch.uint8), "5056 or 16 bytes"), (torch.zeros(5056), "uint8"),
    (torch.zeros(2, 2528, dtype=torch.uint8), "5056"), ([1, 2], "rng must be a plain tensor"),
    (torch.full((5056,), 255, dtype=torch.uint8), "rng is not one")], ids=["short", "float", "2d",
                                                                          "list", "none"])
def test_random_states(rng, says, made):
    assert says in refused(made, rng=rng)


def test_another_device_s_random_state_is_said(made, capsys):
    assert refused(made, rng=torch.zeros(16, dtype=torch.uint8)) == ""
    assert "draws begin anew" in capsys.readouterr().out


@pytest.mark.parametrize("recipe", [{}, {"network": 3}, {"network": {"family": []}},
                                    {"network": CFG.to_dict() | {"n_blocks": 10**6}}], ids=str)
def test_recipes_that_are_none(recipe, made):
    assert "its recipe is not one" in refused(made, recipe=recipe)


def test_two_trainings_of_one_folder(tmp_path):
    """The second says so and leaves the first one's files alone."""
    task, out = make_task("digits"), tmp_path / "out"
    recipe = replace(RECIPE, epochs=1)
    with lock(out), pytest.raises(Busy, match=f"{out} belongs to another run that has not ended"):
        train.train(task, recipe, out, limit=32)
    assert not out.exists()
    train.train(task, recipe, out, limit=32)
    assert (out / "last.pt").exists()


def test_a_log_of_anything(tmp_path):
    task = make_task("digits")
    train.train(task, replace(RECIPE, epochs=2), tmp_path / "x", limit=32)
    log = tmp_path / "x" / "log.jsonl"
    lines = log.read_text()
    log.write_bytes(lines.encode() + b'\xff\xfe\n[]\n3\n{"epoch": "x"}\n' + b"[" * 9000 + b"\n")
    train.train(task, replace(RECIPE, epochs=2), tmp_path / "x", limit=32, resume=True)
    assert log.read_text().startswith(lines) and log.read_text().count("\n") == 4


def test_a_damaged_best_network_is_seen_before_the_epoch(tmp_path):
    task = make_task("digits")
    train.train(task, replace(RECIPE, epochs=1), tmp_path / "x", limit=32)
    (tmp_path / "x" / "best.pt").write_bytes(b"PK")
    line = refusal(lambda: train.train(task, replace(RECIPE, epochs=1), tmp_path / "x", limit=32,
                                       resume=True))
    assert "best.pt is damaged" in line
    content = checkpoint.read(tmp_path / "x" / "last.pt")
    checkpoint.write(tmp_path / "x" / "best.pt", content)
    assert "best.pt is not the best network" in refusal(lambda: train.train(
        task, replace(RECIPE, epochs=1), tmp_path / "x", limit=32, resume=True))


def test_a_teacher_of_other_classes(tmp_path):
    task = make_task("digits")
    recipe = replace(RECIPE, distil=0.5)
    other = make_task("sc10")
    path = tmp_path / "t.pt"
    checkpoint.save(path, Network(replace(CFG, vocab=other.vocab)), other, {})
    wrong = replace(recipe, network=replace(CFG, n_classes=3))
    assert "its n_classes is 10, this training's is 3" in refusal(
        lambda: train.guide_of(path, task, wrong))
