"""The element-wise operations of a block as differentiable functions, fused on a CPU or a GPU.

Tensors are (H, N), one row per neuron, N = time x batch. A float32 or bfloat16 tensor goes through
``golden.kernels.fused_cpu`` or, where Triton is installed, ``golden.kernels.fused_gpu``; anything
else (float64) through plain PyTorch.
"""

import importlib.util

import torch

from golden.kernels import fused_cpu, sampling
from golden.kernels.sampling import Draw

FUSED = [fused_cpu]
GPU = torch.cuda.is_available() and importlib.util.find_spec("triton") is not None
if GPU:
    from golden.kernels import fused_gpu
    FUSED.append(fused_gpu)


class _StraightThrough(torch.autograd.Function):
    """Given spikes forward, gradient of the expectation clamp(p, 0, 1) backward."""

    @staticmethod
    def forward(ctx, p, s):
        ctx.save_for_backward((p >= 0) & (p <= 1))
        return s

    @staticmethod
    def backward(ctx, ds):
        inside, = ctx.saved_tensors
        return ds * inside, None


def spikes(p: torch.Tensor, draw: Draw = Draw(), u: torch.Tensor | None = None) -> torch.Tensor:
    """SpikeSampler in plain PyTorch: spikes of p (H, N), or 1 where ``p > u`` for given draws u.

    The gradient is 1 inside 0 <= p <= 1 and 0 outside (the surrogate of the paper, section 3.2).
    """
    s = sampling.spikes(p.detach(), draw) if u is None else (p > u).to(p.dtype)
    return _StraightThrough.apply(p, s)


def fusable(x: torch.Tensor) -> bool:
    """Whether one of the fused forms can work on ``x``."""
    return any(form.fits(x) for form in FUSED)


def _form(x: torch.Tensor):
    return next(form for form in FUSED if form.fits(x))


class _FusedSample(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y, b, draw):
        ctx.save_for_backward(y, b)
        return _form(y).sample(y, b, draw)

    @staticmethod
    def backward(ctx, ds):
        y, b = ctx.saved_tensors
        return *_form(y).sample_grad(y, b, ds.contiguous()), None


def sample(y: torch.Tensor, b: torch.Tensor, draw: Draw = Draw()) -> torch.Tensor:
    """Spikes of ``p = y + b``, y (H, N), b (H,)."""
    if fusable(y):
        return _FusedSample.apply(y, b, draw)
    return spikes(y + b[:, None], draw).to(y.dtype)     # the sum in the wider of both types


class _FusedFuse(torch.autograd.Function):
    """ClampFuse with its batch norm and the sampler behind it; see ``fused_cpu.fuse``."""

    @staticmethod
    def forward(ctx, z, bias, gamma, beta, p, stats, eps, draw, valid, rate):
        drop = (_form(z).keys(len(z), z.device), rate) if rate else None
        mean, var = (_form(z).relu_stats(z, bias, valid, drop) if stats is None     # of this batch
                     else stats)
        inv = torch.rsqrt(var + eps)
        scale = gamma.detach() * inv
        shift = beta.detach() - scale * mean
        p_next, s = _form(z).fuse(z, bias, scale, shift, p, draw, drop)
        ctx.save_for_backward(z, bias, gamma, p, mean, inv, scale, shift, valid)
        ctx.batch_stats, ctx.drop = stats is None, drop
        ctx.mark_non_differentiable(mean, var)
        return p_next, s, mean, var

    @staticmethod
    def backward(ctx, dp_next, ds, _mean, _var):
        z, bias, gamma, p, mean, inv, scale, shift, valid = ctx.saved_tensors
        dp, sums = _form(z).fuse_grad_sums(z, bias, scale, shift, p, dp_next.contiguous(),
                                           ds.contiguous(), ctx.drop)
        dbeta = sums[:, 0]
        dgamma = inv * (sums[:, 1] - mean * dbeta)            # sum of dp * x_hat
        c1, c2 = torch.zeros_like(scale), torch.zeros_like(scale)
        if ctx.batch_stats:
            N = z.shape[1] if valid is None else valid.sum()
            c1 = -scale * inv * dgamma / N                    # times x - mean
            c2 = -scale * dbeta / N - c1 * mean
        dz, dbias = _form(z).fuse_grad(z, bias, scale, c1, c2, dp, valid, ctx.drop)
        return (dz, dbias, dgamma, dbeta, None if p is None else dp, *[None] * 5)


def fuse_relu(z, bias, gamma, beta, p, stats, eps=1e-5, draw: Draw = Draw(), valid=None,
              dropout: float = 0.0):
    """``p_next = clamp([p +] BN(act(z)), 0, 1)`` and its spikes; act: a dropout of relu(z + bias).

    z, p (H, N), p None without residual; bias, gamma, beta (H,); stats (mean, var) or None to
    take them from ``z``, where valid (N,) is 1. Returns p_next, s, mean, var. Only for tensors that
    are :func:`fusable`.
    """
    return _FusedFuse.apply(z, bias, gamma, beta, p, stats, eps, draw, valid, dropout)
