"""Sampler and fused element-wise operations against plain PyTorch."""

import pytest
import torch
import torch.nn.functional as F

from golden.kernels import fused_cpu, ops
from golden.kernels.sampling import Draw
from tests.golden.test_fused import mixing, run

H, N = 6, 4000


def test_sampler_by_given_draws():
    u = torch.tensor([0.0, 0.0, 0.25, 0.25, 0.999, 0.0])
    p = torch.tensor([0.0, 0.1, 0.25, 0.26, 1.0, -0.5])
    assert ops.spikes(p, u=u).tolist() == [0, 1, 0, 1, 1, 0]


def test_surrogate_gradient_is_one_inside():
    p = torch.tensor([-0.1, 0.0, 0.5, 1.0, 1.1], requires_grad=True)
    ops.spikes(p).backward(torch.tensor([2.0, 3.0, 4.0, 5.0, 6.0]))
    assert p.grad.tolist() == [0, 3, 4, 5, 0]


def test_default_draws_are_uniform():
    torch.manual_seed(0)
    for p in (0.1, 0.5, 0.9):
        rate = ops.spikes(torch.full((100_000,), p)).mean().item()
        assert abs(rate - p) < 5 * (p * (1 - p) / 100_000) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_sampler(dtype):
    """Rates are p (certain at and outside 0 and 1); gradients are those of the plain form."""
    torch.manual_seed(1)
    y = torch.tensor([-0.5, 0.0, 0.25, 0.5, 0.75, 1.5])[:, None].repeat(1, N * 5).to(dtype)
    b = torch.tensor([0.25, 0.0, 0.25, -0.125, 0.125, -0.5])
    y.requires_grad_()
    b.requires_grad_()
    s = ops.sample(y, b)
    p = (y.detach()[:, 0].float() + b.detach()).clamp(0, 1)
    rate = s.float().mean(1)
    assert set(s.unique().tolist()) <= {0.0, 1.0}
    assert rate[0] == 0 and rate[1] == 0 and rate[5] == 1
    assert ((rate - p).abs() < 5 * (p * (1 - p) / (5 * N)).sqrt() + 1e-9).all()

    weight = torch.randn(y.shape).to(dtype)
    s.backward(weight)
    plain_y = y.detach().double().requires_grad_()
    plain_b = b.detach().double().requires_grad_()
    ops.spikes(plain_y + plain_b[:, None]).backward(weight.double())
    torch.testing.assert_close(y.grad.double(), plain_y.grad, rtol=0, atol=0)
    torch.testing.assert_close(b.grad.double(), plain_b.grad, rtol=1e-4, atol=1e-2)


def test_draws_of_neurons_and_calls_are_independent():
    torch.manual_seed(2)
    s = torch.cat([ops.sample(torch.full((4, 20_000), 0.5), torch.zeros(4)) for _ in range(2)])
    seen = torch.corrcoef(s) - torch.eye(8)
    assert seen.abs().max() < 5 / 20_000 ** 0.5
    along = torch.corrcoef(torch.stack([s[0, :-1], s[0, 1:]]))[0, 1]
    assert along.abs() < 5 / 20_000 ** 0.5


def drop_mask(rate: float) -> torch.Tensor:
    """(H, N), 1 where a dropout with the keys 1 to H keeps a value: read from the kernel."""
    zero, one = torch.zeros(H), torch.ones(H)
    kept, _ = fused_cpu.fuse(torch.ones(H, N), zero, 0.1 * one, zero, None, Draw(),
                             (torch.arange(1, H + 1), rate))
    torch.testing.assert_close(kept.unique(), torch.tensor([0.0, 0.1 / (1 - rate)]))
    return (kept > 0).double()


def fuse_case(residual, training, dtype, masked=False, dropout=0.0):
    """(p_next, s, gradients, running statistics) of a block's end on fixed values."""
    block = mixing(H, residual, dropout=dropout)
    fuse = block.fuse
    gen = torch.Generator().manual_seed(3)
    z = torch.randn(H, N, generator=gen).to(dtype)
    bias = torch.randn(H, generator=gen).to(dtype)
    x = torch.rand(H, N, generator=gen).to(dtype)
    gradients = torch.randn(2, H, N, generator=gen).to(dtype)
    valid = (torch.rand(N, generator=gen) > 0.4).to(dtype) if masked else None
    with torch.no_grad():
        fuse.gamma.copy_(torch.linspace(-0.8, 0.9, H))
        fuse.beta.copy_(torch.linspace(0.5, -0.4, H))
        fuse.mean.copy_(torch.linspace(0, 1, H))
        fuse.var.copy_(torch.linspace(0.2, 2, H))
        block.mixer.bias.copy_(bias)
    block.to(dtype).train(training)
    z.requires_grad_()
    x.requires_grad_()
    assert ops.fusable(z) is (dtype == torch.float32)
    p, s = run(block, z, x, valid)
    ((p * gradients[0]).sum() + (s * gradients[1]).sum()).backward()
    grads = [t.grad for t in (z, block.mixer.bias, fuse.gamma, fuse.beta)]
    grads.append(x.grad if residual == "clampfuse" else torch.zeros(1))
    return p, s, grads, (fuse.mean, fuse.var)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("residual", ["clampfuse", "none"])
@pytest.mark.parametrize("masked, dropout", [(False, 0.0), (True, 0.0), (False, 0.25),
                                             (True, 0.25)], ids=str)
def test_fused_equals_plain(residual, training, masked, dropout, monkeypatch):
    """With columns that do not count, and with the same values dropped in both forms."""
    torch.manual_seed(4)
    if dropout:
        mask = drop_mask(dropout)
        assert (mask.mean(1) - (1 - dropout)).abs().max() < 5 * (0.25 * 0.75 / N) ** 0.5
        given, keys = [torch.arange(1, H + 1)], fused_cpu.keys     # the first are the dropout's
        monkeypatch.setattr(fused_cpu, "keys", lambda *args: given.pop() if given else keys(*args))
        monkeypatch.setattr(F, "dropout", lambda z, rate: z * mask / (1 - rate))
    fused, plain = (fuse_case(residual, training, dtype, masked, dropout)
                    for dtype in (torch.float32, torch.float64))
    torch.testing.assert_close(fused[0].double(), plain[0], rtol=0, atol=2e-6)
    rate, p = fused[1].mean(1).double(), plain[0].mean(1)
    assert ((rate - p).abs() < 5 * 0.5 / N ** 0.5).all()
    for name, a, b in zip(("z", "bias", "gamma", "beta", "x"), fused[2], plain[2]):
        torch.testing.assert_close(a.double(), b.double(), rtol=2e-4, atol=2e-3,
                                   msg=lambda text: f"gradient of {name}: {text}")
    for a, b in zip(fused[3], plain[3]):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-6)


def test_threads_change_nothing():
    """Rows are spread over PyTorch's threads; each is summed in its own order."""
    before, found = torch.get_num_threads(), []
    for threads in (1, 3, 100):
        torch.set_num_threads(threads)
        torch.manual_seed(6)
        p, s, grads, stats = fuse_case("clampfuse", True, torch.float32, True, 0.25)
        found.append([p, s, *grads, *stats])
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other))


def test_dropouts_of_calls_and_neurons_are_independent():
    torch.manual_seed(5)
    block = mixing(H, "none", dropout=0.5)
    with torch.no_grad():
        block.fuse.gamma.fill_(0.1)
        block.fuse.beta.fill_(0.5)
    one = torch.ones(H, N)
    kept = torch.cat([run(block, one, one)[0] > 0.5 for _ in range(2)]).float()
    assert (kept.mean(1) - 0.5).abs().max() < 5 * 0.5 / N ** 0.5
    assert (torch.corrcoef(kept) - torch.eye(2 * H)).abs().max() < 5 / N ** 0.5


def test_bfloat16_is_rounded_to_nearest():
    z = torch.tensor([[1.0, 0.30078125, 0.5]]).bfloat16()
    zero, one = torch.zeros(1), torch.ones(1)
    p, _, _, _ = ops.fuse_relu(z, zero, one, zero, None, (zero, one), eps=0.0)
    assert torch.equal(p, z)
    p, _, _, _ = ops.fuse_relu(z, zero, torch.full((1,), 0.1), zero, None, (zero, one), eps=0.0)
    torch.testing.assert_close(p.float(), 0.1 * z.float(), rtol=2 ** -8, atol=0)
