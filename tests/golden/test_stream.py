"""Networks with a real-valued stream: lengths, norms, forms, training's interface."""

from dataclasses import replace

import pytest
import torch

from golden import checkpoint
from golden.training.batches import spike_rates
from golden.model import norms
from golden.model.config import StreamConfig
from golden.model.network import Network
from golden.training.run import Run
from golden.tasks import Split, make_task
from golden.training.recipes import recipe_for

KINDS = {"binary": {"neuron": "heaviside", "mixer": "glu"},
         "gsu": {"neuron": "gelu", "mixer": "gsu"},
         "s4d": {"neuron": "gelu", "mixer": "glu"},
         "linear": {"neuron": "gelu", "mixer": "linear"}}
OPTIONS = [{}, {"norm_position": "post"}, {"norm": "layer", "residual": "none"},
           {"kernel": "two_sided"}, {"vocab": 7}, {"norm": "layer", "norm_position": "post"}]
LENGTHS = [90, 1, 57, 33]


def network(kind="binary", **options) -> Network:
    torch.manual_seed(5)
    options = {"n_classes": 3, "d_model": 6, "d_state": 4, "dt_max": 0.5} | KINDS[kind] | options
    net = Network(StreamConfig(**options)).double()
    with torch.no_grad():
        for norm in net.norms():
            norm.mean.uniform_(-0.5, 0.5)
            norm.var.uniform_(0.1, 1)
            norm.gamma.uniform_(0.5, 1.5)
            norm.beta.uniform_(-0.5, 0.5)
    return net.eval()


def sequences(vocab=0) -> torch.Tensor:
    gen = torch.Generator().manual_seed(6)
    shape = len(LENGTHS), max(LENGTHS)
    v = (torch.randint(1, vocab, shape, generator=gen) if vocab
         else torch.rand(shape, generator=gen).double())
    return v * (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None])


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_lengths_equals_each_sequence_alone(kind, options):
    net = network(kind, **options)
    v = sequences(net.cfg.vocab)
    together, record = net(v, torch.tensor(LENGTHS)), []
    for k, length in enumerate(LENGTHS):
        record = []
        alone = net(v[k:k + 1, :length], record=record)
        torch.testing.assert_close(together[k], alone[0], rtol=0, atol=1e-10)
        assert [set(block) for block in record] == [{"u", "y", "s_out"}] * 2
        assert all(t.shape == (1, length, 6) for block in record for t in block.values())
    assert not torch.allclose(together[0], together[2])


def test_only_a_two_sided_network_sees_the_future():
    v = sequences()[:1]
    other = v.clone()
    other[0, 60:] = 1 - other[0, 60:]
    for options in ({}, {"kernel": "two_sided"}):
        net, seen = network("gsu", **options), ([], [])
        for values, record in zip((v, other), seen):
            net(values, record=record)
        same = all(torch.allclose(a[name][:, :60], b[name][:, :60], atol=1e-12)
                   for a, b in zip(*seen) for name in a)
        assert same == (not options)


@pytest.mark.parametrize("position", ["pre", "post"])
def test_in_training_padding_changes_no_statistics(position):
    """Masked batch norm over padded sequences equals plain batch norm over unpadded ones."""
    v = sequences()[:, :57][[0, 2]]
    short, padded = network(norm_position=position).train(), network(norm_position=position).train()
    expected = short(v)
    got = padded(torch.cat([v, torch.rand(2, 9).double()], 1), torch.tensor([57, 57]))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-9)
    for a, b in zip(short.norms(), padded.norms(), strict=True):
        torch.testing.assert_close(a.mean, b.mean)
        torch.testing.assert_close(a.var, b.var, rtol=0.01, atol=0)     # n or n - 1 below


def test_reestimate_gives_each_norm_unit_output():
    net = network(n_blocks=2)
    v = sequences()
    lengths = torch.tensor(LENGTHS)
    with torch.no_grad():
        for norm in net.norms():
            norm.gamma.fill_(1), norm.beta.fill_(0)
    norms.reestimate(net, [(v[:2], lengths[:2]), (v[2:], lengths[2:])])
    seen = []
    for norm in net.norms():
        norm.register_forward_hook(lambda _, args, out: seen.append(out[:, args[1].valid > 0]))
    net(v, lengths)
    assert len(seen) == 3
    for out in seen:
        torch.testing.assert_close(out.mean(1), torch.zeros(6).double(), rtol=0, atol=1e-9)
        torch.testing.assert_close(out.var(1, correction=0), torch.ones(6).double(), rtol=0,
                                   atol=1e-3)
    with pytest.raises(ValueError, match="at least one batch"):
        norms.reestimate(net, [])


@pytest.mark.parametrize("kernel", ["causal", "two_sided"])
def test_calibration_gives_the_neuron_a_deviation_of_one(kernel):
    net = network(kernel=kernel)
    net.calibrate(sequences())
    net.train()
    seen = []
    for block in net.blocks:
        block.ssm.register_forward_hook(lambda *args: seen.append(args[2]))
    net(sequences())
    for y in seen:
        torch.testing.assert_close(y.flatten(1).std(1), torch.ones(6).double(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", ["digits_binary", "digits_gsu", "psmnist_binary", "psmnist_gsu"])
def test_parameters_by_hand(name):
    cfg = recipe_for(make_task("digits"), name).network
    H, n = cfg.d_model, cfg.n_modes
    block = 2 * H * n + 2 * H * n + 2 * H + 2 * (H * H + H) + 2 * H
    assert Network(cfg).parameter_count() == 2 * block + 2 * H + 2 * H + 10 * H + 10


@pytest.mark.parametrize("options, text", [
    ({"mixer": "linear"}, "mixer must be glu with neuron heaviside"),
    ({"mixer": "gsu"}, "mixer must be glu with neuron heaviside"),
    ({"residual": "clampfuse"}, "residual must be one of none, plain in family stream"),
    ({"neuron": "sampler"}, "neuron must be one of heaviside, gelu in family stream"),
    ({"surrogate": "step"}, "surrogate must be one of triangle"),
    ({"surrogate_width": 0.0}, "surrogate_width must be above 0"),
    ({"ternary_threshold": 1.0, **KINDS["gsu"]}, "ternary_threshold must be in"),
    ({"init": "hippo_legs"}, "init must be one of s4d_lin, s4d_inv, s4d_legs in family stream")],
    ids=str)
def test_options_that_do_not_go_together(options, text):
    with pytest.raises(ValueError, match=text):
        StreamConfig(n_classes=2, **options)


@pytest.mark.parametrize("kind", ["binary", "gsu"])
def test_training_learns_and_its_checkpoint_loads(kind, tmp_path):
    """A few steps on the digits lower the loss; the file gives the same network."""
    task = make_task("digits")
    train = task.load("train").take(range(128))
    recipe = replace(recipe_for(task, f"digits_{kind}"), warmup=1)
    run = Run(task, recipe, train)
    run.calibrate()
    losses = [run.epoch(k)["loss"] for k in range(6)]
    assert losses[-1] < losses[0] - 0.3
    checkpoint.write(tmp_path / "last.pt", run.content(6, 0.5))
    found = checkpoint.load(tmp_path / "last.pt")
    values = torch.rand(2, 64)
    assert torch.equal(found.network(values), run.net.eval()(values))
    rates = spike_rates(found.network, Split(train.values, train.lengths, train.labels), task)
    assert [set(r) for r in rates] == [{"s_out"}] * 2
    assert all(0 < r["s_out"] < 1 for r in rates)
