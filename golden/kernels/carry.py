"""States carried over many chunks of time: memory and work that grow with the number of chunks.

What the chunks of ``golden.model.ssm.chunked_conv`` leave becomes the states that they start from,

    h[m + 1] = A h[m] + left[m],   h[0] = 0,   A = A_bar^C.

One matrix over all chunks grows with their square, so it is for :func:`few`. For more there are two
forms: on a CPU in float32 or bfloat16 a scan over the chunks in numba, whose state is float32;
elsewhere groups of chunks, by matrix products only. At 286 chunks (16,000 steps, H 128, n 8, two
sequences, bfloat16, one thread) the convolution with its gradient takes 40 ms with the scan, 84 ms
with the groups and 1,223 ms with one matrix over all chunks.
"""

import math

import numba as nb
import numpy as np
import torch
import torch.nn.functional as F

from golden.kernels import fused_cpu
from golden.kernels.chunk_matrices import chunk_matrices
from golden.kernels.fused_cpu import raw
from golden.kernels.cpu import load, store

GROUP = 16      # chunks in a group: 8 to 24 take about the same time, 32 a third more


def few(M: int, like: torch.Tensor) -> bool:
    """Whether one matrix over all M chunks should make their states, for tensors such as ``like``.

    Up to 40 chunks it costs about as much as groups. The scan costs less already at 18, but float32
    is what exports compute in, and the integers of the shipped networks come from this matrix.
    """
    return M <= (16 if like.dtype == torch.bfloat16 and fused_cpu.fits(like) else 40)


def _below_one(log_A: torch.Tensor) -> torch.Tensor:
    """Not below -80: nothing is left of a state then, and a power of zero has no logarithm."""
    return torch.complex(log_A.real.clamp(min=-80), log_A.imag)


def grouped(left: torch.Tensor, log_A: torch.Tensor) -> torch.Tensor:
    """:func:`carried` by matrix products, on any device.

    One matrix, S of ``golden.kernels.chunk_matrices``, does a group. The start states of the groups
    are the same problem again, with the power of A that a group makes.
    """
    modes, _, M, B = left.shape
    A = torch.exp(log_A)
    one, none, size = torch.ones_like(A), torch.zeros_like(A.real[:, 0]), min(M, GROUP)
    S = chunk_matrices(A, one, none, 1, size + 1, 0, left)[2]
    groups = math.ceil(M / size)
    x = F.pad(left, (0, 0, 0, groups * size - M)).unflatten(2, (groups, size)).transpose(2, 3)
    starts = torch.zeros_like(x[:, :, :1])
    if groups > 1:
        leave = S.view(modes, 2, size + 1, 2, size + 1)[:, :, size, :, :size]
        ends = torch.bmm(leave.reshape(modes, 2, 2 * size), x.reshape(modes, 2 * size, groups * B))
        starts = grouped(ends.view(modes, 2, groups, B), _below_one(size * log_A))[:, :, None]
    # a group's start is what a chunk in front of its first one would leave
    x = torch.cat([starts, x], dim=2)                               # (H n, 2, size + 1, groups, B)
    h = torch.bmm(S, x.view(modes, 2 * (size + 1), groups * B)).view_as(x)[:, :, 1:]
    return h.transpose(2, 3).reshape(modes, 2, groups * size, B)[:, :, :M]


@nb.njit(cache=True, fastmath={"nsz", "arcp", "contract", "reassoc"})
def _scan(left, A, h):
    modes, _, M, B = left.shape
    for k in range(modes):
        re, im = np.zeros(B, np.float32), np.zeros(B, np.float32)
        a, b = np.float32(A[k].real), np.float32(A[k].imag)
        for m in range(M):
            for i in range(B):
                store(h[k, 0], m, i, re[i])
                store(h[k, 1], m, i, im[i])
                old = re[i]
                re[i] = a * old - b * im[i] + load(left[k, 0, m, i])
                im[i] = a * im[i] + b * old + load(left[k, 1, m, i])


@nb.njit(cache=True, fastmath={"nsz", "arcp", "contract", "reassoc"})
def _scan_back(dh, h, A, dleft, dA):
    modes, _, M, B = dh.shape
    for k in range(modes):
        re, im = np.zeros(B, np.float32), np.zeros(B, np.float32)       # of dleft[m]
        a, b = np.float32(A[k].real), np.float32(A[k].imag)
        in_re, in_im = np.float64(0), np.float64(0)
        for m in range(M - 1, -1, -1):
            part_re, part_im = np.float32(0), np.float32(0)
            for i in range(B):
                store(dleft[k, 0], m, i, re[i])
                store(dleft[k, 1], m, i, im[i])
                x, y = load(h[k, 0, m, i]), load(h[k, 1, m, i])
                part_re += re[i] * x + im[i] * y                         # dleft[m] conj(h[m])
                part_im += im[i] * x - re[i] * y
                old = re[i]
                re[i] = a * old + b * im[i] + load(dh[k, 0, m, i])
                im[i] = a * im[i] - b * old + load(dh[k, 1, m, i])
            in_re += part_re
            in_im += part_im
        dA[k] = complex(in_re, in_im)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, left, A):
        h = torch.empty_like(left)
        _scan(raw(left), A.detach().numpy().reshape(-1), raw(h))
        ctx.save_for_backward(h, A)
        return h

    @staticmethod
    def backward(ctx, dh):
        h, A = ctx.saved_tensors
        dleft, dA = torch.empty_like(h), torch.empty_like(A)
        _scan_back(raw(dh.contiguous()), raw(h), A.detach().numpy().reshape(-1), raw(dleft),
                   dA.numpy().reshape(-1))
        return dleft, dA


def carried(left: torch.Tensor, A_bar: torch.Tensor, steps: int) -> torch.Tensor:
    """The state before each chunk, (H n, 2, M, B) in the dtype of ``left``; see the module's text.

    ``left`` is what each chunk of ``steps`` steps leaves, the real and the imaginary part by mode;
    ``A_bar`` (H, n), complex, is of one step.
    """
    log_A = _below_one(steps * torch.log(A_bar.to(torch.complex128)))
    if fused_cpu.fits(left):
        return _Scan.apply(left.contiguous(), torch.exp(log_A))
    return grouped(left, log_A)
