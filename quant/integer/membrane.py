"""Leaky integrate-and-fire neurons: an operation whose memory is a membrane. Specification.

Without a state space model in front of it, it is all that a spiking network remembers.
"""

from dataclasses import dataclass, field

import numpy as np

from golden.base.qformat import QFormat
from quant.formats import BIT
from quant.integer.operation import Operation, Tensor, largest, round_half_even, top
from quant.integer.signature import DRAWS, TOOK, rotl

RESETS = ("subtract", "zero")


@dataclass(frozen=True)
class Integrate(Operation):
    """``u <- saturate(round(leak v + y))``, s = 1 where ``u >= theta``; ``v <- u - theta s``, or
    with ``reset`` zero ``v <- u (1 - s)``.

    The membrane v is 0 before the first step; u is rounded half to even. leak (H,) is UQ(0, f),
    theta () one number for all neurons. Source: the LIF neurons that Bal & Sengupta compare with
    (ICLR 2025, Figure 2), as in ``golden.model.lif``.
    """

    leak: Tensor = None
    theta: Tensor = None
    v: QFormat = None
    reset: str = "subtract"
    # of its gradient, for fine-tuning, see golden.model.lif
    surrogate: str = field(default="triangle", metadata={"training": True})
    width: float = field(default=1.0, metadata={"training": True})
    reset_gradient: bool = field(default=True, metadata={"training": True})

    SHAPES = {"theta": ()}
    states = True

    @property
    def saturates(self):
        return {"v": self.v}

    def seen_as(self, name):
        return f"{name} of {self.makes}"        # a block has two of them

    def sum(self, y: QFormat) -> QFormat:
        """Of ``leak v + y``, exact."""
        return self.leak.fmt * self.v + y

    def shifts(self, y: QFormat) -> tuple[int, int, int]:
        """Left shifts of ``leak v`` and of y to their sum's fraction bits; right shift to v's."""
        f = self.sum(y).f_bits
        return f - self.leak.fmt.f_bits - self.v.f_bits, f - y.f_bits, f - self.v.f_bits

    def check(self, need, y):
        leak, theta, v = self.leak.fmt, self.theta, self.v
        need(self.reset in RESETS, f"reset must be {' or '.join(RESETS)}, not {self.reset!r}")
        need(not leak.signed and leak.i_bits == 0 and leak.f_bits > 0,
             f"leak must be UQ(0, f), below 1, not {leak}")
        need(v.signed, f"v must be signed, not {v}")
        need(theta.fmt.f_bits == v.f_bits,
             f"theta {theta.fmt} must have the {v.f_bits} fraction bits of v {v}")
        need(0 < theta.raw <= v.hi, f"theta must be above 0 and at most {v.hi}, the largest "
                                    f"membrane, not {theta.raw}")

    def format(self, y):
        """One bit, UQ(1,0)"""
        return BIT

    def begin(self, formats, draws) -> "Membrane":
        return Membrane(self, formats[0])

    def along(self, formats, draws, y, place: int | None = None):
        from quant.integer.membrane_scan import scan      # numba, which hardware does not need
        u, saturated = np.empty(y.shape, np.int64), np.empty(y.shape, np.bool_)
        scan(np.ascontiguousarray(y), self.leak.raw, int(self.theta.raw),
             self.reset == "subtract", self.shifts(formats[0]), self.v.lo, self.v.hi, u, saturated)
        return ((u >= self.theta.raw).astype(np.int64), saturated,
                None if place is None else membrane_word(u, place))

    def bound(self, formats, y):
        """Of ``leak v + y`` with its rounding, and of what is compared and subtracted."""
        of_v, of_y, drop = self.shifts(formats[0])
        return ((largest(self.leak.raw) * top(self.v) << of_v) + (y << of_y) + (1 << drop)
                + 2 * top(self.v))


def membrane_word(u, place: int):
    """Words of membranes before the reset for the signature."""
    return rotl(u, DRAWS[1] if place else TOOK)


class Membrane:
    """The membranes of one sequence, step after step.

    ``u`` (H,) are those of the last step before the reset, ``saturated`` (H,) says which were cut
    off, ``over`` counts them over all steps.
    """

    def __init__(self, op: Integrate, y: QFormat):
        self.op, self.shifts = op, op.shifts(y)
        self.v, self.u, self.over, self.saturated = np.int64(0), None, 0, None

    def __call__(self, y):
        op, (of_v, of_y, drop) = self.op, self.shifts
        total = round_half_even((op.leak.raw * self.v << of_v) + (y << of_y), drop)
        self.u = np.clip(total, op.v.lo, op.v.hi)
        self.saturated = self.u != total
        self.over += int(np.count_nonzero(self.saturated))
        s = (self.u >= op.theta.raw).astype(np.int64)
        self.v = self.u - op.theta.raw * s if op.reset == "subtract" else self.u * (1 - s)
        return s

    def shown(self, place: int):
        return membrane_word(self.u, place)
