"""The matrices of a convolution in chunks of time, and their gradients, fused on a CPU.

A diagonal system (A_bar, g, d) of H neurons with n modes, a sequence of M chunks of C steps; what
they are for says :func:`golden.model.ssm.chunked_conv`:

* T (H, C, C), lower triangular: a chunk's inputs to its outputs, T[c, c'] = K[c - c'];
* V (H, 2n, C): a chunk's inputs to what they leave in the state, A_bar^(C - 1 - c);
* S (H n, 2M, 2M): what the chunks leave to the states they start from, A_bar^(C (m - m' - 1));
* G (H, C, 2n): the state before a chunk to its outputs, g A_bar^(c + 1).

A complex number is two real rows (of G columns): real part, imaginary part. Their number does not
depend on the batch, so for a batch of 32 they took half of an SSM's time while PyTorch made them.
"""

import numba as nb
import numpy as np
import torch

from golden.kernels import ops
from golden.kernels.fused_cpu import raw
from golden.kernels.cpu import load, store

if ops.GPU:
    from golden.kernels import matrices_gpu


def powers(A_bar: torch.Tensor, count: int) -> torch.Tensor:
    """A_bar ** 0 .. A_bar ** (count - 1) along a new last axis."""
    exponents = torch.arange(count, device=A_bar.device, dtype=A_bar.real.dtype)
    return torch.exp(torch.log(A_bar)[..., None] * exponents)


def plain(A_bar: torch.Tensor, g: torch.Tensor, d: torch.Tensor, C: int, M: int, delay: int,
          dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """T, V, S, G in plain PyTorch, on any device."""
    H, n = A_bar.shape
    P = powers(A_bar, C + 1)                                             # (H, n, C + 1)
    K = (g[..., None] * P[..., :C]).sum(1).real                          # (H, C)
    K = torch.cat([K[:, :1] + d[:, None], K[:, 1:]], dim=1)
    if delay:
        K = torch.cat([torch.zeros_like(K[:, :1]), K[:, :-1]], dim=1)
    lag = torch.arange(C, device=K.device)
    lag = lag[:, None] - lag
    T = torch.cat([K.new_zeros(H, 1), K], dim=1)[:, (lag + 1).clamp(min=0)]
    V = P[..., :C].flip(-1)                                              # (H, n, C)
    V = torch.stack([V.real, V.imag], dim=2).reshape(H, 2 * n, C)
    R = powers(P[..., C], M)                                             # (H, n, M)
    lag = torch.arange(M, device=K.device)
    lag = lag[:, None] - lag - 1
    R = torch.cat([torch.zeros_like(R[..., :1]), R], dim=2)[..., (lag + 1).clamp(min=0)]
    S = torch.cat([torch.cat([R.real, -R.imag], dim=3),
                   torch.cat([R.imag, R.real], dim=3)], dim=2)           # (H, n, 2M, 2M)
    Q = g[..., None] * P[..., 1 - delay:C + 1 - delay]                   # (H, n, C)
    G = torch.stack([Q.real, -Q.imag], dim=2).reshape(H, 2 * n, C).mT
    return T.to(dtype), V.to(dtype), S.reshape(H * n, 2 * M, 2 * M).to(dtype), G.to(dtype)


# One thread: it takes a few milliseconds, two threads would take longer to compile than they save.
@nb.njit(cache=True)
def _fill(A_bar, g, d, C, M, delay, T, V, S, G):
    """Matrices as (rows, columns) arrays whose rows are those of all neurons, one after another."""
    H, n = A_bar.shape
    for i in range(H):
        K = np.zeros(C)
        for k in range(n):
            P = np.complex128(1)
            for c in range(C):
                K[c] += (g[i, k] * P).real
                store(V, (i * n + k) * 2, C - 1 - c, P.real)
                store(V, (i * n + k) * 2 + 1, C - 1 - c, P.imag)
                after = P * A_bar[i, k]
                Q = g[i, k] * (P if delay else after)
                store(G, i * C + c, 2 * k, Q.real)
                store(G, i * C + c, 2 * k + 1, -Q.imag)
                P = after
            step, R, top = P, np.complex128(1), (i * n + k) * 2 * M
            for m in range(2 * M):
                for j in range(2 * M):
                    store(S, top + m, j, 0.0)
            for lag in range(M - 1):
                for j in range(M - 1 - lag):
                    m = j + lag + 1
                    store(S, top + m, j, R.real)
                    store(S, top + m, M + j, -R.imag)
                    store(S, top + M + m, j, R.imag)
                    store(S, top + M + m, M + j, R.real)
                R *= step
        K[0] += d[i]
        for c in range(C):
            for j in range(C):
                lag = c - j - delay
                store(T, i * C + c, j, K[lag] if lag >= 0 else 0.0)


@nb.njit(cache=True)
def _gradient(A_bar, g, C, M, delay, dT, dV, dS, dG, dA_bar, dg, dd):
    """Gradients of the system from those of the matrices, as in :func:`_fill`."""
    H, n = A_bar.shape
    for i in range(H):
        dK = np.zeros(C)
        for c in range(delay, C):
            for lag in range(c - delay + 1):
                dK[lag] += load(dT[i * C + c, c - delay - lag])
        dd[i] = dK[0]
        for k in range(n):
            A, in_g, in_A = A_bar[i, k], np.complex128(0), np.complex128(0)
            P, slope = np.complex128(1), np.complex128(0)       # A^c, c A^(c - 1)
            for c in range(C + 1):
                in_P = np.complex128(0)
                if c < C:
                    in_g += dK[c] * np.conj(P)
                    row = (i * n + k) * 2
                    in_P = dK[c] * np.conj(g[i, k]) + complex(load(dV[row, C - 1 - c]),
                                                              load(dV[row + 1, C - 1 - c]))
                at = c + delay - 1                              # the step whose Q is g A^c
                if 0 <= at < C:
                    in_Q = complex(load(dG[i * C + at, 2 * k]), -load(dG[i * C + at, 2 * k + 1]))
                    in_g += in_Q * np.conj(P)
                    in_P += in_Q * np.conj(g[i, k])
                in_A += in_P * np.conj(slope)
                if c < C:
                    slope, P = P + A * slope, P * A
            R, R_slope = np.complex128(1), np.complex128(0)     # A^(C lag), its slope in A
            top = (i * n + k) * 2 * M
            for lag in range(M - 1):
                in_R = np.complex128(0)
                for j in range(M - 1 - lag):
                    m = top + j + lag + 1
                    in_R += complex(load(dS[m, j]) + load(dS[m + M, j + M]),
                                    load(dS[m + M, j]) - load(dS[m, j + M]))
                in_A += in_R * np.conj(R_slope)
                R_slope, R = R_slope * P + R * slope, R * P
            dA_bar[i, k], dg[i, k] = in_A, in_g


def _rows(x: torch.Tensor) -> np.ndarray:
    return raw(x.contiguous().flatten(0, 1))


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx, A_bar, g, d, C, M, delay, dtype):
        H, n = A_bar.shape
        made = [torch.empty(shape, dtype=dtype) for shape in (
            (H, C, C), (H, 2 * n, C), (H * n, 2 * M, 2 * M), (H, C, 2 * n))]
        ctx.system = [x.detach().to(torch.complex128).numpy() for x in (A_bar, g)]
        _fill(*ctx.system, d.detach().double().numpy(), C, M, delay, *map(_rows, made))
        ctx.shape, ctx.types = (C, M, delay), (A_bar.dtype, g.dtype, d.dtype)
        return tuple(made)

    @staticmethod
    def backward(ctx, *grads):
        A_bar, g = ctx.system
        found = [np.empty_like(A_bar), np.empty_like(g), np.empty(len(g))]
        _gradient(A_bar, g, *ctx.shape, *map(_rows, grads), *found)
        return (*(torch.from_numpy(x).to(t) for x, t in zip(found, ctx.types)), *[None] * 4)


def chunk_matrices(A_bar: torch.Tensor, g: torch.Tensor, d: torch.Tensor, C: int, M: int,
                   delay: int, like: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(T, V, S, G) in the dtype of ``like``, differentiable in A_bar, g and d.

    Fused for float32 and bfloat16: on a CPU computed in float64 and rounded once, on a GPU (where
    Triton is installed) in float32.

    (A_bar (H, n), g (H, n), d (H,)) is the system of ``golden.model.ssm``, C and M are the steps of
    a chunk and the chunks; ``delay`` 1 starts the kernel one step later.
    """
    made = plain
    if ops.fusable(like):
        made = matrices_gpu.matrices if like.is_cuda else _Fused.apply
    return made(A_bar, g, d, C, M, delay, like.dtype)
