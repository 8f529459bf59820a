"""Operation counts by hand, and against the spikes of a real network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from golden import checkpoint
from golden.analysis import activity, counts as operations
from golden.base.cli import UserError
from golden.energy import rates_of
from golden.model.config import LIFConfig, PaperConfig, ReleasedConfig, StreamConfig
from golden.analysis.counts import Count, total

SHAPE = {"n_classes": 3, "n_blocks": 2, "d_model": 4, "d_state": 6}
CFG = PaperConfig(**SHAPE)      # n = 3 modes
RATES = [(0.5, 0.25), (0.0, 1.0)]


def test_spiking_network_by_hand():
    parts = operations.spiking(CFG, RATES)
    assert parts["encoder"] == Count(mac=4)
    # 4 products per mode; additions of g (2 per mode and spike), of the modes, of d
    assert parts["states"] == Count(mac=2 * 4 * 12, add=(24 * 0.5 + 12 + 2) + 12)
    assert parts["samplers"] == Count(compare=16, random=16)
    assert parts["mixer"] == Count(add=(16 * 0.25 + 4) + (16 + 4))
    assert parts["fuse"] == Count(add=16, compare=8 + 16)               # addend, p; ReLU, clamp
    assert parts["decoder"] == Count(add=4)
    assert total(parts) == Count(mac=100, add=26 + 12 + 28 + 16 + 4, compare=40, random=16)
    assert operations.per_sequence(CFG) == Count(mac=12, add=3)


def test_dense_network_by_hand():
    parts = operations.dense(CFG)
    assert parts["states"] == Count(mac=2 * (6 * 12 + 4), add=24, function=8)
    assert parts["mixer"] == Count(mac=32, add=8)
    assert parts["fuse"] == Count(add=16, compare=8)


def test_lif_network_by_hand():
    alone = operations.lif(CFG, RATES, driven=False)
    # per block: two leaks a neuron, a s + b, resets of both populations
    assert alone["neurons"] == Count(mac=16, compare=16, add=(2 + 4 + 3) + (0 + 4 + 4))
    spiking = operations.spiking(CFG, RATES)
    assert "states" not in alone and alone["mixer"] == spiking["mixer"]
    assert operations.lif(LIFConfig(**SHAPE), RATES, driven=False) == alone
    driven = operations.lif(LIFConfig(**SHAPE, reset="zero"), RATES, driven=True)
    assert driven["neurons"] == Count(mac=16, compare=16)
    assert driven["states"] == spiking["states"]


def test_paper_counting_and_its_seventy_times():
    assert operations.paper_counting(CFG, RATES) == Count(add=0.5 * 4 + 0.25 * 16 + 16)
    assert operations.paper_counting(CFG, None) == Count(mac=2 * 20)
    sparse = operations.paper_counting(CFG, [(0.073, 0.073)] * 2)
    assert operations.paper_counting(CFG, None).picojoules / sparse.picojoules == pytest.approx(
        70, abs=0.1)


@pytest.mark.parametrize("options, part, count", [
    ({"residual": "none"}, "fuse", Count(add=8, compare=8)),
    ({"residual": "plain"}, "fuse", Count(add=8, mac=8, compare=8)),
    ({"act": "gelu"}, "fuse", Count(mac=8, add=8, function=8, compare=16)),
    ({"act": "identity"}, "fuse", Count(add=16, compare=16)),
    ({"gelu_before_sampler": True}, "gelu", Count(mac=8, function=8)),
    ({"kernel": "two_sided"}, "states", Count(mac=192, add=24 + 24 + 2 + 24)),
    ({"vocab": 5}, "encoder", Count())])
def test_options_change_the_count(options, part, count):
    assert operations.spiking(replace(CFG, **options), RATES)[part] == count


@pytest.mark.parametrize("options, count", [
    ({"norm_position": "post"}, Count(mac=16, add=8, compare=8)),
    ({"residual": "none", "norm": "layer"}, Count(mac=24, add=8, compare=8, function=2))])
def test_released_options_change_the_count(options, count):
    cfg = ReleasedConfig(**SHAPE, act="relu", **options)
    assert operations.spiking(cfg, RATES)["fuse"] == count


def test_streams_by_hand():
    """Binary S4D: a real u into the states, two mixers on bits, a gate; GSU: the gate only adds."""
    binary = operations.spiking(StreamConfig(**SHAPE, neuron="heaviside", mixer="glu"), RATES)
    assert binary["states"] == Count(mac=2 * (6 * 12 + 4), add=24)
    assert binary["neurons"] == Count(compare=8)
    assert binary["mixer"] == Count(mac=8, add=2 * (16 * 0.25 + 4) + 2 * (16 + 4))
    assert binary["fuse"] == Count(mac=8, add=8, function=8)        # norm, residual, sigmoid
    unit = operations.spiking(StreamConfig(**SHAPE, neuron="gelu", mixer="gsu"), RATES)
    assert unit["states"] == binary["states"] and unit["neurons"] == Count(compare=24)
    assert unit["mixer"] == Count(mac=8, add=(16 * 0.25 + 4) + (16 + 4) + 2 * (16 + 4))


def test_a_step_without_a_count_is_named():
    cfg = ReleasedConfig(**SHAPE, branch=True)
    with pytest.raises(UserError, match="operations of Concat are not counted; those of Add"):
        operations.spiking(cfg, RATES)


def test_mixer_accumulates_are_the_columns_of_the_spikes_seen():
    """Every output spike adds one column of W: counted one by one over a record."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = checkpoint.load("digits")
    few = found.task.load("val").take(np.arange(5))
    seen = activity.measure(found.network, few, found.task)
    torch.manual_seed(0)
    record = []
    found.network(torch.from_numpy(few.values).float() / 16, None, record=record)
    torch.set_num_threads(threads)
    cfg, steps = found.network.cfg, 5 * 64
    columns = sum(int(block["s_out"].sum()) for block in record) * cfg.d_model
    mixer = operations.spiking(cfg, rates_of(seen))["mixer"].add - 2 * cfg.d_model      # biases
    assert mixer * steps == pytest.approx(columns)
    fed = sum(int(block["s_in"].sum()) for block in record)
    states = operations.spiking(cfg, rates_of(seen))["states"].add
    silent = operations.spiking(cfg, [(0.0, 0.0)] * 2)["states"].add
    assert (states - silent) * steps == pytest.approx(fed * (2 * cfg.n_modes + 1))
