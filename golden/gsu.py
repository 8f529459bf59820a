"""The gated spiking unit: ternary activations in one factor, ternary weights in the other.

Stan & Rhodes (arXiv 2401.00955), with y the GELU of the SSM's output:

    n = W1 Tern(y) + b1,   m = Tern(W2) y + b2,   output = n m

One operand of either product is -1, 0 or +1, so both are sums. ``Tern(z) = sign(z)`` where
``|z| > c max |z|``, else 0. The paper has c and the extent of the maximum open: c is
``ternary_threshold`` of the configuration (0.15, as in a re-implementation), the maximum of an
activation goes over the H neurons of one step (causal, and what hardware has at hand), that of the
weights over the whole matrix. An all-zero tensor gives zeros. The gradient is passed straight
through.
"""

import torch
from torch import nn

from golden.config import NetworkConfig


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


class GatedSpikingUnit(nn.Module):
    """``(W1 Tern(y) + b1) (Tern(W2) y + b2)`` on (H, N)."""

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        self.value = nn.Linear(cfg.d_model, cfg.d_model)
        self.gate = nn.Linear(cfg.d_model, cfg.d_model)
        self.factor = cfg.ternary_threshold

    def events(self, y: torch.Tensor) -> torch.Tensor:
        """Tern(y) (H, N)."""
        return ternary(y, self.factor, dim=0)

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        dtype = y.dtype
        n = torch.addmm(self.value.bias.to(dtype)[:, None], self.value.weight.to(dtype),
                        self.events(y))
        m = torch.addmm(self.gate.bias.to(dtype)[:, None],
                        ternary(self.gate.weight, self.factor).to(dtype), y)
        return n * m
