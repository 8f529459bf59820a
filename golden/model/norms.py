"""Norms of a block, and batch-norm statistics again, exactly, once training has ended.

The running statistics of training lag behind the weights, and each batch was normalised by its own.
Before a network is folded into integers :func:`reestimate` replaces them by those of the final
network.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import nn

from golden.model.ops import Pass, Step


class Norm(Step):
    """``gamma (x - mean) / sqrt(var + eps) + beta`` on (H, N).

    Kind ``batch`` takes mean and variance per neuron over time and batch in training and running
    ones in evaluation, so it is an affine map of each neuron; ``layer`` takes them over the neurons
    of each step. ``wide`` computes in the parameters' type and keeps the population variance, as
    the fused forms of a block do; else PyTorch's batch norm runs where it can, whose running
    variance is the unbiased one, as in the released code.
    """

    momentum, eps = 0.1, 1e-5

    def __init__(self, H: int, kind: str = "batch", wide: bool = False, gamma: float = 1.0,
                 beta: float = 0.0):
        super().__init__()
        self.kind, self.wide = kind, wide
        self.gamma = nn.Parameter(torch.full((H,), gamma))
        self.beta = nn.Parameter(torch.full((H,), beta))
        self.register_buffer("mean", torch.zeros(H))
        self.register_buffer("var", torch.ones(H))

    def forward(self, x, now: Pass):
        now.norm(self, x)
        if self.kind == "layer":
            return F.layer_norm(x.T, x.shape[:1], self.gamma.to(x.dtype), self.beta.to(x.dtype),
                                self.eps).T
        if not self.wide and (now.valid is None or not self.training):
            return F.batch_norm(x[None], self.mean, self.var, self.gamma, self.beta,
                                self.training, self.momentum, self.eps)[0]
        wide = x.to(self.gamma.dtype)
        mean, var = self.statistics(wide, now.valid) if self.training else (self.mean, self.var)
        self.track(mean, var)
        scale = self.gamma * torch.rsqrt(var + self.eps)
        out = (wide - mean[:, None]) * scale[:, None] + self.beta[:, None]
        return out if self.wide else out.to(x.dtype)

    @staticmethod
    def statistics(x, valid) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and population variance (H,) over the steps that count."""
        if valid is None:
            var, mean = torch.var_mean(x, dim=1, correction=0)
            return mean, var
        count = valid.sum()
        mean = (x * valid).sum(1) / count
        return mean, ((x - mean[:, None]).square() * valid).sum(1) / count

    @torch.no_grad()
    def track(self, mean: torch.Tensor, var: torch.Tensor) -> None:
        """In training, move the running statistics towards those of a batch."""
        if self.training:
            self.mean.lerp_(mean.detach().to(self.mean.dtype), self.momentum)
            self.var.lerp_(var.detach().to(self.var.dtype), self.momentum)


@torch.no_grad()
def reestimate(net: nn.Module, batches: Iterable[tuple]) -> None:
    """Set the statistics of every batch norm of ``net`` to those over all of ``batches``.

    One norm after the other in the order of the forward pass, each seeing those before it as they
    will be in evaluation, so the batches (training data) are gone through once per norm; population
    mean and variance per neuron over all valid steps, summed in float64. The network ends in
    evaluation mode.

    ``batches`` are tuples that begin with (values (B, L), lengths (B,) or None), as of
    ``golden.training.batches.batch_of``.
    """
    batches = list(batches)
    if not batches:
        raise ValueError("reestimate needs at least one batch")
    net.eval()
    for norm in net.norms():
        if norm.kind != "batch":
            continue
        total = torch.zeros(3, len(norm.mean), dtype=torch.float64)     # count, sum, squares

        def see(x, valid, total=total):
            x = (x if valid is None else x[:, valid > 0]).double()
            total.add_(torch.stack([torch.full((len(x),), x.shape[1]), x.sum(1),
                                    x.square().sum(1)]))

        for values, lengths, *_ in batches:
            net(values, lengths, seen=(norm, see))
        count, first, second = total
        mean = first / count
        norm.mean.copy_(mean)
        norm.var.copy_((second / count - mean.square()).clamp(min=0))
