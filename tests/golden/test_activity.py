"""Counted spikes are those of the network's own record."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from golden import checkpoint
from golden.analysis import activity
from golden.base.cli import UserError
from golden.model.config import PaperConfig
from golden.model.network import Network
from golden.tasks import Split, make_task


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Tokens:
    name, n_classes, length, vocab, sample_format, permutation = "tokens", 2, 9, 5, None, None


def tokens_split(lengths) -> Split:
    rng = np.random.default_rng(3)
    values = rng.integers(1, 5, (len(lengths), 9))
    values[np.arange(9) >= np.array(lengths)[:, None]] = 0
    return Split(values, np.array(lengths), np.zeros(len(lengths), np.int64))


def test_one_batch_is_counted_as_the_record_says():
    found = checkpoint.load("digits")
    few = found.task.load("val").take(np.arange(7))
    seen = activity.measure(found.network, few, found.task, batch=7, seed=5)
    torch.manual_seed(5)
    record = []
    values = torch.from_numpy(few.values).float() / 16
    found.network(values, None, record=record)
    assert (seen.sequences, seen.steps) == (7, 7 * 64)
    for k, block in enumerate(record):
        for name, over_time, rates in (("s_in", seen.active_in, seen.rate_in),
                                       ("s_out", seen.active_out, seen.rate_out)):
            np.testing.assert_allclose(over_time[k], block[name].mean((0, 2)), atol=1e-6)
            np.testing.assert_allclose(rates[k], block[name].mean((0, 1)), atol=1e-6)
        np.testing.assert_allclose(seen.mean_p[k], block["p"].mean((0, 1)), atol=1e-6)
    assert 0.1 < seen.rate_out.mean() < 0.9         # there is something to count


def test_padding_counts_nowhere():
    torch.manual_seed(0)
    net = Network(PaperConfig(n_classes=2, n_blocks=1, d_model=4, d_state=2, vocab=5,
                              sampling="mean")).eval()
    for p in net.parameters():
        p.data.zero_()
    net.encoder.weight.data.fill_(1.0)
    net.blocks[0].out.b.data.fill_(1.0)                 # everything spikes at every step
    split = tokens_split([2, 9, 5])
    seen = activity.measure(net, split, Tokens(), batch=2)
    assert seen.steps == 16
    for counted in (seen.active_in, seen.active_out, seen.rate_in, seen.rate_out, seen.mean_p):
        np.testing.assert_array_equal(counted, np.ones_like(counted))


def test_trace_is_the_chosen_neuron_of_the_chosen_sequence():
    found = checkpoint.load("digits")
    split = found.task.load("val")
    one = activity.trace(found.network, split, found.task, sequence=3, block=0, neuron=11)
    torch.manual_seed(0)
    record = []
    found.network(torch.from_numpy(split.values[3:4]).float() / 16, None, record=record)
    np.testing.assert_array_equal(one.spikes, record[0]["s_out"][0, :, 11])
    np.testing.assert_allclose(one.curve, record[0]["p"][0, :, 11])
    chosen = activity.trace(found.network, split, found.task)
    assert chosen.block == 1 and chosen.curve.std() > 0.05


@pytest.mark.parametrize("wrong, says", [({"sequence": 100}, "sequence 100"),
                                         ({"block": 2}, "block 2"), ({"neuron": -1}, "neuron -1"),
                                         ({"neuron": 64}, "it must be from 0 to 63")])
def test_what_does_not_exist_is_named(wrong, says):
    found = checkpoint.load("digits")
    with pytest.raises(UserError, match=says):
        activity.trace(found.network, found.task.load("val").take(np.arange(100)), found.task,
                       **wrong)


def test_a_network_without_spikes_is_refused():
    found = checkpoint.load("digits")
    net = Network(replace(found.network.cfg, sampling="mean")).eval()
    net.load_state_dict(found.network.state_dict())
    with pytest.raises(activity.NoSpikes, match="block 0 .* no spikes"):
        activity.measure(net, make_task("digits").load("val").take(np.arange(2)), found.task)
