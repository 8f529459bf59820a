"""Networks of the released architecture: lengths, layouts, dropout, options that do not fit.

That they compute what the released code computes is the subject of test_import_release.
"""

import pytest
import torch

from golden import models
from golden.config import NetworkConfig
from golden.released_network import ReleasedBlock, ReleasedNetwork
from golden.sampling import Draw
from golden.norms import reestimate

BASE = dict(n_classes=3, n_blocks=2, d_model=5, d_state=4, dt_min=0.05, dt_max=0.5,
            architecture="released", ssm="dplr", init="hippo_legs", act="gelu",
            gelu_before_sampler=True, residual="plain")
CASES = [{}, {"kernel": "two_sided", "norm_position": "post", "norm": "layer"},
         {"branch": True, "vocab": 7, "kernel": "two_sided"}, {"residual": "none", "act": "relu"},
         {"ssm": "diagonal", "init": "s4d_inv", "gelu_before_sampler": False, "shared_A": True},
         {"ssm": "diagonal", "init": "s4d_lin", "branch": True, "norm_position": "post"}]
LENGTHS = [90, 1, 57, 33]


def network(**options) -> ReleasedNetwork:
    torch.manual_seed(5)
    net = models.build(NetworkConfig(**BASE | options)).double()
    with torch.no_grad():
        for norm in net.norms():
            norm.mean.uniform_(0, 0.5)
            norm.var.uniform_(0.1, 1)
            norm.gamma.fill_(0.4)
            norm.beta.fill_(0.4)
        for block in net.blocks:
            block.out.b.fill_(0.3)
    return net.eval()


def sequences(net: ReleasedNetwork) -> torch.Tensor:
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


@pytest.mark.parametrize("tie", [False, True])
def test_dropout_keeps_the_mean_and_can_be_tied_over_time(tie):
    block = ReleasedBlock(NetworkConfig(**BASE | {"dropout": 0.4, "tie_dropout": tie}))
    x = torch.ones(200, 6 * 2 * 30)
    torch.manual_seed(0)
    y = block.dropout(x, (6, 2, 30)).view(200, 12, 30)
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.6).item()}
    assert abs(y.mean() - 1) < 0.03
    assert bool((y == y[:, :1]).all()) is tie
    assert torch.equal(block.eval().dropout(x, (6, 2, 30)), x)


def test_a_branch_shares_its_draws():
    """U1 for three samplers, U2 for the branch's input, however often they are asked for."""
    net = network(branch=True, n_blocks=1)
    block, drawn = net.blocks[0], []
    original = torch.rand_like
    torch.rand_like = lambda p: drawn.append(original(p)) or drawn[-1]
    try:
        x, record = torch.rand(5, 40, generator=torch.Generator().manual_seed(0)).double(), {}
        block(x, (Draw(chunks=(40, 1, 1)), Draw(number=1, chunks=(40, 1, 1))), record=record)
    finally:
        torch.rand_like = original
    u1, u2 = drawn
    assert torch.equal(record["s_in"], (block.norm(block.inp(x)) > u1).double())
    assert torch.equal(record["s_in2"], (block.inp_branch(x) > u2).double())
    v = block.response(block.ssm_branch, record["s_in2"], (40, 1, 1))
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
        x = torch.cat([x if valid is None else x[:, valid > 0] for x, valid in seen], dim=1)
        assert x.shape[1] == sum(LENGTHS) + 60
        torch.testing.assert_close(norm.mean, x.mean(1), rtol=0, atol=1e-12)
        torch.testing.assert_close(norm.var, x.var(1, correction=0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("options, message", [
    ({"residual": "clampfuse"}, "residual must be none or plain with architecture released"),
    ({"neuron": "heaviside", "mixer": "glu"}, "ssm dplr needs neuron sampler"),
    ({"neuron": "heaviside", "mixer": "glu", "ssm": "diagonal", "init": "s4d_lin"},
     "neuron must be sampler with architecture released"),
    ({"init": "s4d_lin"}, "dplr starts from init hippo_legs and only it does"),
    ({"ssm": "diagonal"}, "not diagonal from hippo_legs"),
    ({"branch": True, "sampling": "sobol"}, "a branch shares uniform draws"),
    ({"architecture": "paper", "branch": True}, "branch needs architecture released"),
    ({"architecture": "paper", "tie_dropout": True}, "tie_dropout needs architecture released"),
    ({"architecture": "paper", "norm": "layer"}, "neuron sampler has only batch, pre"),
    ({"architecture": "paper", "norm_position": "post"}, "neuron sampler has only batch, pre"),
    ({"architecture": "other"}, "architecture must be one of paper, released"),
    ({"ssm": "dense"}, "ssm must be one of diagonal, dplr")])
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        NetworkConfig(**{**BASE, **({"gelu_before_sampler": False} if "neuron" in options else {}),
                         **options})


def test_the_papers_network_takes_a_dplr_model(fixed_draws):
    """One step after the other, with the dense recurrence."""
    torch.manual_seed(0)
    net = models.build(NetworkConfig(n_classes=3, n_blocks=1, d_model=4, d_state=4, ssm="dplr",
                                     init="hippo_legs", dt_min=0.1, dt_max=0.5)).double().eval()
    v, record = torch.rand(2, 61).double(), []
    net(v, record=record)
    s = record[0]["s_in"].permute(2, 1, 0).contiguous()
    p = (net.blocks[0].ssm.recurrent(s) + net.blocks[0].b[:, None, None]).clamp(0, 1)
    torch.testing.assert_close(record[0]["p"].double(), p.permute(2, 1, 0), rtol=0, atol=1e-6)
