"""The convolution form of the SSM is its recurrence, to rounding of float64."""

import numpy as np
import pytest
import torch

from golden.kernels import carry
from golden.model import ssm as ssm_module
from golden.model.config import PaperConfig
from golden.model.network import chunks
from golden.model.ssm import DiagonalSSM, initial_A, kernel
from tests.golden.recurrence import recurrent

H, B = 5, 3


def ssm(**options) -> DiagonalSSM:
    torch.manual_seed(7)
    made = DiagonalSSM(PaperConfig(n_classes=2, d_model=H, d_state=8, dt_max=0.5, **options))
    with torch.no_grad():
        made.D.normal_()
        made.a.uniform_(0.2, 2.0)
    return made.double()


def spikes(L: int) -> torch.Tensor:
    """(H, L, B) bits; the first step and the last are 1 somewhere."""
    s = (torch.rand(H, L, B, generator=torch.Generator().manual_seed(L)) < 0.4).double()
    s[0, 0] = s[1, -1] = 1
    return s


def chunked(made: DiagonalSSM, s: torch.Tensor, C: int) -> torch.Tensor:
    """The convolution form with chunks of C steps, the sequence padded with zeros."""
    L = s.shape[1]
    M = -(-L // C)
    padded = torch.nn.functional.pad(s, (0, 0, 0, C * M - L))
    y = made.convolve(padded.reshape(H, M, C, B).transpose(1, 2).contiguous())
    return y.transpose(1, 2).reshape(H, C * M, B)[:, :L]


@pytest.mark.parametrize("init, shared_A", [("s4d_lin", False), ("s4d_lin", True),
                                            ("s4d_inv", False), ("s4d_legs", True)])
@pytest.mark.parametrize("side", ["causal", "two_sided"])
@pytest.mark.parametrize("L", [1, 2, 7, 48, 56, 57, 73, 100, 131])
def test_convolution_is_recurrence(L, side, init, shared_A):
    made, s = ssm(kernel=side, init=init, shared_A=shared_A), spikes(L)
    expected = recurrent(made, s)
    C, M = chunks(L)
    assert C * M >= L
    for size in {C, L, max(1, L // 3), L + 2}:
        got = chunked(made, s, size)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-9, msg=lambda text: (
            f"L={L}, chunks of {size}: {text}"))


def test_causal_output_is_convolution_with_the_kernel():
    made, s = ssm(), spikes(40)
    K = kernel(*made.discrete(), 40).detach().numpy()
    for i in range(H):
        for b in range(B):
            np.testing.assert_allclose(np.convolve(K[i], s[i, :, b])[:40],
                                       recurrent(made, s)[i, :, b].detach(), rtol=0, atol=1e-9)


def test_two_sided_sees_the_future_and_causal_does_not():
    s = spikes(30)
    later = s.clone()
    later[:, 20] = 1 - later[:, 20]
    for side, same in (("causal", True), ("two_sided", False)):
        made = ssm(kernel=side)
        assert torch.equal(recurrent(made, s)[:, :20], recurrent(made, later)[:, :20]) is same


def test_impulse_response_by_hand():
    """One mode A = -0.5, dt = 0.2: y = 2 a Re(C (A_bar - 1) / A) A_bar^t, and a D at once."""
    made = DiagonalSSM(PaperConfig(n_classes=2, d_model=1, d_state=2)).double()
    with torch.no_grad():
        made.log_A_re.fill_(np.log(0.5))
        made.A_im.zero_()
        made.log_dt.fill_(np.log(0.2))
        made.C.copy_(torch.tensor([[[1.5, 0.7]]]))
        made.D.fill_(0.25)
        made.a.fill_(3.0)
    s = torch.zeros(1, 4, 1).double()
    s[0, 0, 0] = 1
    decay = np.exp(-0.1)
    expected = 2 * 3.0 * 1.5 * (decay - 1) / -0.5 * decay ** np.arange(4)
    expected[0] += 3.0 * 0.25
    np.testing.assert_allclose(recurrent(made, s)[0, :, 0].detach(), expected, atol=1e-7)


@pytest.mark.parametrize("init", ["s4d_lin", "s4d_inv", "s4d_legs"])
def test_start_values_of_A(init):
    A = initial_A(init, 4).numpy()
    assert A.shape == (4,) and (A.real == -0.5).all() and (A.imag >= 0).all()
    if init == "s4d_lin":
        np.testing.assert_allclose(A.imag, np.pi * np.arange(4))
    if init == "s4d_inv":
        np.testing.assert_allclose(A.imag, 8 / np.pi * np.array([7, 5 / 3, 3 / 5, 1 / 7]))
    if init == "s4d_legs":      # the whole HiPPO-LegS matrix has eigenvalues -1/2 +- i A.imag
        q = np.sqrt(2 * np.arange(8) + 1)
        S = -0.5 * np.eye(8) - 0.5 * (np.tril(np.outer(q, q), -1) - np.triu(np.outer(q, q), 1))
        seen = np.linalg.eigvals(S)
        np.testing.assert_allclose(np.sort(seen.imag[seen.imag > 0]), A.imag, rtol=1e-9)


def long_system(H: int = 3, n: int = 4) -> list[torch.Tensor]:
    """A_bar, g, d in float64: of each neuron one mode hardly decays, one is gone in a step."""
    rng = torch.Generator().manual_seed(3)
    size = torch.rand(H, n, generator=rng, dtype=torch.float64) * 0.3 + 0.7
    size[:, 0], size[:, 1] = 0.9999, 1e-9
    A_bar = torch.polar(size, torch.rand(H, n, generator=rng, dtype=torch.float64) * 6 - 3)
    g = torch.view_as_complex(torch.randn(H, n, 2, generator=rng, dtype=torch.float64))
    return [A_bar, g, torch.randn(H, generator=rng, dtype=torch.float64)]


def stepped(s: torch.Tensor, A_bar, g, d, delay: int) -> torch.Tensor:
    """y of (H, L, B) spikes by the recurrence."""
    h, y = torch.zeros(*A_bar.shape, s.shape[2], dtype=A_bar.dtype), []
    for t in range(s.shape[1]):
        before = h
        h = A_bar[..., None] * h + g[..., None] * s[:, t][:, None]
        y.append(before.real.sum(1) if delay else h.real.sum(1) + d[:, None] * s[:, t])
    return torch.stack(y, 1)


# chunks of C steps, M of them: no group, one, a full one, groups, groups of groups
@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("C, M", [(2, 1), (2, 15), (1, 16), (2, 41), (3, 17), (1, 300)])
def test_groups_of_chunks_are_the_recurrence(C, M, delay, monkeypatch):
    """In float64, values and gradients, whatever the number of chunks."""
    monkeypatch.setattr(ssm_module, "few", lambda M, like: False)
    A_bar, g, d = long_system()
    parts = [x.requires_grad_() for x in (A_bar, g, d)]
    if delay:                                   # the future has no d
        parts[2] = torch.zeros_like(d)
    rng = torch.Generator().manual_seed(4)
    s = (torch.rand(3, C * M, 2, generator=rng) < 0.4).double().requires_grad_()
    weight = torch.randn(3, C * M, 2, generator=rng, dtype=torch.float64)
    x = s.reshape(3, M, C, 2).transpose(1, 2)
    got = ssm_module.chunked_conv(x, *parts, delay).transpose(1, 2).reshape(s.shape)
    wanted = stepped(s, *parts, delay)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)
    for a, b in zip(*(torch.autograd.grad((y * weight).sum(), [s, *parts[:3 - delay]],
                                          allow_unused=True, materialize_grads=True)
                      for y in (got, wanted))):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("M, B", [(1, 2), (2, 1), (41, 3), (300, 1)])
def test_the_scan_is_the_groups(M, B, dtype):
    """States of each chunk and gradients, against float64."""
    A_bar = long_system()[0].detach()
    rng = torch.Generator().manual_seed(5)
    left = torch.randn(12, 2, M, B, generator=rng).to(dtype)
    weight = torch.randn(left.shape, generator=rng).to(dtype)
    found = []
    for number in (torch.float64, dtype):
        x, A = left.to(number).requires_grad_(), A_bar.clone().requires_grad_()
        h = carry.carried(x, A, 5)
        assert h.dtype == number and (h[:, :, 0] == 0).all()
        found.append((h.double(), *torch.autograd.grad((h * weight.to(number)).sum(), [x, A])))
    assert M == 1 or found[0][0].abs().max() > 1
    for a, b in zip(*found):
        size = b.abs().amax().clamp(min=1e-3)
        torch.testing.assert_close(a.to(b.dtype) / size, b / size, rtol=0,
                                   atol=max(1e-5, torch.finfo(dtype).eps))


def test_long_memory_in_bfloat16():
    """16,384 steps of modes with |A_bar| = 0.9999: the error is that of storing bfloat16."""
    A_bar, g, d = long_system(H=2)
    A_bar = torch.polar(torch.full_like(A_bar.real, 0.9999), A_bar.angle() / 100)
    s = (torch.rand(2, 64, 256, 1, generator=torch.Generator().manual_seed(6)) < 0.3).double()
    exact = ssm_module.chunked_conv(s, A_bar, g, d)
    for dtype, allowed in ((torch.float32, 3e-6), (torch.bfloat16, 6e-3)):
        got = ssm_module.chunked_conv(s.to(dtype), A_bar, g, d).double()
        error = (got - exact).square().mean().sqrt() / exact.square().mean().sqrt()
        assert error < allowed, f"{dtype}: relative error {error:.2e}"
