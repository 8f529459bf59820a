"""SpikeMixer activation, normalisation and residual: from z to the next block's probabilities."""

import torch
import torch.nn.functional as F
from torch import nn

from golden import ops
from golden.config import NetworkConfig
from golden.sampling import Draw

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "identity": lambda z: z}


class Fuse(nn.Module):
    """ClampFuse (paper, equation 8) and its variants, with the input sampler of the next block.

    ``residual`` of the configuration:

    * ``clampfuse``: ``p_next = clamp(p + BN(act(z)), 0, 1)``, p this block's clamped input;
    * ``none``: ``p_next = clamp(BN(act(z)), 0, 1)``;
    * ``plain``: ``x_next = x + act(z)`` un-clamped, ``p_next = clamp(BN(x_next), 0, 1)``.

    The batch norm works per neuron over time and batch (population variance).
    """

    kind = "batch"

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        self.residual, self.act, self.dropout = cfg.residual, cfg.act, cfg.dropout
        H = cfg.d_model
        start = {"clampfuse": (0.3, 0.0), "none": (0.35, 0.35), "plain": (0.35, 0.35)}
        gamma, beta = start[cfg.residual]
        self.gamma = nn.Parameter(torch.full((H,), gamma))
        self.beta = nn.Parameter(torch.full((H,), beta))
        self.register_buffer("mean", torch.zeros(H))
        self.register_buffer("var", torch.ones(H))
        self.momentum, self.eps = 0.1, 1e-5

    def _stats(self, x: torch.Tensor, valid: torch.Tensor | None):
        """Mean and variance per neuron: of the batch in training, running ones otherwise."""
        if not self.training:
            return self.mean, self.var
        if valid is None:
            var, mean = torch.var_mean(x, dim=1, correction=0)
        else:
            count = valid.sum()
            mean = (x * valid).sum(1) / count
            var = ((x - mean[:, None]).square() * valid).sum(1) / count
        return mean, var

    def _track(self, mean: torch.Tensor, var: torch.Tensor) -> None:
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(mean.detach().to(self.mean.dtype), self.momentum)
                self.var.lerp_(var.detach().to(self.var.dtype), self.momentum)

    def normalise(self, x: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
        mean, var = self._stats(x, valid)
        self._track(mean, var)
        scale = self.gamma * torch.rsqrt(var + self.eps)
        return (x - mean[:, None]) * scale[:, None] + self.beta[:, None]

    def normalised(self, z: torch.Tensor, bias: torch.Tensor, x: torch.Tensor,
                   valid: torch.Tensor | None = None, draw: Draw = Draw()) -> torch.Tensor:
        """What :meth:`forward` normalises in evaluation, (H, steps that count)."""
        z = ACTIVATIONS[self.act]((z + bias[:, None].to(z.dtype)).to(bias.dtype))
        if self.residual == "plain":
            z = z + x.to(z.dtype)
        return z if valid is None else z[:, valid > 0]

    def forward(self, z: torch.Tensor, bias: torch.Tensor, x: torch.Tensor,
                valid: torch.Tensor | None = None,
                draw: Draw = Draw()) -> tuple[torch.Tensor, torch.Tensor]:
        """(x_next, s_next), both (H, N).

        z is the mixer's sum before its bias, x the block's input: the clamped p, or with
        ``plain`` the un-clamped stream; valid (N,) is 1 where a step belongs to the sequence;
        draw says how s_next is drawn.
        """
        dropping = self.training and self.dropout > 0
        if self.residual != "plain" and self.act == "relu" and ops.fusable(z):
            stats = None if self.training else (self.mean, self.var)
            p, s, mean, var = ops.fuse_relu(z, bias, self.gamma, self.beta,
                                            x if self.residual == "clampfuse" else None, stats,
                                            self.eps, draw, valid,
                                            self.dropout if dropping else 0.0)
            self._track(mean, var)
            return p, s
        dtype = z.dtype
        z = ACTIVATIONS[self.act]((z + bias[:, None].to(z.dtype)).to(bias.dtype))
        if dropping:
            z = F.dropout(z, self.dropout)
        if self.residual == "plain":
            x_next = x + z.to(dtype)
            p = self.normalise(x_next.to(bias.dtype), valid).clamp(0, 1).to(dtype)
        else:
            p = self.normalise(z, valid)
            if self.residual == "clampfuse":
                p = p + x.to(p.dtype)
            p = x_next = p.clamp(0, 1).to(dtype)
        return x_next, ops.spikes(p, draw)
