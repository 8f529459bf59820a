"""Float: the step of a block, and a family whose neurons it is."""

from dataclasses import dataclass

import torch
from torch import nn

from golden.kernels.sampling import Draw
from golden.model import config, families
from golden.model.neurons import heaviside
from golden.model.ops import Mix, Step


def integrate(y, leak, theta, stored=lambda v: v):
    """Spikes (H, T, B) of inputs y (H, T, B); leak and theta are (H,).

    ``stored`` gets each membrane (H, B) before it is compared and gives what is kept of it.
    """
    v, spikes = torch.zeros_like(y[:, 0]), []
    for t in range(y.shape[1]):
        v = stored(leak[:, None] * v + y[:, t])
        s = heaviside(v - theta[:, None])
        v = v - theta[:, None] * s
        spikes.append(s)
    return torch.stack(spikes, 1)


class Leak(Step):
    """H leaky integrators; leak is in (0, 1) and theta above 0, both learned."""

    def __init__(self, H: int, leak: float, theta: float):
        super().__init__()
        self.logit_leak = nn.Parameter(torch.full((H,), leak).logit())
        self.log_theta = nn.Parameter(torch.full((H,), theta).log())

    def values(self):
        """leak and theta, (H,)."""
        return torch.sigmoid(self.logit_leak), torch.exp(self.log_theta)

    def forward(self, y, now):
        time = Draw(chunks=now.chunks)
        return time.from_time(integrate(time.to_time(y.to(now.own)), *self.values())).to(now.dtype)


@dataclass(frozen=True)
class LeakyConfig(config.NetworkConfig):
    """A real-valued stream, as in family stream; leaky integrators between SSM and mixer."""

    leak: float = 0.8           # of every neuron before training
    theta: float = 1.0

    family = "leaky"
    norm, norm_position, residual = "batch", "pre", "plain"     # no options: class attributes


class Leaky(families.Stream):
    """Blocks from x to x."""

    @staticmethod
    def mixing(cfg):
        H = cfg.d_model
        return {"neuron": ("y -> s_out", Leak(H, cfg.leak, cfg.theta)),
                "value": ("s_out -> z", Mix(H, H))}


config.FAMILIES["leaky"], families.FAMILIES["leaky"] = LeakyConfig, Leaky
