"""Normalisation of the real-valued stream between blocks, on (H, N)."""

import torch
import torch.nn.functional as F
from torch import nn

from golden.config import NetworkConfig


class StreamNorm(nn.Module):
    """``gamma (x - mean) / sqrt(var + eps) + beta``.

    ``norm`` of the configuration: ``batch`` takes mean and variance per neuron over time and batch
    in training and running ones in evaluation, so it is an affine map of each neuron and costs
    hardware one product; ``layer`` takes them over the neurons of each step.
    """

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        H = cfg.d_model
        self.kind = cfg.norm
        self.gamma = nn.Parameter(torch.ones(H))
        self.beta = nn.Parameter(torch.zeros(H))
        self.register_buffer("mean", torch.zeros(H))
        self.register_buffer("var", torch.ones(H))
        self.momentum, self.eps = 0.1, 1e-5

    def forward(self, x: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        """x (H, N); valid (N,) is 1 where a step belongs to its sequence, None: everywhere."""
        if self.kind == "layer":
            return F.layer_norm(x.T, x.shape[:1], self.gamma.to(x.dtype), self.beta.to(x.dtype),
                                self.eps).T
        if valid is None or not self.training:
            return F.batch_norm(x[None], self.mean, self.var, self.gamma, self.beta,
                                self.training, self.momentum, self.eps)[0]
        wide = x.to(self.gamma.dtype)
        count = valid.sum()
        mean = (wide * valid).sum(1) / count
        var = ((wide - mean[:, None]).square() * valid).sum(1) / count
        with torch.no_grad():
            self.mean.lerp_(mean, self.momentum)
            self.var.lerp_(var, self.momentum)
        scale = self.gamma * torch.rsqrt(var + self.eps)
        return torch.addcmul(self.beta[:, None], wide - mean[:, None], scale[:, None]).to(x.dtype)

    @staticmethod
    def normalised(x: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        """What :meth:`forward` normalises, (H, steps that count)."""
        return x if valid is None else x[:, valid > 0]
