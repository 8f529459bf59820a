"""The GPU's kernels in Triton's interpreter, on a CPU, equal PyTorch's plain form."""

import os

import pytest
import torch

from golden.kernels import carry, fused_cpu
from golden.kernels.sampling import Draw
from tests.golden.test_chunk_matrices import H as H_SYSTEM
from tests.golden.test_chunk_matrices import N_MODES, SHAPES, exact, system

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"        # read when triton is imported
pytest.importorskip("triton", reason="Triton comes with PyTorch for GPUs only")
from golden import matrices_gpu      # noqa: E402
from golden.kernels import fused_gpu

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
H, CHUNKS = 5, (7, 4, 19)
N = 7 * 4 * 19


def values(dtype, seed: int = 1):
    """z and p (H, N) in ``dtype``, then (H,): bias, scale, shift."""
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(H, N, generator=rng).to(dtype).to(DEVICE)
    p = torch.rand(H, N, generator=rng).to(dtype).to(DEVICE)
    return z, p, *(torch.randn(H, generator=rng).to(DEVICE) for _ in range(3))


@pytest.mark.parametrize("chunks", [CHUNKS, (1, 1, 532), (532, 1, 1), (1400, 1, 3)])
@pytest.mark.parametrize("form", ["bernoulli", "sobol", "systematic", "mean"])
def test_spikes_have_the_probability_and_the_form(form, chunks):
    """Rates of a constant p; the counts that sobol and systematic sampling promise."""
    torch.manual_seed(2)
    C, M, B = chunks
    p = torch.tensor([-0.5, 0.0, 0.25, 0.6, 1.5], device=DEVICE)
    s = fused_gpu.sample(torch.zeros(5, C * M * B, device=DEVICE), p, Draw(form, 2, chunks)).cpu()
    rate, p = s.mean(1), p.cpu().clamp(0, 1)
    if form == "mean":
        assert torch.equal(s, p[:, None].expand_as(s))
        return
    assert set(s.unique().tolist()) <= {0.0, 1.0}
    assert rate[:2].tolist() == [0, 0] and rate[4] == 1
    assert ((rate - p).abs() < 5 * (p * (1 - p) / (C * M * B)).sqrt() + 0.03).all()
    if form == "systematic":
        running = Draw(form, 2, chunks).to_time(s).cumsum(1)
        steps = torch.arange(1, C * M + 1)[None, :, None]
        assert ((running - p[:, None, None] * steps).abs() < 1.001).all()


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fuse_and_gradients(dtype, residual):
    z, p, bias, scale, shift = values(dtype)
    p = p if residual else None
    of_cpu = [None if x is None else x.cpu() for x in (z, bias, scale, shift, p)]
    for got, wanted in zip(fused_gpu.relu_stats(z, bias),
                           fused_cpu.relu_stats(z.cpu(), bias.cpu())):
        torch.testing.assert_close(got.cpu(), wanted, rtol=1e-4, atol=1e-5)
    draw = Draw("systematic", 0, CHUNKS)
    got, s = fused_gpu.fuse(z, bias, scale, shift, p, draw)
    wanted, _ = fused_cpu.fuse(*of_cpu, draw)
    torch.testing.assert_close(got.cpu(), wanted, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5,
                               atol=1e-6)
    assert ((s.float().mean(1) - got.float().mean(1)).abs() < 0.05).all()
    rng = torch.Generator().manual_seed(3)
    dp_next, ds = (torch.randn(H, N, generator=rng).to(dtype) for _ in range(2))
    found = fused_gpu.fuse_grad_sums(z, bias, scale, shift, p, dp_next.to(DEVICE), ds.to(DEVICE))
    dp, sums = fused_cpu.fuse_grad_sums(*of_cpu, dp_next, ds)
    torch.testing.assert_close(found[0].cpu(), dp, rtol=1e-2, atol=1e-6)
    torch.testing.assert_close(found[1].cpu(), sums, rtol=1e-3, atol=1e-3)
    c1, c2 = torch.randn(2, H, generator=rng)
    found = fused_gpu.fuse_grad(z, bias, scale, c1.to(DEVICE), c2.to(DEVICE), dp.to(DEVICE))
    dz, dbias = fused_cpu.fuse_grad(*of_cpu[:3], c1, c2, dp)
    torch.testing.assert_close(found[0].cpu(), dz, rtol=1e-2, atol=1e-4)
    torch.testing.assert_close(found[1].cpu(), dbias, rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize("form", ["systematic", "bernoulli"])
@pytest.mark.parametrize("masked, rate", [(True, 0.0), (False, 0.25), (True, 0.25)])
def test_mask_and_dropout(masked, rate, form):
    """Against formulas in float64, with the values dropped that the kernel drops."""
    z, p, bias, scale, shift = values(torch.float32)
    rng = torch.Generator().manual_seed(4)
    valid = (torch.rand(N, generator=rng) > 0.3).float().to(DEVICE) if masked else None
    drop = (fused_gpu.keys(H, DEVICE), rate) if rate else None
    draw, one = Draw(form, 0, CHUNKS), torch.ones(H, device=DEVICE)
    kept, _ = fused_gpu.fuse(torch.ones_like(z), 0 * one, 0.1 * one, 0 * one, None, draw, drop)
    factor = (kept * 10).double()
    assert rate == 0 or abs((factor > 0).double().mean() - 1 + rate) < 0.05
    torch.testing.assert_close(factor.max().item(), 1 / (1 - rate))
    x, slope = (z + bias[:, None]).clamp(min=0).double() * factor, factor * (z + bias[:, None] > 0)
    counts = torch.ones(N, device=DEVICE) if valid is None else valid
    mean, var = fused_gpu.relu_stats(z, bias, valid, drop)
    torch.testing.assert_close(mean.double(), x[:, counts > 0].mean(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(var.double(), x[:, counts > 0].var(1, correction=0), rtol=1e-4,
                               atol=1e-5)
    wide = p + scale[:, None] * x + shift[:, None]
    got, _ = fused_gpu.fuse(z, bias, scale, shift, p, draw, drop)
    torch.testing.assert_close(got.double(), wide.clamp(0, 1), rtol=1e-5, atol=1e-6)
    dp_next, ds = (torch.randn(H, N, generator=rng).to(DEVICE) for _ in range(2))
    dp, sums = fused_gpu.fuse_grad_sums(z, bias, scale, shift, p, dp_next, ds, drop)
    wanted = (dp_next + ds).double() * ((wide >= 0) & (wide <= 1))
    torch.testing.assert_close(dp.double(), wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(sums.double(), torch.stack([wanted.sum(1), (wanted * x).sum(1)], 1),
                               rtol=1e-4, atol=1e-3)
    c1, c2 = (torch.randn(H, generator=rng).to(DEVICE) for _ in range(2))
    dz, dbias = fused_gpu.fuse_grad(z, bias, scale, c1, c2, dp, valid, drop)
    wanted = (scale[:, None] * dp + counts * (c1[:, None] * x + c2[:, None])) * slope
    torch.testing.assert_close(dz.double(), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(dbias.double(), wanted.sum(1), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sampler_gradient(dtype):
    y, ds, b, *_ = values(dtype)
    dy, db = fused_gpu.sample_grad(y, b, ds)
    wanted = fused_cpu.sample_grad(y.cpu(), b.cpu(), ds.cpu())
    torch.testing.assert_close(dy.cpu(), wanted[0], rtol=0, atol=0)
    torch.testing.assert_close(db.cpu(), wanted[1], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("C, M", SHAPES)
def test_chunk_matrices(C, M, delay):
    expected = exact(system(), C, M, delay)
    parts = [x.detach().to(DEVICE).requires_grad_() for x in system(torch.float32)]
    got = dict(zip("TVSG", matrices_gpu.matrices(*parts, C, M, delay, torch.float32)))
    rng = torch.Generator().manual_seed(2)
    reference = system()
    again = exact(reference, C, M, delay)
    for name, value in expected.items():
        torch.testing.assert_close(got[name].cpu().double(), value, rtol=1e-4, atol=1e-4,
                                   msg=lambda text: f"{name} of {M} chunks of {C}: {text}")
        weight = torch.randn(value.shape, generator=rng)
        of_got = torch.autograd.grad((got[name] * weight.to(DEVICE)).sum(), parts,
                                     retain_graph=True, allow_unused=True, materialize_grads=True)
        wanted = torch.autograd.grad((again[name] * weight).sum(), reference, retain_graph=True,
                                     allow_unused=True, materialize_grads=True)
        for what, a, b in zip(("A_bar", "g", "d"), of_got, wanted):
            torch.testing.assert_close(a.cpu().to(b.dtype), b, rtol=2e-3, atol=2e-3, msg=lambda
                                       text: f"d {name} / d {what}, {M} chunks of {C}: {text}")


@pytest.mark.parametrize("M", [5, 300])
def test_states_of_groups_of_chunks(M, monkeypatch):
    """``golden.kernels.carry`` with the matrices of the GPU, against plain float64."""
    A_bar, rng = system()[0].detach(), torch.Generator().manual_seed(2)
    left = torch.randn(H_SYSTEM * N_MODES, 2, M, 2, generator=rng)
    wanted = carry.carried(left.double(), A_bar, 3)
    weight = torch.randn(left.shape, generator=rng)
    wanted_A = A_bar.clone().requires_grad_()
    (carry.carried(left.double(), wanted_A, 3) * weight).sum().backward()
    monkeypatch.setattr(carry, "chunk_matrices", lambda A, g, d, C, M, delay, like:
                        matrices_gpu.matrices(A, g, d, C, M, delay, like.dtype))
    monkeypatch.setattr(fused_cpu, "fits", lambda x: False)
    A = A_bar.clone().to(DEVICE).requires_grad_()
    got = carry.carried(left.to(DEVICE), A, 3)
    (got * weight.to(DEVICE)).sum().backward()
    torch.testing.assert_close(got.cpu().double(), wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(A.grad.cpu(), wanted_A.grad, rtol=2e-3, atol=2e-3)
