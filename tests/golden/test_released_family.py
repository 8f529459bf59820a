"""Networks of family released: lengths, layouts, dropout, options that do not fit.

That they compute what the released code computes is the subject of test_import_release.
"""

import pytest
import torch

from golden.model.columns import Columns
from golden.model.config import PaperConfig, ReleasedConfig, from_dict
from golden.model.network import Network
from golden.model.norms import reestimate
from golden.model.ops import Pass

BASE = dict(n_classes=3, n_blocks=2, d_model=5, d_state=4, dt_min=0.05, dt_max=0.5)
CASES = [{}, {"kernel": "two_sided", "norm_position": "post", "norm": "layer"},
         {"branch": True, "vocab": 7, "kernel": "two_sided"}, {"residual": "none", "act": "relu"},
         {"init": "s4d_inv", "gelu_before_sampler": False, "shared_A": True},
         {"init": "s4d_lin", "branch": True, "norm_position": "post"}]
LENGTHS = [90, 1, 57, 33]


def network(**options) -> Network:
    torch.manual_seed(5)
    net = Network(ReleasedConfig(**BASE | options)).double()
    with torch.no_grad():
        for norm in net.norms():
            norm.mean.uniform_(0, 0.5)
            norm.var.uniform_(0.1, 1)
            norm.gamma.fill_(0.4)
            norm.beta.fill_(0.4)
        for block in net.blocks:
            block.out.b.fill_(0.3)
    return net.eval()


def sequences(net: Network) -> torch.Tensor:
    """(4, 90) samples or tokens, zero behind each sequence's length."""
    gen = torch.Generator().manual_seed(6)
    shape = len(LENGTHS), max(LENGTHS)
    v = (torch.randint(1, net.cfg.vocab, shape, generator=gen) if net.cfg.vocab
         else torch.rand(shape, generator=gen).double())
    return v * (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None])


@pytest.fixture
def fixed_draws(monkeypatch):
    """Every uniform draw is 0.4: the network is a function of its input."""
    monkeypatch.setattr(torch, "rand_like", lambda p, dtype=None: torch.full_like(p, 0.4))


@pytest.mark.parametrize("options", CASES, ids=str)
def test_a_batch_of_lengths_equals_each_sequence_alone(options, fixed_draws):
    net = network(**options)
    v, record = sequences(net), []
    together = net(v, torch.tensor(LENGTHS), record=record)
    fired = 0
    for k, length in enumerate(LENGTHS):
        alone_record = []
        alone = net(v[k:k + 1, :length], record=alone_record)
        torch.testing.assert_close(together[k], alone[0], rtol=0, atol=1e-12)
        for block, alone_block in zip(record, alone_record):
            assert set(block) == {"s_in", "p", "s_out"}
            for name in ("s_in", "s_out"):
                assert torch.equal(block[name][k, :length], alone_block[name][0]), (k, name)
            torch.testing.assert_close(block["p"][k, :length], alone_block["p"][0])
            fired += alone_block["s_out"].sum().item()
    assert 0 < fired < 2 * 5 * sum(LENGTHS)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_trace_is_the_forward_pass(options, fixed_draws):
    net = network(**options)
    v, record = sequences(net), []
    logits = net(v, record=record)
    x = net.encoder(v.reshape(-1), torch.float64).T.reshape(*v.shape, -1)
    blocks, y = net.trace(x, [torch.full_like(x, 0.4)] * 4)
    torch.testing.assert_close(net.decoder(y.mean(1)), logits, rtol=0, atol=1e-12)
    for block, seen in zip(blocks, record):
        for name in seen:
            torch.testing.assert_close(block[name], seen[name], rtol=0, atol=1e-12)


def test_every_parameter_gets_a_gradient_and_is_counted():
    for options in CASES + [{"pair": True, "dropout": 0.2}]:
        net = network(**options).train()
        out = net(sequences(net), torch.tensor(LENGTHS))
        assert out.shape == ((2 if net.cfg.pair else 4), 3)
        out.square().sum().backward()
        assert not [name for name, p in net.named_parameters() if p.grad is None], options
        assert net.parameter_count() == sum(p.numel() for p in net.parameters())


def test_pairs_are_row_k_and_row_k_plus_half(fixed_draws):
    net = network(pair=True)
    v = sequences(net)
    both = net(v)
    torch.testing.assert_close(net(v[[1, 3]])[0], both[1], rtol=0, atol=1e-12)
    assert not torch.allclose(net(v[[3, 1]])[0], both[1])


def test_causal_does_not_see_the_future(fixed_draws):
    for options, same in (({}, True), ({"kernel": "two_sided"}, False)):
        net = network(**options)
        v = sequences(net)[:1]
        later = v.clone()
        later[:, 50:] = 1 - later[:, 50:]
        records = [], []
        net(v, record=records[0])
        net(later, record=records[1])
        first, second = (r[0]["p"][:, :50] for r in records)
        assert torch.allclose(first, second, rtol=0, atol=1e-12) is same


def passing(B: int, chunks: tuple[int, int], dtype: torch.dtype) -> Pass:
    """A pass of B sequences that fill their chunks."""
    C, M = chunks
    return Pass(Columns(torch.zeros(B, C * M), None, chunks), dtype, dtype, "bernoulli")


@pytest.mark.parametrize("tie", [False, True])
def test_dropout_keeps_the_mean_and_can_be_tied_over_time(tie):
    block = Network(ReleasedConfig(**BASE, dropout=0.4, tie_dropout=tie)).blocks[0]
    x = torch.ones(200, 6 * 2 * 30)
    now = passing(30, (6, 2), torch.float32)
    names = {name for name, _ in block.named_children() if name.startswith("dropout")}
    assert names == {"dropout_ssm", "dropout_gelu", "dropout"}
    for name in names:
        torch.manual_seed(0)
        step = getattr(block, name).train()
        y = step(x, now).view(200, 12, 30)
        assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.6).item()}
        assert abs(y.mean() - 1) < 0.03
        assert bool((y == y[:, :1]).all()) is tie
        assert torch.equal(step.eval()(x, now), x)


def test_a_branch_shares_its_draws():
    """U1 for three samplers, U2 for the branch's input, however often they are asked for."""
    net = network(branch=True, n_blocks=1)
    net.recorded = {*net.recorded, "s_in2", "s_out2"}
    block, drawn = net.blocks[0], []
    original = torch.rand_like
    torch.rand_like = lambda p: drawn.append(original(p)) or drawn[-1]
    try:
        x = torch.rand(5, 40, generator=torch.Generator().manual_seed(0)).double()
        now, records = passing(1, (40, 1), torch.float64), []
        net.run(x, now, records)
    finally:
        torch.rand_like = original
    (u1, u2), record = drawn, records[0]
    assert torch.equal(record["s_in"], (block.norm(block.inp(x, now), now) > u1).double())
    assert torch.equal(record["s_in2"], (block.inp_branch(x, now) > u2).double())
    v = block.gelu_branch(block.ssm_branch(record["s_in2"], now), now)
    assert torch.equal(record["s_out2"], (v > u1).double())
    assert torch.equal(record["s_out"][(record["p"] > 0) & (record["p"] < 1)],
                       (record["p"] > u1).double()[(record["p"] > 0) & (record["p"] < 1)])


def test_calibrate_folds_for_the_length():
    net = network(branch=True)
    net.calibrate(torch.rand(2, 30).double())
    assert [int(ssm.length) for block in net.blocks
            for ssm in (block.ssm, block.ssm_branch)] == [30] * 4


@pytest.mark.parametrize("options", [{}, {"norm_position": "post"}], ids=str)
def test_norm_statistics_are_estimated_again(options, fixed_draws):
    net = network(**options)
    batches = [(sequences(net), torch.tensor(LENGTHS)), (torch.rand(2, 30).double(), None)]
    reestimate(net, batches)
    for norm in net.norms():
        seen = []
        hook = norm.register_forward_pre_hook(lambda _, args: seen.append(args))
        for values, lengths in batches:
            net(values, lengths)
        hook.remove()
        x = torch.cat([x if now.valid is None else x[:, now.valid > 0] for x, now in seen], dim=1)
        assert x.shape[1] == sum(LENGTHS) + 60
        torch.testing.assert_close(norm.mean, x.mean(1), rtol=0, atol=1e-12)
        torch.testing.assert_close(norm.var, x.var(1, correction=0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("options, message", [
    ({"residual": "clampfuse"}, "residual must be one of none, plain in family released"),
    ({"neuron": "heaviside", "mixer": "glu"}, "unknown option mixer, neuron .* family released"),
    ({"init": "dense"}, "init must be one of s4d_lin, s4d_inv, s4d_legs, hippo_legs in family"),
    ({"branch": True, "sampling": "sobol"}, "a branch shares uniform draws"),
    ({"tie_dropout": True}, "tie_dropout = True has no effect with dropout = 0"),
    ({"features": 4}, "unknown option features .* family released"),
    ({"family": "paper", "branch": True}, "unknown option branch of a network of family paper"),
    ({"family": "paper", "tie_dropout": True}, "unknown option tie_dropout"),
    ({"family": "paper", "norm": "layer"}, "unknown option norm "),
    ({"family": "paper", "norm_position": "post"}, "unknown option norm_position"),
    ({"family": "other"}, "family must be one of paper, released, stream, lif, not 'other'")])
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        from_dict({"family": "released"} | BASE | options)


def test_the_papers_network_takes_a_dplr_model(fixed_draws):
    """One step after the other, with the dense recurrence."""
    torch.manual_seed(0)
    net = Network(PaperConfig(n_classes=3, n_blocks=1, d_model=4, d_state=4, init="hippo_legs",
                              dt_min=0.1, dt_max=0.5)).double().eval()
    v, record = torch.rand(2, 61).double(), []
    net(v, record=record)
    s = record[0]["s_in"].permute(2, 1, 0).contiguous()
    p = (net.blocks[0].ssm.recurrent(s) + net.blocks[0].out.b[:, None, None]).clamp(0, 1)
    torch.testing.assert_close(record[0]["p"].double(), p.permute(2, 1, 0), rtol=0, atol=1e-6)
