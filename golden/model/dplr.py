"""S4's state space model with one input and one output per neuron, as the released code has it.

The state matrix is diagonal plus rank one, A = diag(L) - P P*, of N = 2n complex dimensions in
conjugate pairs, of which one each is stored (Gu et al., "Efficiently Modeling Long Sequences with
Structured State Spaces", 2022). The bilinear rule makes it discrete,

    A_bar = (I - dt/2 A)^-1 (I + dt/2 A),   B_bar = (I - dt/2 A)^-1 dt B,
    h[t] = A_bar h[t-1] + B_bar s[t],       y[t] = C h[t] + D s[t],

and what is learnt is C~ = C (I - A_bar^length): the kernel of the first ``length`` steps is then
an inverse Fourier transform of C~ (I - w A_bar)^-1 B_bar at the roots of unity w, which Woodbury's
identity makes four sums over n instead of a matrix inverse. A two-sided kernel has a second C for
the future; A, B, P and dt are the same.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from golden.model.config import NetworkConfig
from golden.model.ops import States, start_log_dt


class Dense(NamedTuple):
    """The recurrence of H neurons, complex128; output ``y = Re(C h) + D s``, h after the update."""

    A_bar: torch.Tensor     # (H, N, N)
    B_bar: torch.Tensor     # (H, N)
    C: torch.Tensor         # (H, N), not folded
    D: torch.Tensor         # (H,) float64


def hippo_legs(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(L, P, B) of HiPPO-LegS with 2n states, one of each conjugate pair, complex128 (n,).

    A + P P^T is normal with real part -1/2 (S4, appendix C.1.3); its eigenvectors are the basis.
    The released code clips the imaginary part of B at 2, in the phases that LAPACK gives.
    """
    i = torch.arange(2 * n, dtype=torch.float64)
    q = torch.sqrt(2 * i + 1)
    skew = -0.5 * torch.tril(torch.outer(q, q), -1)
    values, V = torch.linalg.eigh(1j * (skew - skew.T))     # i times the skew part: Hermitian
    half = values > 0                                       # eigenvalue -1/2 - i values
    V_inverse = V[:, half].mH.resolve_conj()
    L = torch.complex(torch.full((n,), -0.5, dtype=torch.float64), -values[half])
    P, B = V_inverse @ (q / math.sqrt(2)).to(V.dtype), V_inverse @ q.to(V.dtype)
    return L, P, torch.complex(B.real, B.imag.clamp(-2, 2))


def _real(z: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(z.resolve_conj())


def _complex(pair: torch.Tensor) -> torch.Tensor:
    """(..., 2) parameters as complex128."""
    return torch.view_as_complex(pair.double().contiguous())


def both(z: torch.Tensor) -> torch.Tensor:
    """The stored half and its conjugates, (..., n) to (..., N)."""
    return torch.cat([z, z.conj()], dim=-1)


class DPLR(States):
    """H neurons, each with N = 2n states; parameters and both ways to run them.

    Parameters are named and shaped like those of the released code, one row of A, B and P for the
    whole block or one per neuron. ``a`` is the output scale of the sampler that follows, as in
    ``golden.model.ssm``; None where the block scales by itself (``scaled`` false).
    """

    def __init__(self, cfg: NetworkConfig, scaled: bool = True):
        super().__init__()
        H, n = cfg.d_model, cfg.n_modes
        rows = 1 if cfg.shared_A else H
        L, P, B = hippo_legs(n)
        dtype = torch.get_default_dtype()

        def start(values):
            return nn.Parameter(values.to(dtype).expand(rows, *values.shape).clone())

        self.log_A_re = start(torch.log(-L.real))
        self.A_im = start(-L.imag)                          # positive: A = -exp(re) - i im
        self.B, self.P = start(_real(B)), start(_real(P))
        dt = torch.exp(start_log_dt(cfg))
        self.inv_dt = nn.Parameter(torch.log(torch.expm1(dt)))      # dt = softplus(inv_dt)
        self.C = nn.Parameter(torch.randn(H, n, 2) / math.sqrt(2))
        self.D = nn.Parameter(torch.randn(H))
        self.a = nn.Parameter(torch.ones(H)) if scaled else None
        self.two_sided = cfg.kernel == "two_sided"
        if self.two_sided:
            self.C_future = nn.Parameter(torch.randn(H, n, 2) / math.sqrt(2))
        self.register_buffer("length", torch.tensor(0))     # that C is folded for; 0: it is not

    def eigenvalues(self) -> torch.Tensor:
        """The diagonal part L, complex128 (rows, n)."""
        return torch.complex(-torch.exp(self.log_A_re.double()), -self.A_im.double())

    def dt(self) -> torch.Tensor:
        return F.softplus(self.inv_dt.double())

    def discrete(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(A_bar (H, N, N), B_bar (H, N)) complex128."""
        L, P, B = both(self.eigenvalues()), both(_complex(self.P)), both(_complex(self.B))
        A = torch.diag_embed(L) - P[:, :, None] * P[:, None].conj()
        eye = torch.eye(A.shape[1], dtype=A.dtype, device=A.device)
        half = self.dt()[:, None, None] / 2 * A
        dt_B = self.dt()[:, None] * B
        solved = torch.linalg.solve(eye - half, torch.cat([eye + half, dt_B[..., None]], dim=2))
        return solved[..., :-1], solved[..., -1]

    def unfolded(self, future: bool = False) -> torch.Tensor:
        """C of one side, (H, N) complex128, from C~ = C (I - A_bar^length)."""
        C = both(_complex(self.C_future if future else self.C))
        if not int(self.length):
            return C
        A_bar, _ = self.discrete()
        eye = torch.eye(C.shape[1], dtype=C.dtype, device=C.device)
        return torch.linalg.solve((eye - torch.linalg.matrix_power(A_bar, int(self.length))).mT, C)

    def dense(self, future: bool = False) -> Dense:
        """The recurrence; ``future`` for the anti-causal half, which starts one step later.

        Raises ``torch.linalg.LinAlgError`` where C cannot be un-folded.
        """
        A_bar, B_bar = self.discrete()
        D = torch.zeros_like(self.D) if future else self.D
        a = torch.ones_like(D) if self.a is None else self.a
        return Dense(A_bar, B_bar, a.double()[:, None] * self.unfolded(future),
                     a.double() * D.double())

    def _advance(self, C: torch.Tensor, steps: int) -> torch.Tensor:
        """C A_bar^steps, (H, N); A_bar = 2 (I - dt/2 A)^-1 - I, the inverse by Woodbury."""
        L, P = both(self.eigenvalues()), both(_complex(self.P))
        half = self.dt()[:, None] / 2
        E = 1 / (1 - half * L)
        left = half * P.conj() * E
        left = left / (1 + (left * P).sum(1, keepdim=True))
        for _ in range(steps):
            w = C * E
            C = 2 * (w - (w * P).sum(1, keepdim=True) * left) - C
        return C

    @torch.no_grad()
    def fold(self, length: int) -> None:
        """Fold C for a kernel of ``length`` steps; the function stays the same.

        Raises ``torch.linalg.LinAlgError`` where an earlier folding cannot be undone.
        """
        if length == int(self.length):
            return
        for future, own in enumerate(self.sides()):
            C = self.unfolded(bool(future))
            if length:
                C = C - self._advance(C, length)
            own.copy_(_real(C[:, :own.shape[1]]))
        self.length.fill_(length)

    def kernels(self, steps: int) -> torch.Tensor:
        """Convolution kernels of all sides, float64 (sides, H, steps), without a and D.

        A network that has not yet seen so long a sequence folds C for it first, doubling the
        length that it is folded for.
        """
        length = int(self.length)
        if length < steps:
            self.fold(length << math.ceil(math.log2(steps / length)) if length else steps)
        return _Kernel.apply(int(self.length), self.eigenvalues(), self.dt(), _complex(self.B),
                             _complex(self.P), *map(_complex, self.sides()))[..., :steps]

    def convolve(self, s: torch.Tensor) -> torch.Tensor:
        """Convolution form on (H, C, M, B), step t = m C + c at [:, c, m]."""
        H, C, M, B = s.shape
        L = C * M
        dtype = torch.float64 if s.dtype == torch.float64 else torch.float32
        K = self.kernels(L)
        a = torch.ones_like(self.D) if self.a is None else self.a
        whole = F.pad(K[0], (0, L))
        if self.two_sided:                  # lag -1 - i at the end: the transform is circular
            whole = whole + F.pad(K[1][:, :L - 1].flip(-1), (L + 1, 0))
        whole = a.double()[:, None] * torch.cat([whole[:, :1] + self.D.double()[:, None],
                                                 whole[:, 1:]], dim=1)
        x = s.transpose(1, 2).reshape(H, L, B).to(dtype)
        spectrum = torch.fft.rfft(whole.to(dtype), n=2 * L)
        y = torch.fft.irfft(torch.fft.rfft(x, n=2 * L, dim=1) * spectrum[..., None], n=2 * L,
                            dim=1)[:, :L]
        return y.reshape(H, M, C, B).transpose(1, 2).to(s.dtype)

    def recurrent(self, s: torch.Tensor) -> torch.Tensor:
        """Dense recurrent form on (H, L, B), step by step; the anti-causal half runs backwards."""
        def run(steps, dense, delay):
            h = torch.zeros(*dense.B_bar.shape, s.shape[2], dtype=dense.C.dtype, device=s.device)
            y = torch.empty_like(s)
            for t in steps:
                if delay:
                    y[:, t] = (dense.C[:, None] @ h).real[:, 0]
                h = dense.A_bar @ h + dense.B_bar[..., None] * s[:, t][:, None]
                if not delay:
                    y[:, t] = (dense.C[:, None] @ h).real[:, 0] + dense.D[:, None] * s[:, t]
            return y

        y = run(range(s.shape[1]), self.dense(), delay=0)
        if self.two_sided:
            y = y + run(range(s.shape[1] - 1, -1, -1), self.dense(future=True), delay=1)
        return y


def generate(length: int, L: torch.Tensor, dt: torch.Tensor, B: torch.Tensor, P: torch.Tensor,
             *C: torch.Tensor) -> torch.Tensor:
    """Kernels of ``length`` steps (sides, H, length) from folded C, the S4 algorithm.

    With w = exp(-i theta), c and s the cosine and sine of theta / 2 and r_k = 1 / (2 i s / dt -
    c L_k), the generating function is ``exp(i theta / 2) (S(C B) - c S(C P) S(P* B) / (1 + c
    S(P* P)))`` where S(v) = sum_k v_k r_k over all N states. In this form nothing is singular at
    theta = pi. A conjugate pair's part is a fraction of real coefficients, so the four sums are
    one real matrix product with the inverse denominators.
    """
    theta = 2 * math.pi / length * torch.arange(length // 2 + 1, dtype=dt.dtype, device=dt.device)
    c, s = torch.cos(theta / 2), torch.sin(theta / 2)
    H, n = C[0].shape
    sigma = (2 / dt)[:, None] * s                                                   # (H, F)
    cL = c * L.imag[..., None]                                                      # (rows, n, F)
    # |L|^2 c^2 - sigma^2 as differences and products, which cancel less
    real = (c * L.real[..., None]) ** 2 + (cL - sigma[:, None]) * (cL + sigma[:, None])
    imag = -2 * sigma[:, None] * (c * L.real[..., None])
    size = real.square() + imag.square()
    inverse = torch.cat([real / size, -imag / size], dim=2)                         # (H, n, 2F)
    v = torch.stack([Ck * B for Ck in C] + [Ck * P for Ck in C]
                    + [(P.conj() * B).expand(H, n), (P.conj() * P).expand(H, n)], dim=1)
    coefficients = torch.cat([2 * v.real, 2 * (v * L.conj()[:, None]).real], dim=1)  # (H, 2J, n)
    sums = torch.bmm(coefficients, inverse)
    x, y = torch.complex(*sums.chunk(2, dim=2)).chunk(2, dim=1)                     # (H, J, F)
    S = 1j * sigma[:, None] * x - c * y
    sides = len(C)
    CB, CP, QB, QP = S[:, :sides], S[:, sides:2 * sides], S[:, -2:-1], S[:, -1:]
    spectrum = torch.polar(torch.ones_like(c), theta / 2) * (CB - c * CP * QB / (1 + c * QP))
    return torch.fft.irfft(spectrum, n=length).transpose(0, 1)


class _Kernel(torch.autograd.Function):
    """:func:`generate`, whose (H, n, length) intermediates are made again for the gradient."""

    @staticmethod
    def forward(ctx, length, *args):
        ctx.length = length
        ctx.save_for_backward(*args)
        return generate(length, *args)

    @staticmethod
    def backward(ctx, dK):
        with torch.enable_grad():
            args = [arg.detach().requires_grad_() for arg in ctx.saved_tensors]
            K = generate(ctx.length, *args)
        return None, *torch.autograd.grad(K, args, dK)


def modes(dense: Dense) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Independent modes of a dense recurrence: (A_bar, g, condition), (H, N), (H, N) and (H,).

    ``y = sum_k Re(h_k) + D s`` with ``h <- A_bar h + g s``; conjugate pairs are both there.
    ``condition`` is that of the eigenvectors: rounding errors of the dense form are amplified by
    it, and infinite means that the neuron's matrix does not diagonalise.
    """
    A_bar, B_bar, C = (t.detach().cpu().numpy() for t in dense[:3])
    values, V = np.linalg.eig(A_bar)
    condition = np.array([np.linalg.cond(v) for v in V])
    condition[~np.isfinite(condition) | (condition > 1 / np.finfo(float).eps)] = np.inf
    g = np.zeros_like(B_bar)
    sound = np.isfinite(condition)
    g[sound] = (np.linalg.solve(V[sound], B_bar[sound, :, None])[..., 0]
                * (C[sound, None] @ V[sound])[:, 0])
    return values, g, condition
