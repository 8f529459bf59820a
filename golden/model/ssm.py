"""Diagonal state space model with one binary input and one output per neuron.

Only the product C B_bar matters for one input and one output, so it is kept on the input side:

    h[t] = A_bar h[t-1] + g s[t],   y[t] = sum_k Re h_k[t] + d s[t],   g = 2 a C B_bar, d = a D

with A_bar = exp(dt A), B_bar = (A_bar - 1) / A (zero-order hold, B = 1) and ``a`` the output scale
of the sampler that follows. There is no reset, hence y is a convolution of s with the kernel
K[j] = sum_k Re(g_k A_bar_k^j) + d [j = 0], computed here in chunks of time by matrix products only.
"""

import math

import torch
from torch import nn

from golden.kernels.carry import carried, few
from golden.kernels.chunk_matrices import chunk_matrices, powers
from golden.model.config import NetworkConfig
from golden.model.ops import States, start_log_dt


def initial_A(init: str, n: int) -> torch.Tensor:
    """Start values of A, complex (n,), named as in S4D (Gu et al., 2022, section 4)."""
    k = torch.arange(n, dtype=torch.float64)
    if init == "s4d_lin":
        return torch.complex(torch.full_like(k, -0.5), math.pi * k)
    if init == "s4d_inv":
        return torch.complex(torch.full_like(k, -0.5),
                             2 * n / math.pi * (2 * n / (2 * k + 1) - 1))
    # s4d_legs: the normal part of HiPPO-LegS, one eigenvalue of each conjugate pair
    q = torch.sqrt(2 * torch.arange(2 * n, dtype=torch.float64) + 1)
    S = torch.tril(q[:, None] * q, -1)
    eig = torch.linalg.eigvals(-0.5 * (S - S.T))
    imag = eig.imag[eig.imag > 0].sort().values
    return torch.complex(torch.full_like(imag, -0.5), imag)


def kernel(A_bar: torch.Tensor, g: torch.Tensor, d: torch.Tensor, L: int) -> torch.Tensor:
    """Convolution kernel K (H, L) of the recurrence."""
    K = (g[..., None] * powers(A_bar, L)).sum(1).real
    return torch.cat([K[:, :1] + d[:, None], K[:, 1:]], dim=1)


def chunked_conv(s: torch.Tensor, A_bar: torch.Tensor, g: torch.Tensor, d: torch.Tensor,
                 delay: int = 0) -> torch.Tensor:
    """y = K * s on a sequence cut into M chunks of C steps, exact; (H, C, M, B) in the dtype of s.

    Step t = m C + c of s (H, C, M, B) is at [:, c, m]; (A_bar (H, n), g (H, n), d (H,)) is the
    discrete system of the module's text. ``delay`` 1 starts the kernel one step later: the
    anti-causal half of a two-sided kernel.

    Inside a chunk it is a Toeplitz product, between chunks the state: ``T @ s + G @ S(V @ s)``.
    Memory grows with the number of steps, see ``golden.kernels.carry``.
    """
    H, C, M, B = s.shape
    n = A_bar.shape[1]
    dense = few(M, s)
    T, V, S, G = chunk_matrices(A_bar, g, d, C, M if dense else 1, delay, s)
    x = s.reshape(H, C, M * B)
    y = torch.bmm(T, x)
    if M > 1:
        left = torch.bmm(V, x)
        if dense:
            h = torch.bmm(S, left.reshape(H * n, 2 * M, B))
        else:
            h = carried(left.view(H * n, 2, M, B), A_bar, C)
        y = torch.baddbmm(y, G, h.reshape(H, 2 * n, M * B))
    return y.reshape(H, C, M, B)


class DiagonalSSM(States):
    """H neurons, each with n complex modes.

    ``scaled`` false leaves the output scale ``a`` out, for a block that has its own.
    """

    def __init__(self, cfg: NetworkConfig, scaled: bool = True):
        super().__init__()
        H, n = cfg.d_model, cfg.n_modes
        rows = 1 if cfg.shared_A else H
        A = initial_A(cfg.init, n).to(torch.complex64)
        self.log_A_re = nn.Parameter(torch.log(-A.real).expand(rows, n).clone())
        self.A_im = nn.Parameter(A.imag.expand(rows, n).clone())
        self.log_dt = nn.Parameter(start_log_dt(cfg))
        self.C = nn.Parameter(torch.randn(H, n, 2) / math.sqrt(2))
        self.D = nn.Parameter(torch.zeros(H))
        self.a = nn.Parameter(torch.ones(H)) if scaled else None
        self.two_sided = cfg.kernel == "two_sided"
        if self.two_sided:
            self.C_future = nn.Parameter(torch.randn(H, n, 2) / math.sqrt(2))

    def discrete(self, future: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(A_bar, g, d): (H, n) complex, (H, n) complex, (H,)."""
        A = torch.complex(-torch.exp(self.log_A_re), self.A_im)
        A_bar = torch.exp(torch.exp(self.log_dt)[:, None] * A)
        C = torch.view_as_complex((self.C_future if future else self.C).contiguous())
        a = torch.ones_like(self.D) if self.a is None else self.a
        g = 2 * a[:, None] * C * (A_bar - 1) / A
        return A_bar, g, torch.zeros_like(self.D) if future else a * self.D

    def convolve(self, s: torch.Tensor) -> torch.Tensor:
        """Convolution form on (H, C, M, B)."""
        y = chunked_conv(s, *self.discrete())
        if self.two_sided:
            future = chunked_conv(s.flip(1, 2), *self.discrete(future=True), delay=1)
            y = y + future.flip(1, 2)
        return y
