"""Networks with two inputs: head, batches, training, files, and configurations that do not fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from golden import checkpoint, train
from golden.base.cli import UserError
from golden.training.batches import accuracy, batch_of, batches, spike_rates
from golden.checkpoint import CheckpointError
from golden.evaluate import evaluate
from golden.model.config import LIFConfig, PaperConfig, StreamConfig, from_dict
from golden.model.network import Network
from golden.tasks import Split, TaskError, checked, make_task, spec
from golden.training.recipes import Recipe, recipe_for
from tests.sim.task import Tiny, TinyPair

CFG = PaperConfig(n_classes=3, n_blocks=1, d_model=8, d_state=4, features=5)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Network(replace(CFG, sampling="mean")).eval()


def test_a_pair_is_row_k_and_row_k_plus_half(net):
    v = torch.rand(6, 12)
    both = net(v)
    assert both.shape == (3, 3)
    torch.testing.assert_close(net(v[[1, 4]])[0], both[1])
    assert not torch.allclose(net(v[[4, 1]])[0], both[1])


def test_the_head_s_formula(net):
    x = torch.randn(2, 5)
    a, b = x
    hidden = torch.relu(net.head.hidden.weight @ torch.cat([a, b, a - b, a * b])
                        + net.head.hidden.bias)
    torch.testing.assert_close(net.head(x)[0],
                               net.head.last.weight @ hidden + net.head.last.bias)


def test_parameters_are_counted(net):
    one = Network(replace(CFG, features=0))
    assert net.parameter_count() == (one.parameter_count() + (5 - 3) * (8 + 1)
                                     + 5 * (4 * 5 + 1) + 3 * (5 + 1))


def test_batches_have_the_first_inputs_first():
    task = TinyPair()
    split = checked(task.load("train"), task)
    flat = split.sequences()
    np.testing.assert_array_equal(flat.values[5], split.values[2, 1])
    np.testing.assert_array_equal(flat.lengths[[4, 5]], split.lengths[2])
    assert flat.sequences() is flat and flat.labels[4] == flat.labels[5] == split.labels[2]
    values, lengths, labels = batch_of(split, [3, 0], task)
    longest = split.lengths[[3, 0]].max()
    expected = split.values[[3, 0, 3, 0], [0, 0, 1, 1], :longest] / 256
    np.testing.assert_array_equal(values.numpy(), expected.astype(np.float32))
    np.testing.assert_array_equal(lengths, split.lengths[[3, 0, 3, 0], [0, 0, 1, 1]])
    np.testing.assert_array_equal(labels, split.labels[[3, 0]])
    assert sum(len(labels) for *_, labels in batches(split, task, 4)) == len(split)


@pytest.mark.parametrize("change, message", [
    (lambda s: Split(s.values[:, 0], s.lengths, s.labels), r"values are \(n, 2, L\)"),
    (lambda s: Split(s.values, s.lengths[:, 0], s.labels), r"lengths \(n, 2\)"),
    (lambda s: Split(s.values[:, :1], s.lengths[:, :1], s.labels), r"values are \(n, 2, L\)")])
def test_arrays_of_another_form_are_refused(change, message):
    with pytest.raises(TaskError, match=message):
        checked(change(TinyPair().load("train")), TinyPair())


def test_train_save_load_evaluate(tmp_path):
    task = make_task("tests.sim.task:TinyPair")
    made = train.train(task, Recipe(CFG, epochs=1, batch=4, warmup=1), tmp_path)
    found = checkpoint.load(tmp_path / "last.pt", task="tests.sim.task:TinyPair")
    assert found.network.cfg == CFG
    for name, value in made.state_dict().items():
        torch.testing.assert_close(found.network.state_dict()[name], value)
    split = task.load("test")
    result = evaluate(found.network, task, split, seeds=2)
    assert result["n"] == len(split) and len(result["spike_rates"]) == 1
    assert 0 <= accuracy(found.network, split, task) <= 1
    assert 0 < spike_rates(found.network, split, task)[0]["s_out"] < 1


def test_a_network_of_other_inputs_is_refused(tmp_path):
    pair, one = TinyPair(), Tiny()
    for cfg, task, message in (
            (CFG, one, r"takes two sequences \(pair\) for an example, task tiny has one"),
            (replace(CFG, features=0), pair, "takes one sequence for an example, task tinypair")):
        checkpoint.save(tmp_path / "n.pt", Network(cfg), task, {})
        with pytest.raises(CheckpointError, match=message):
            checkpoint.load(tmp_path / "n.pt", task=spec(task))
    assert recipe_for(pair).network.pair and not recipe_for(one).network.pair


def test_a_recipe_gets_the_task_s_inputs():
    assert recipe_for(TinyPair(), "digits").network.pair
    assert recipe_for(TinyPair(), "digits").network.features == 32
    assert recipe_for(TinyPair(), "digits_released").network.pair
    for name in ("digits_lif", "digits_gsu"):
        with pytest.raises(UserError, match=f"recipe {name} does not fit task tinypair: the "
                                            f"network takes one sequence .* task tinypair has two"):
            recipe_for(TinyPair(), name)


def test_configurations_that_do_not_fit():
    with pytest.raises(ValueError, match="features must be a whole number of at least 0, not -1"):
        replace(CFG, features=-1)
    for cls in (LIFConfig, StreamConfig):
        assert not cls(n_classes=3).pair
        with pytest.raises(ValueError, match=f"unknown option features .* family {cls.family}"):
            from_dict({"family": cls.family, "n_classes": 3, "features": 5})
