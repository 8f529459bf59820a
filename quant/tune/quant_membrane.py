"""Leaky integrate-and-fire neurons in the quantisation-aware model."""

import torch
from torch import nn

from golden.model.lif import FREE, lif
from quant.integer.membrane import Integrate
from quant.tune.quant_ops import MODULES, QuantOperation
from quant.tune.quantizers import grid, raw

SMALLEST = 1e-30    # leak: its logarithm is finite


class QuantIntegrate(QuantOperation):
    """The leak as a decay, so that training keeps it below 1; theta is not trained.

    Membranes are rounded and saturated in both forms of the model, which are step by step here.
    """

    def __init__(self, op: Integrate, formats):
        super().__init__(op, formats)
        leak = torch.from_numpy(op.leak.raw.astype(float)).clamp(min=SMALLEST)
        self.log_decay = nn.Parameter(torch.log(-torch.log(leak)))
        self.theta, self.grid = float(op.theta.raw), FREE
        if formats is not None:
            one = 2.0 ** op.v.f_bits
            self.theta = float(raw(torch.tensor(self.theta).double(), op.theta.fmt)) / one
            self.grid = one, float(op.v.lo), float(op.v.hi)

    def leak(self) -> torch.Tensor:
        leak = torch.exp(-torch.exp(self.log_decay))
        return leak if self.formats is None else grid(leak, self.op.leak.fmt)

    def forward(self, y, now):
        op = self.op
        s, u = lif(y, self.leak(), self.theta, op.reset == "subtract", op.surrogate, op.width,
                   op.reset_gradient, now.chunks, self.grid)
        now.see(op.seen_as("v"), u)
        return s

    def integers(self):
        op = self.op
        return super().integers(leak=raw(self.leak(), op.leak.fmt),
                                theta=raw(torch.tensor(self.theta).double(), op.theta.fmt))


MODULES[Integrate] = QuantIntegrate
