"""The DPLR model: its convolution is the dense recurrence, whatever C is folded for."""

import itertools

import numpy as np
import pytest
import torch

from golden.model.config import PaperConfig
from golden.model.dplr import DPLR, Dense, hippo_legs, modes

H, B = 3, 2


def dplr(d_state: int = 8, perturb: float = 0.0, **options) -> DPLR:
    torch.manual_seed(11)
    made = DPLR(PaperConfig(n_classes=2, d_model=H, d_state=d_state, init="hippo_legs",
                            **options)).double()
    with torch.no_grad():
        made.a.uniform_(0.2, 2.0)
        for p in made.parameters():
            p += perturb * torch.randn_like(p)
    return made


def spikes(L: int) -> torch.Tensor:
    """(H, L, B) bits; the first step and the last are 1 somewhere."""
    s = (torch.rand(H, L, B, generator=torch.Generator().manual_seed(L)) < 0.4).double()
    s[0, 0] = s[1, -1] = 1
    return s


def chunked(made: DPLR, s: torch.Tensor, C: int) -> torch.Tensor:
    """The convolution form with the sequence padded and cut into chunks of C steps."""
    L = s.shape[1]
    M = -(-L // C)
    padded = torch.nn.functional.pad(s, (0, 0, 0, C * M - L))
    y = made.convolve(padded.reshape(H, M, C, B).transpose(1, 2).contiguous())
    return y.transpose(1, 2).reshape(H, C * M, B)[:, :L]


@pytest.mark.parametrize("shared_A", [False, True], ids=["per-neuron", "shared"])
@pytest.mark.parametrize("side", ["causal", "two_sided"])
@pytest.mark.parametrize("d_state, L", [(2, 1), (2, 9), (8, 2), (8, 50), (16, 131), (64, 33)])
def test_convolution_is_recurrence(d_state, L, side, shared_A):
    made, s = dplr(d_state, 0.05, kernel=side, shared_A=shared_A), spikes(L)
    with torch.no_grad():
        expected = made.recurrent(s)
        assert expected.abs().max() > 0.1
        for part in (-(-L // 3), L):                  # C is folded for longer and longer kernels
            short = s[:, :part]
            wanted = made.recurrent(short)
            for C in (part, -(-part // 3)):
                torch.testing.assert_close(chunked(made, short, C), wanted, rtol=0, atol=1e-9)
            assert int(made.length) >= part
        torch.testing.assert_close(wanted, expected, rtol=0, atol=1e-9)


def test_kernel_is_powers_of_the_dense_system():
    """K[t] = 2 Re of half of C A_bar^t B_bar, with everything written out in NumPy."""
    made = dplr(6, 0.1, kernel="two_sided")
    made.fold(20)
    kernels = made.kernels(13).detach().numpy()
    pairs = {name: getattr(made, name).detach().numpy() for name in ("B", "P")}
    L = -np.exp(made.log_A_re.detach().numpy()) - 1j * made.A_im.detach().numpy()
    dt = np.log1p(np.exp(made.inv_dt.detach().numpy()))
    for side, h in itertools.product(range(2), range(H)):
        b, p, c = (np.concatenate([z, z.conj()]) for z in (
            x[..., 0] + 1j * x[..., 1] for x in (pairs["B"][h], pairs["P"][h],
                                                 made.sides()[side][h].detach().numpy())))
        A = np.diag(np.concatenate([L[h], L[h].conj()])) - np.outer(p, p.conj())
        inverse = np.linalg.inv(np.eye(6) - dt[h] / 2 * A)
        A_bar, B_bar = inverse @ (np.eye(6) + dt[h] / 2 * A), inverse @ (dt[h] * b)
        c = c @ np.linalg.inv(np.eye(6) - np.linalg.matrix_power(A_bar, 20))
        expected = [c @ np.linalg.matrix_power(A_bar, t) @ B_bar for t in range(13)]
        np.testing.assert_allclose(kernels[side, h], np.real(expected), rtol=0, atol=1e-12)
        np.testing.assert_allclose(np.imag(expected), 0, atol=1e-12)


def test_folding_there_and_back():
    made = dplr(8, 0.1)
    before = made.C.detach().clone()
    for length in (7, 30, 5, 0):
        made.fold(length)
        assert int(made.length) == length
        assert (length == 0) == torch.allclose(made.C, before, rtol=0, atol=1e-9)


def test_gradients_are_those_of_the_recurrence():
    made, s = dplr(4, 0.1, kernel="two_sided"), spikes(12)
    weight = torch.randn(H, 12, B, generator=torch.Generator().manual_seed(0)).double()
    made.fold(15)
    gradients = []
    for form in (lambda: chunked(made, s, 12), lambda: made.recurrent(s)):
        made.zero_grad()
        (form() * weight).sum().backward()
        gradients.append({name: p.grad.clone() for name, p in made.named_parameters()})
    assert set(gradients[0]) == {"log_A_re", "A_im", "B", "P", "inv_dt", "C", "C_future", "D", "a"}
    for name, gradient in gradients[0].items():
        assert gradient.abs().max() > 1e-6, name
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-7, atol=1e-9)


def test_float32_network_has_a_float64_kernel():
    made = dplr(16, 0.05, kernel="two_sided").float()
    s = spikes(200).float()
    with torch.no_grad():
        y = made.convolve(s[:, :, None]).squeeze(2)
        expected = made.double().recurrent(s.double())
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_start_is_hippo_legs(n):
    """HiPPO-LegS is triangular with -1, -2, ... on its diagonal."""
    L, P, B = hippo_legs(n)
    L, P = (torch.cat([z, z.conj()]) for z in (L, P))
    eigenvalues = np.linalg.eigvals((torch.diag(L) - torch.outer(P, P.conj())).numpy())
    np.testing.assert_allclose(np.sort(-eigenvalues.real), np.arange(1, 2 * n + 1), rtol=1e-6)
    np.testing.assert_allclose(eigenvalues.imag, 0, atol=1e-4)
    assert (L.real == -0.5).all() and (B.imag.abs() <= 2).all() and len(B) == n
    clipped = B.imag.abs() == 2
    ratio = (B / P[:n])[~clipped]             # both are sqrt(2 i + 1) in the same basis
    np.testing.assert_allclose(ratio, np.sqrt(2), rtol=1e-9)


def test_dt_starts_in_its_range():
    torch.manual_seed(0)
    made = DPLR(PaperConfig(n_classes=2, d_model=500, d_state=2, init="hippo_legs", dt_min=0.02,
                            dt_max=0.3))
    dt = made.dt().detach()
    assert 0.0199 < dt.min() < 0.022 and 0.27 < dt.max() < 0.301


def test_modes_are_the_dense_system():
    made = dplr(6, 0.2)
    dense = made.dense()
    A_bar, g, condition = modes(dense)
    assert A_bar.shape == g.shape == (H, 6) and (np.abs(A_bar) < 1).all()
    assert (condition >= 1).all() and (condition < 1e4).all()
    with torch.no_grad():
        for t in (0, 1, 10):
            expected = (dense.C[:, None] @ torch.linalg.matrix_power(dense.A_bar, t)
                        @ dense.B_bar[..., None])[:, 0, 0].real
            np.testing.assert_allclose((A_bar ** t * g).sum(1).real, expected, rtol=0, atol=1e-9)


def test_a_system_that_does_not_diagonalise_is_said():
    defective = torch.tensor([[[0.5, 1.0], [0.0, 0.5]], [[0.5, 0.0], [0.0, 0.4]]],
                             dtype=torch.complex128)
    ones = torch.ones(2, 2, dtype=torch.complex128)
    _, g, condition = modes(Dense(defective, ones, ones, torch.zeros(2)))
    assert np.isinf(condition[0]) and (g[0] == 0).all()
    assert condition[1] == 1
    np.testing.assert_allclose(np.sort(g[1]), [1, 1])
