"""Sampling forms: rates, low discrepancy, gradients, and fused kernels against plain PyTorch."""

import pytest
import torch

from golden.kernels import ops, sampling
from golden.model.config import CHOICES, PaperConfig
from golden.model.network import Network
from golden.kernels.sampling import Draw

FORMS = [f for f in CHOICES["sampling"] if f != "mean"]
CHUNKS = (14, 4, 32)            # C, M, B: 56 steps of 32 sequences
N = 14 * 4 * 32


def drawn(p, form, fused, number=0):
    """Spikes (H, T, B) of constant probabilities p (H,)."""
    draw = Draw(form, number, CHUNKS)
    y = p[:, None].repeat(1, N)
    s = ops.sample(y, torch.zeros(len(p)), draw) if fused else ops.spikes(y.double(), draw)
    return draw.to_time(s.float())


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_rates_are_p_and_the_ends_are_certain(form, fused):
    torch.manual_seed(0)
    p = torch.tensor([-0.5, 0.0, 0.1, 0.5, 0.83, 1.0, 1.5])
    s = drawn(p, form, fused)
    assert set(s.unique().tolist()) <= {0.0, 1.0}
    rate, clamped = s.mean((1, 2)), p.clamp(0, 1)
    assert (rate[[0, 1]] == 0).all() and (rate[[5, 6]] == 1).all()
    assert ((rate - clamped).abs() < 5 * (clamped * (1 - clamped) / N).sqrt() + 1e-9).all()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("form, least, most", [("bernoulli", 4.0, 25.0), ("systematic", 0.0, 1.0),
                                               ("sobol", 0.0, 3.5)])
def test_running_sums_stay_near_their_expectation(form, least, most, fused):
    torch.manual_seed(1)
    p = torch.rand(20)
    s = drawn(p, form, fused)
    gap = (s.cumsum(1) - p[:, None, None] * torch.arange(1, 57)[:, None]).abs().max().item()
    assert least <= gap <= most + 1e-4


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_first_spike_is_random_over_sequences(form, fused):
    torch.manual_seed(2)
    first = torch.cat([drawn(torch.tensor([0.5]), form, fused)[0, 0] for _ in range(40)])
    assert abs(first.mean().item() - 0.5) < 5 * 0.5 / len(first) ** 0.5
    assert abs((first[1:] * first[:-1]).mean().item() - 0.25) < 5 * 0.5 / len(first) ** 0.5


def test_sobol_dimensions_differ():
    words = torch.stack([sampling.sobol_words(k, CHUNKS) for k in range(6)])
    assert len({tuple(row.tolist()) for row in words}) == 6
    for row in words:       # the first 2**k points, one in each of 2**k intervals
        for k in range(5):
            first = Draw("sobol", 0, (14, 4, 1)).to_time(row[None].float())[0, :1 << k, 0].long()
            assert sorted((first >> sampling.SOBOL_BITS - k).tolist()) == list(range(1 << k))


@pytest.mark.parametrize("form", CHOICES["sampling"])
def test_gradient_is_that_of_the_expectation(form):
    p = torch.tensor([-0.1, 0.0, 0.5, 1.0, 1.1])[:, None].repeat(1, N)
    weight = torch.randn(5, N)
    grads = []
    for make in (lambda y, d: ops.sample(y, torch.zeros(5), d), ops.spikes):
        y = p.clone().requires_grad_()
        make(y, Draw(form, 0, CHUNKS)).backward(weight)
        grads.append(y.grad)
    inside = torch.tensor([0.0, 1, 1, 1, 0])[:, None]
    assert torch.equal(grads[0], weight * inside) and torch.equal(grads[1], weight * inside)


def test_mean_is_the_expectation_through_the_whole_network():
    torch.manual_seed(3)
    cfg = dict(n_classes=3, n_blocks=2, d_model=8, d_state=4)
    net = Network(PaperConfig(**cfg, sampling="mean")).eval()
    v = torch.rand(4, 60)
    assert torch.equal(net(v), net(v))
    torch.testing.assert_close(net(v), net.double()(v.double()).float(), rtol=1e-4, atol=1e-4)


def test_systematic_makes_the_least_noise():
    """The logits of one input scatter over the draws: with systematic less than half as much."""
    torch.manual_seed(4)
    cfg = dict(n_classes=3, n_blocks=1, d_model=32, d_state=4)
    mean = Network(PaperConfig(**cfg, sampling="mean")).eval()
    v = torch.rand(1, 100).repeat(64, 1)
    mean.calibrate(v)
    scatter = {}
    for form in FORMS:
        net = Network(PaperConfig(**cfg, sampling=form)).eval()
        net.load_state_dict(mean.state_dict())
        scatter[form] = net(v).std(0).mean().item()
    assert 0 < scatter["systematic"] < scatter["bernoulli"] / 2, scatter
