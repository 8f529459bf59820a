"""Binary S4D: a Heaviside neuron behind a real-valued SSM, and GLU mixing of its bits.

Stan & Rhodes (arXiv 2401.00955): ``y = H(C u + D x)``, then ``n = Lin1(y)``, ``m = Lin2(y)`` and
``n sigmoid(m)``. The inputs of both linear maps are bits, so they are sums of columns.

What the paper leaves open is in the configuration: ``surrogate`` and ``surrogate_width`` say what
the step's derivative is taken for, ``fires_at_zero`` what H(0) is. The surrogate is a bump of
height 1 at ``v = 0`` that has all but vanished at ``v = +-width``; with x = v / width

* ``triangle``: max(0, 1 - |x|) (the default);
* ``rectangle``: 1 for |x| <= 1;
* ``sigmoid``: 4 q (1 - q) with q = sigmoid(4 x), 0.07 at the width;
* ``arctan``: 1 / (1 + (pi x)^2), 0.09 at the width, and heavy tails.

Before training the SSM's output is scaled to a deviation of 1 (``GatedNetwork.calibrate``), which
is what makes a width of 1 a sound default.
"""

import math

import torch
from torch import nn

from golden.config import NetworkConfig

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


class GatedLinearUnit(nn.Module):
    """``n sigmoid(m)`` with ``n = Lin1(y)``, ``m = Lin2(y)``, on (H, N)."""

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        self.value = nn.Linear(cfg.d_model, cfg.d_model)
        self.gate = nn.Linear(cfg.d_model, cfg.d_model)

    def events(self, y: torch.Tensor) -> torch.Tensor:
        """What the linear maps take in."""
        return y

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        n, m = (torch.addmm(lin.bias.to(y.dtype)[:, None], lin.weight.to(y.dtype), y)
                for lin in (self.value, self.gate))
        return n * torch.sigmoid(m)
