"""The matrices of ``golden.kernels.chunk_matrices`` and their gradients on a GPU, in Triton.

A power A_bar^e is exp(e log A_bar), hence the system is given by log A_bar and the gradient is that
of log A_bar. One program per neuron makes K and T, one per mode V, S and G; the gradient has one
program per mode.
"""

import torch
import triton
import triton.language as tl


@triton.jit
def _power(log_re, log_im, exponent):
    size, angle = tl.exp(exponent * log_re), exponent * log_im
    return size * tl.cos(angle), size * tl.sin(angle)


@triton.jit
def _kernel(log_A, g, d, K, C, n, CP: tl.constexpr):
    """K (H, C) of one neuron."""
    i, e = tl.program_id(0), tl.arange(0, CP)
    total = tl.where(e == 0, tl.load(d + i), 0.0)
    for k in range(n):
        at = (i * n + k) * 2
        re, im = _power(tl.load(log_A + at), tl.load(log_A + at + 1), e.to(tl.float32))
        total += tl.load(g + at) * re - tl.load(g + at + 1) * im
    tl.store(K + i * C + e, total, mask=e < C)


@triton.jit
def _within(K, T, C, delay, CP: tl.constexpr):
    """T of one neuron: T[c, j] = K[c - j - delay]."""
    i = tl.program_id(0)
    c, j = tl.arange(0, CP)[:, None], tl.arange(0, CP)[None, :]
    lag = c - j - delay
    value = tl.load(K + i * C + lag, mask=(lag >= 0) & (c < C), other=0.0)
    tl.store(T + i * C * C + c * C + j, value, mask=(c < C) & (j < C))


@triton.jit
def _between(log_A, g, V, S, G, C, M, n, delay, CP: tl.constexpr, MP: tl.constexpr):
    """V, S and G of one mode."""
    mode = tl.program_id(0)
    i, k, at = mode // n, mode % n, mode * 2
    log_re, log_im = tl.load(log_A + at), tl.load(log_A + at + 1)
    g_re, g_im = tl.load(g + at), tl.load(g + at + 1)
    c = tl.arange(0, CP)
    re, im = _power(log_re, log_im, (C - 1 - c).to(tl.float32))
    tl.store(V + at * C + c, re, mask=c < C)
    tl.store(V + (at + 1) * C + c, im, mask=c < C)
    re, im = _power(log_re, log_im, (c + 1 - delay).to(tl.float32))
    column = G + (i * C + c) * 2 * n + 2 * k
    tl.store(column, g_re * re - g_im * im, mask=c < C)
    tl.store(column + 1, -(g_re * im + g_im * re), mask=c < C)
    m, j = tl.arange(0, MP)[:, None], tl.arange(0, MP)[None, :]
    lag = m - j - 1
    re, im = _power(log_re, log_im, (C * tl.maximum(lag, 0)).to(tl.float32))
    re, im = tl.where(lag >= 0, re, 0.0), tl.where(lag >= 0, im, 0.0)
    inside = (m < M) & (j < M)
    top = S + mode * 4 * M * M + m * 2 * M + j
    tl.store(top, re, mask=inside)
    tl.store(top + M, -im, mask=inside)
    tl.store(top + 2 * M * M, im, mask=inside)
    tl.store(top + 2 * M * M + M, re, mask=inside)


@triton.jit
def _gradient(log_A, g, dT, dV, dS, dG, dlog_A, dg, dd, C, M, n, delay, CP: tl.constexpr,
              MP: tl.constexpr):
    mode = tl.program_id(0)
    i, k, at = mode // n, mode % n, mode * 2
    log_re, log_im = tl.load(log_A + at), tl.load(log_A + at + 1)
    g_re, g_im = tl.load(g + at), tl.load(g + at + 1)
    lag, j = tl.arange(0, CP)[:, None], tl.arange(0, CP)[None, :]
    dK = tl.sum(tl.load(dT + (i * C + lag + j + delay) * C + j, mask=lag + j + delay < C,
                        other=0.0).to(tl.float32), axis=1)
    e = tl.arange(0, CP)
    if k == 0:
        tl.store(dd + i, tl.sum(tl.where(e == 0, dK, 0.0)))
    # through K and V: A_bar^e
    re, im = _power(log_re, log_im, e.to(tl.float32))
    row = dV + at * C + C - 1 - e
    v_re = tl.load(row, mask=e < C, other=0.0).to(tl.float32) + dK * g_re
    v_im = tl.load(row + C, mask=e < C, other=0.0).to(tl.float32) - dK * g_im
    a_re = tl.sum(e * (v_re * re + v_im * im))
    a_im = tl.sum(e * (v_im * re - v_re * im))
    in_re, in_im = tl.sum(dK * re), -tl.sum(dK * im)
    # through G: g A_bar^(e + 1 - delay)
    power = (e + 1 - delay).to(tl.float32)
    re, im = _power(log_re, log_im, power)
    column = dG + (i * C + e) * 2 * n + 2 * k
    q_re = tl.load(column, mask=e < C, other=0.0).to(tl.float32)
    q_im = -tl.load(column + 1, mask=e < C, other=0.0).to(tl.float32)
    w_re, w_im = q_re * re + q_im * im, q_im * re - q_re * im            # dQ conj(A_bar^...)
    in_re += tl.sum(w_re)
    in_im += tl.sum(w_im)
    a_re += tl.sum(power * (w_re * g_re + w_im * g_im))
    a_im += tl.sum(power * (w_im * g_re - w_re * g_im))
    # through S: A_bar^(C lag)
    lag, j = tl.arange(0, MP)[:, None], tl.arange(0, MP)[None, :]
    inside = lag + j + 1 < M
    top = dS + mode * 4 * M * M + (lag + j + 1) * 2 * M + j
    r_re = tl.sum(tl.load(top, mask=inside, other=0.0).to(tl.float32)
                  + tl.load(top + 2 * M * M + M, mask=inside, other=0.0).to(tl.float32), axis=1)
    r_im = tl.sum(tl.load(top + 2 * M * M, mask=inside, other=0.0).to(tl.float32)
                  - tl.load(top + M, mask=inside, other=0.0).to(tl.float32), axis=1)
    power = (C * tl.arange(0, MP)).to(tl.float32)
    re, im = _power(log_re, log_im, power)
    a_re += tl.sum(power * (r_re * re + r_im * im))
    a_im += tl.sum(power * (r_im * re - r_re * im))
    tl.store(dlog_A + at, a_re)
    tl.store(dlog_A + at + 1, a_im)
    tl.store(dg + at, in_re)
    tl.store(dg + at + 1, in_im)


def _real(x: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(x.detach().resolve_conj()).contiguous().float()


class _Matrices(torch.autograd.Function):
    @staticmethod
    def forward(ctx, log_A, g, d, C, M, delay, dtype):
        H, n = log_A.shape
        T, V, S, G = (torch.empty(shape, dtype=dtype, device=d.device) for shape in (
            (H, C, C), (H, 2 * n, C), (H * n, 2 * M, 2 * M), (H, C, 2 * n)))
        system = _real(log_A), _real(g)
        CP, K = triton.next_power_of_2(C), torch.empty(H, C, device=d.device)
        _kernel[H,](*system, d.detach().float(), K, C, n, CP=CP, num_warps=2)
        _within[H,](K, T, C, delay, CP=CP, num_warps=8)
        _between[H * n,](*system, V, S, G, C, M, n, delay, CP=CP, MP=triton.next_power_of_2(M),
                         num_warps=4)
        ctx.save_for_backward(*system)
        ctx.shape, ctx.types = (H, C, M, n, delay), (log_A.dtype, g.dtype, d.dtype)
        return T, V, S, G

    @staticmethod
    def backward(ctx, *grads):
        log_A, g = ctx.saved_tensors
        H, C, M, n, delay = ctx.shape
        dlog_A, dg = torch.empty_like(log_A), torch.empty_like(g)
        dd = torch.empty(H, device=g.device)
        _gradient[H * n,](log_A, g, *(x.contiguous() for x in grads), dlog_A, dg, dd, C, M, n,
                          delay, CP=triton.next_power_of_2(C), MP=triton.next_power_of_2(M),
                          num_warps=4)
        found = torch.view_as_complex(dlog_A), torch.view_as_complex(dg), dd
        return (*(x.to(t) for x, t in zip(found, ctx.types)), *[None] * 4)


def matrices(A_bar: torch.Tensor, g: torch.Tensor, d: torch.Tensor, C: int, M: int, delay: int,
             dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """(T, V, S, G) as ``golden.kernels.chunk_matrices.chunk_matrices``, computed in float32."""
    return _Matrices.apply(torch.log(A_bar), g, d, C, M, delay, dtype)
