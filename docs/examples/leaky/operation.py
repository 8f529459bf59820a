"""Integers: the specification, which needs no PyTorch."""

from dataclasses import dataclass

import numpy as np

from golden.base.qformat import QFormat
from quant.formats import BIT
from quant.integer.operation import Operation, Tensor, largest, round_half_even, top
from quant.integer.signature import DRAWS, TOOK, rotl


@dataclass(frozen=True)
class Leak(Operation):
    """``v <- saturate(round(leak v + y))``, a spike where ``v >= theta``, there ``v <- v - theta``.

    The membrane v is 0 before the first step and is rounded half to even to its format.
    """

    leak: Tensor = None
    theta: Tensor = None
    v: QFormat = None

    states = True

    @property
    def saturates(self):
        return {"v": self.v}

    def sum(self, y: QFormat) -> QFormat:
        """Of ``leak v + y``, exact."""
        return self.leak.fmt * self.v + y

    def check(self, need, y):
        leak, theta, v = self.leak.fmt, self.theta, self.v
        need(not leak.signed and leak.i_bits == 0, f"leak must be UQ(0, f), below 1, not {leak}")
        need(v.f_bits <= self.sum(y).f_bits, f"v {v} has more fraction bits than leak v + y")
        need(theta.fmt.f_bits == v.f_bits, f"theta {theta.fmt} must have the fraction bits of {v}")
        need(theta.raw.min() > 0, f"theta must be above 0; the smallest is {theta.raw.min()}")

    def format(self, y):
        return BIT

    def begin(self, formats, draws):
        return Membrane(self, *formats)

    def bound(self, formats, y):
        f = self.sum(*formats).f_bits
        held = largest(self.leak.raw) * top(self.v)
        return ((held << f - self.leak.fmt.f_bits - self.v.f_bits) + (y << f - formats[0].f_bits)
                + (1 << f - self.v.f_bits))


class Membrane:
    """The membranes of one sequence, or of several side by side, step after step."""

    def __init__(self, op: Leak, y: QFormat):
        f = op.sum(y).f_bits
        self.op, self.drop = op, f - op.v.f_bits
        self.align = f - op.leak.fmt.f_bits - op.v.f_bits, f - y.f_bits
        self.v, self.u, self.over, self.saturated = np.int64(0), None, 0, None

    def __call__(self, y):
        op, (of_v, of_y) = self.op, self.align
        total = round_half_even((op.leak.raw * self.v << of_v) + (y << of_y), self.drop)
        self.u = np.clip(total, op.v.lo, op.v.hi)
        self.saturated = self.u != total
        self.over += np.count_nonzero(self.saturated)
        s = (self.u >= op.theta.raw).astype(np.int64)
        self.v = self.u - op.theta.raw * s
        return s

    def shown(self, place):
        return rotl(self.u, DRAWS[1] if place else TOOK)
