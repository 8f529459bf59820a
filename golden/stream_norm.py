"""Normalisation of the real-valued stream between blocks, on (H, N)."""

from collections.abc import Iterable

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


@torch.no_grad()
def reestimate(net: nn.Module, batches: Iterable[tuple], dtype: torch.dtype | None = None) -> None:
    """Set the statistics of every batch norm of ``net`` to those over all of ``batches``.

    One norm after the other in the order of ``net.norms()``, each seeing those before it as they
    will be in evaluation; population mean and variance per neuron over all valid steps, summed in
    float64. The network ends in evaluation mode.

    Parameters
    ----------
    batches
        Tuples that begin with (values (B, L), lengths (B,) or None).
    """
    batches = list(batches)
    if not batches:
        raise ValueError("reestimate needs at least one batch")
    net.eval()
    for norm in net.norms():
        if norm.kind != "batch":
            continue
        total = torch.zeros(3, len(norm.mean), dtype=torch.float64)     # count, sum, squares

        def see(_norm, args, total=total):
            x, *rest = args
            if rest and rest[0] is not None:
                x = x[:, rest[0] > 0]
            x = x.double()
            total.add_(torch.stack([torch.full((len(x),), x.shape[1]), x.sum(1),
                                    x.square().sum(1)]))

        hook = norm.register_forward_pre_hook(see)
        try:
            for values, lengths, *_ in batches:
                net(values, lengths, dtype)
        finally:
            hook.remove()
        count, first, second = total
        mean = first / count
        norm.mean.copy_(mean)
        norm.var.copy_((second / count - mean.square()).clamp(min=0))
