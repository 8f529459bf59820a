"""Neurons without memory of Stan & Rhodes (arXiv 2401.00955): a step, and ternary values.

docs/gated.md has the equations of the networks that they make, and which of this the paper leaves
open. The step H is differentiated as if it were a bump of height 1 at ``v = 0`` that has all but
vanished at ``v = +-width``, the surrogate; with x = v / width

* ``triangle``: max(0, 1 - |x|) (the default);
* ``rectangle``: 1 for |x| <= 1;
* ``sigmoid``: 4 q (1 - q) with q = sigmoid(4 x), 0.07 at the width;
* ``arctan``: 1 / (1 + (pi x)^2), 0.09 at the width, and heavy tails.

A width of 1 is sound because training starts with SSM outputs of deviation 1
(``Network.calibrate``).

``Tern(z) = sign(z)`` where ``|z| > c max |z|``, else 0, so an all-zero tensor gives zeros; c is
``ternary_threshold`` of the configuration. The maximum of an activation goes over the H neurons of
one step (causal, and what hardware has at hand), that of weights over the whole matrix. The
gradient is passed straight through.
"""

import math

import torch

SURROGATES = {
    "triangle": lambda x: (1 - x.abs()).clamp(min=0),
    "rectangle": lambda x: (x.abs() <= 1).to(x.dtype),
    "sigmoid": lambda x: 4 * torch.sigmoid(4 * x) * torch.sigmoid(-4 * x),
    "arctan": lambda x: 1 / (1 + (math.pi * x).square()),
}


class _Heaviside(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v, surrogate, width, fires_at_zero):
        ctx.save_for_backward(v)
        ctx.shape = surrogate, width
        return (v >= 0 if fires_at_zero else v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx, ds):
        v, = ctx.saved_tensors
        surrogate, width = ctx.shape
        return ds * SURROGATES[surrogate](v / width), None, None, None


def heaviside(v: torch.Tensor, surrogate: str = "triangle", width: float = 1.0,
              fires_at_zero: bool = True) -> torch.Tensor:
    """1 where ``v >= 0`` (``v > 0`` without ``fires_at_zero``), else 0; gradient as above."""
    return _Heaviside.apply(v, surrogate, width, fires_at_zero)


class _Ternary(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, threshold):
        return (z > threshold).to(z.dtype) - (z < -threshold).to(z.dtype)

    @staticmethod
    def backward(ctx, dt):
        return dt, None


def ternary(z: torch.Tensor, factor: float, dim: int | None = None) -> torch.Tensor:
    """Tern(z) in {-1, 0, 1}; the maximum goes over ``dim``, None: over everything."""
    size = z.detach().abs()
    largest = size.amax() if dim is None else size.amax(dim, keepdim=True)
    return _Ternary.apply(z, factor * largest)
