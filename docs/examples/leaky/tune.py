"""Fitting and fine-tuning: which formats it gets, and what it computes in them with gradients."""

from dataclasses import replace

from golden.base.qformat import UQ
from golden.kernels.sampling import Draw
from leaky.operation import Leak
from leaky.step import integrate
from quant.integer.operation import Tensor
from quant.tune.fit import Fitting, covering
from quant.tune.quant_ops import MODULES, QuantOperation
from quant.tune.quantizers import grid


def fitted(rule: Fitting, op: Leak, y) -> Leak:
    """v holds what calibration saw; leak and theta get the widths of A_bar and of v's fraction."""
    v = rule.fitted(op, "v", rule.range_of("v"), rule.config.state_bits, y.f_bits)
    return replace(op, v=v, leak=Tensor(op.leak.raw, UQ(0, rule.config.coef_bits)),
                   theta=Tensor(op.theta.raw, covering(op.theta, v.f_bits)))


class QuantLeak(QuantOperation):
    """The float side's integrator, its membranes rounded and saturated where there are formats."""

    trained = ("leak", "theta")

    def forward(self, y, now):
        def stored(v):
            now.see("v", v)
            return v if self.formats is None else grid(v, self.op.v)

        time = Draw(chunks=now.chunks)
        return time.from_time(integrate(time.to_time(y), self.on_grid("leak"),
                                        self.on_grid("theta"), stored))


Fitting.RULES[Leak], MODULES[Leak] = fitted, QuantLeak
