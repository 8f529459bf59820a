"""The whole network: variable lengths, batches, recording, calibration."""

import pytest
import torch

from golden.kernels import ops
from golden.model.config import LIFConfig, PaperConfig, ReleasedConfig
from golden.model.encoder import Encoder
from golden.model.network import Network, chunks

CASES = [{}, {"kernel": "two_sided"}, {"residual": "none", "act": "gelu"}, {"residual": "plain"},
         {"gelu_before_sampler": True, "shared_A": True, "act": "identity"}, {"vocab": 7}]
LENGTHS = [90, 1, 57, 33]


def network(**options) -> Network:
    torch.manual_seed(5)
    net = Network(PaperConfig(n_classes=3, n_blocks=2, d_model=6, d_state=4, dt_max=0.5,
                              **options)).double()
    with torch.no_grad():
        for norm in net.norms():
            norm.mean.uniform_(0, 0.5)
            norm.var.uniform_(0.1, 1)
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
    v, lengths = sequences(net), torch.tensor(LENGTHS)
    record = []
    together = net(v, lengths, record=record)
    fired = 0
    for k, length in enumerate(LENGTHS):
        alone_record = []
        alone = net(v[k:k + 1, :length], record=alone_record)
        torch.testing.assert_close(together[k], alone[0], rtol=0, atol=1e-12)
        for block, alone_block in zip(record, alone_record):
            for name in ("s_in", "s_out"):
                assert torch.equal(block[name][k, :length], alone_block[name][0]), (k, name)
            torch.testing.assert_close(block["p"][k, :length], alone_block["p"][0])
            fired += alone_block["s_out"].sum().item()
    assert 0 < fired < 2 * 6 * sum(LENGTHS)


def test_what_lies_behind_a_sequence_does_not_matter(fixed_draws):
    net = network(kernel="two_sided")
    v, lengths = sequences(net), torch.tensor(LENGTHS)
    other = v.clone()
    other[torch.arange(90) >= lengths[:, None]] = 0.9
    torch.testing.assert_close(net(v, lengths), net(other, lengths), rtol=0, atol=1e-12)


def test_causal_network_is_the_step_by_step_recurrence(fixed_draws):
    """The paper's equations, one step at a time, written out."""
    net = network()
    v = sequences(net)[0]
    with torch.no_grad():
        discrete = [block.ssm.discrete() for block in net.blocks]
        states = [torch.zeros(6, 2, dtype=torch.complex128) for _ in net.blocks]
        total = torch.zeros(6).double()
        for value in v:
            p = (net.encoder.weight * value + net.encoder.bias).clamp(0, 1)
            for k, (block, (A_bar, g, d)) in enumerate(zip(net.blocks, discrete)):
                s = (p > 0.4).double()
                states[k] = A_bar * states[k] + g * s[:, None]
                fired = (states[k].real.sum(1) + d * s + block.out.b > 0.4).double()
                z = (block.mixer.weight @ fired + block.mixer.bias).clamp(min=0)
                fuse = block.fuse
                p = (p + fuse.gamma * (z - fuse.mean) / (fuse.var + fuse.eps).sqrt()
                     + fuse.beta).clamp(0, 1)
            total += p
        expected = net.decoder.weight @ (total / len(v)) + net.decoder.bias
    torch.testing.assert_close(net(v[None])[0], expected, rtol=0, atol=1e-10)


def test_every_parameter_gets_a_gradient():
    for options in CASES:
        net = network(**options).train()
        v = sequences(net)
        net(v, torch.tensor(LENGTHS)).square().sum().backward()
        idle = [f"blocks.{len(net.blocks) - 1}.fuse.{name}" for name in ("gamma", "beta")
                if net.cfg.residual == "plain"]           # nothing reads what it makes
        assert [name for name, p in net.named_parameters() if p.grad is None] == idle, options
        assert net.parameter_count() == sum(p.numel() for name, p in net.named_parameters()
                                            if name not in idle)


def test_calibration_sets_mean_and_deviation():
    torch.manual_seed(0)
    net = Network(PaperConfig(n_classes=3, d_model=16))
    v = torch.rand(32, 200)
    net.calibrate(v)
    for block in net.blocks:
        seen = []
        hook = block.ssm.register_forward_hook(lambda *args: seen.append(args[2]))
        net(v)
        hook.remove()
        p = seen[0].flatten(1) + block.out.b[:, None]
        assert (p.mean(1) - 0.3).abs().max() < 0.08
        assert (p.std(1) - 0.3).abs().max() < 0.08


def signed(B: int = 20, L: int = 90) -> torch.Tensor:
    """Samples like sound: most near 0, in [-1, 1)."""
    gen = torch.Generator().manual_seed(4)
    return (torch.randn(B, L, generator=gen) ** 3 / 20).clamp(-1, 127 / 128)


def test_the_start_of_signed_samples():
    """Half of the neurons fall with the sample, all see it; unsigned samples change nothing."""
    torch.manual_seed(0)
    encoder = Encoder(PaperConfig(n_classes=3, d_model=64))
    start = [p.detach().clone() for p in encoder.parameters()]
    encoder.calibrate(signed().abs())
    assert all(torch.equal(p, q) for p, q in zip(encoder.parameters(), start))
    below = encoder(signed().clamp(max=0).flatten(), torch.float32)
    assert (below > 0).float().mean() < 0.1, "why the start is another"
    encoder.calibrate(signed())
    p = encoder(signed().flatten(), torch.float32).detach().clamp(0, 1)
    assert (encoder.weight < 0).sum() == 32
    assert abs(p.mean() - 0.5) < 0.1 and p.std(1).min() > 0.1
    rank = signed().flatten().argsort().argsort().float()[:, None]
    best = torch.linalg.lstsq(torch.cat([p.T, torch.ones_like(rank)], 1), rank).solution
    error = rank - torch.cat([p.T, torch.ones_like(rank)], 1) @ best
    assert error.var() < 0.02 * rank.var(), "the population tells the sample's place among all"


def test_the_start_of_signed_samples_leaves_padding_out():
    v, lengths = signed(4, 30), torch.tensor([30, 7, 12, 1])
    found = []
    for samples in (v, v * (torch.arange(30) < lengths[:, None])):
        torch.manual_seed(0)
        found.append(Encoder(PaperConfig(n_classes=3, d_model=8)))
        found[-1].calibrate(samples, lengths)
    assert torch.equal(found[0].weight, found[1].weight) and found[0].weight.min() < 0


def test_the_start_of_samples_that_are_nearly_all_the_same():
    """Silence: thresholds still lie a part of the range apart."""
    v = torch.zeros(4, 50)
    v[0, :2] = torch.tensor([-0.5, 0.5])
    encoder = Encoder(PaperConfig(n_classes=3, d_model=8))
    encoder.calibrate(v)
    assert encoder.weight.abs().max() <= 32 and torch.isfinite(encoder.bias).all()


SHAPE = {"n_classes": 3, "d_model": 8, "d_state": 4}


@pytest.mark.parametrize("cfg", [
    PaperConfig(**SHAPE), PaperConfig(**SHAPE, residual="plain"), LIFConfig(**SHAPE),
    ReleasedConfig(**SHAPE, init="s4d_lin", act="relu", gelu_before_sampler=False)],
    ids=["clampfuse", "plain", "lif", "released"])
def test_every_network_starts_from_signed_samples(cfg):
    torch.manual_seed(0)
    net = Network(cfg)
    net.calibrate(signed())
    record = []
    net(signed(), record=record)
    rates = record[0]["s_in"].float().mean((0, 1))
    assert 0.05 < rates.min() and rates.max() < 0.95, rates


@pytest.mark.parametrize("L", [1, 47, 48, 49, 56, 57, 64, 97, 784, 1999])
def test_chunks_cover_the_sequence_with_little_padding(L):
    C, M = chunks(L)
    assert L <= C * M < L + M and 1 <= C <= 72
    assert Network(PaperConfig(n_classes=2, d_model=2)).chunks(L) == (C, M)
    assert Network(PaperConfig(n_classes=2, d_model=2, init="hippo_legs")).chunks(L) == (C, M)
    dplr = Network(ReleasedConfig(n_classes=2, d_model=2))
    assert dplr.cfg.dplr and dplr.chunks(L) == (L, 1)       # in one piece: a Fourier transform
    assert Network(ReleasedConfig(n_classes=2, d_model=2, init="s4d_lin")).chunks(L) == (C, M)


def test_fused_network_fires_at_the_rates_of_the_plain_one():
    """Float32 on a CPU (numba) and float64 (plain PyTorch) are the same network."""
    torch.manual_seed(1)
    cfg = PaperConfig(n_classes=3, n_blocks=2, d_model=8, d_state=4)
    net = Network(cfg)
    v = torch.rand(200, 56)
    net.calibrate(v)
    net.eval()
    assert ops.fusable(v) and not ops.fusable(v.double())
    fused, plain = [], []
    net(v, record=fused)
    net.double()(v.double(), record=plain)
    for a, b in zip(fused, plain):
        for name in ("s_in", "s_out"):
            difference = a[name].float().mean((0, 1)) - b[name].float().mean((0, 1))
            assert difference.abs().max() < 0.04


def test_gradient_of_tokens_in_bfloat16():
    """A token's row gets the gradients of thousands of steps: their sum must not be lost."""
    encoder = Encoder(PaperConfig(n_classes=2, d_model=4, vocab=5))
    v = torch.randint(1, 5, (20_000,), generator=torch.Generator().manual_seed(1))
    out = encoder(v, torch.bfloat16)
    assert out.shape == (4, 20_000) and out.is_contiguous() and out.dtype == torch.bfloat16
    out.backward(torch.full_like(out, 0.0078125))
    wanted = 0.0078125 * torch.bincount(v, minlength=5)
    assert torch.allclose(encoder.weight.grad, wanted[:, None].expand(5, 4).float(), rtol=2**-8)
