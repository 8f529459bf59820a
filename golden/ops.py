"""The element-wise operations of a block as differentiable functions, fused on a CPU.

Tensors are (H, N), one row per neuron, N = time x batch. A float32 or bfloat16 tensor on a CPU goes
through ``golden.kernels``; anything else (float64, a GPU, a mask) through plain PyTorch.
"""

import numpy as np
import torch

from golden import kernels, sampling
from golden.sampling import Draw


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
    """Whether ``golden.kernels`` can work on ``x``."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)


def raw(x: torch.Tensor) -> np.ndarray:
    """The same memory for ``golden.kernels``, bfloat16 as uint16."""
    x = x.detach()
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


def _keys(H: int) -> np.ndarray:
    return torch.randint(0, 1 << 32, (H,), dtype=torch.int64).numpy().astype(np.uint32)


def _draw(y: torch.Tensor, b: torch.Tensor, draw: Draw, s: torch.Tensor) -> None:
    """Spikes of y + b into s, by the fused kernel of the form."""
    y, b, s = raw(y), raw(b), raw(s)
    if draw.form == "bernoulli":
        kernels.sample(y, b, _keys(len(y)), s)
    elif draw.form == "mean":
        kernels.mean(y, b, s)
    elif draw.form == "sobol":
        words = sampling.sobol_words(draw.number, draw.chunks).numpy().astype(np.uint32)
        masks = sampling.masks(len(y), draw.chunks).numpy().astype(np.uint32)
        kernels.sobol(y, b, words, masks, s)
    else:
        kernels.systematic(y, b, torch.rand(len(y), draw.chunks[2]).numpy(), draw.chunks, s)


class _FusedSample(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y, b, draw):
        s = torch.empty_like(y)
        _draw(y, b, draw, s)
        ctx.save_for_backward(y, b)
        return s

    @staticmethod
    def backward(ctx, ds):
        y, b = ctx.saved_tensors
        dy, db = torch.empty_like(y), torch.empty_like(b)
        kernels.sample_grad(raw(y), raw(b), raw(ds.contiguous()), raw(dy), raw(db))
        return dy, db, None


def sample(y: torch.Tensor, b: torch.Tensor, draw: Draw = Draw()) -> torch.Tensor:
    """Spikes of ``p = y + b``, y (H, N), b (H,)."""
    if fusable(y):
        return _FusedSample.apply(y, b, draw)
    return spikes(y + b[:, None], draw).to(y.dtype)     # the sum in the wider of both types


class _FusedFuse(torch.autograd.Function):
    """ClampFuse with its batch norm and the sampler behind it; see ``kernels.fuse``."""

    @staticmethod
    def forward(ctx, z, bias, gamma, beta, p, stats, eps, draw):
        H, residual = len(z), p is not None
        if stats is None:                       # training: statistics of this batch
            mean, var = torch.empty(H), torch.empty(H)
            kernels.relu_stats(raw(z), raw(bias), mean.numpy(), var.numpy())
        else:
            mean, var = stats
        inv = torch.rsqrt(var + eps)
        scale = gamma.detach() * inv
        shift = beta.detach() - scale * mean
        p_next, s = torch.empty_like(z), torch.empty_like(z)
        kernels.fuse(raw(z), raw(bias), raw(scale), raw(shift), raw(p if residual else z),
                     residual, _keys(H), draw.form == "bernoulli", raw(p_next), raw(s))
        if draw.form != "bernoulli":
            _draw(p_next, torch.zeros(H), draw, s)
        ctx.save_for_backward(z, bias, gamma, p, mean, inv, scale, shift)
        ctx.batch_stats = stats is None
        ctx.mark_non_differentiable(mean, var)
        return p_next, s, mean, var

    @staticmethod
    def backward(ctx, dp_next, ds, _mean, _var):
        z, bias, gamma, p, mean, inv, scale, shift = ctx.saved_tensors
        residual = p is not None
        dp, dz = torch.empty_like(z), torch.empty_like(z)
        sums, dbias = torch.empty(len(z), 2), torch.empty_like(bias)
        kernels.fuse_grad_sums(raw(z), raw(bias), raw(scale), raw(shift),
                               raw(p if residual else z), residual, raw(dp_next.contiguous()),
                               raw(ds.contiguous()), raw(dp), raw(sums))
        dbeta = sums[:, 0]
        dgamma = inv * (sums[:, 1] - mean * dbeta)            # sum of dp * x_hat
        c1, c2 = torch.zeros_like(scale), torch.zeros_like(scale)
        if ctx.batch_stats:
            N = z.shape[1]
            c1 = -scale * inv * dgamma / N                    # times x - mean
            c2 = -scale * dbeta / N - c1 * mean
        kernels.fuse_grad(raw(z), raw(bias), raw(scale), raw(c1), raw(c2), raw(dp), raw(dz),
                          raw(dbias))
        return dz, dbias, dgamma, dbeta, dp if residual else None, None, None, None


def fuse_relu(z, bias, gamma, beta, p, stats, eps=1e-5, draw: Draw = Draw()):
    """``p_next = clamp([p +] BN(relu(z + bias)), 0, 1)`` and its spikes, in one pass.

    z, p (H, N), p None without residual; bias, gamma, beta (H,); stats (mean, var) or None to
    take them from ``z``. Returns p_next, s, mean, var. Only for tensors that are :func:`fusable`.
    """
    return _FusedFuse.apply(z, bias, gamma, beta, p, stats, eps, draw)
