"""A rule of networks whose states are updated once in two steps."""

from math import isqrt

from golden.base.qformat import QFormat


def top(fmt: QFormat) -> int:
    """Largest magnitude of a raw integer."""
    return max(-fmt.lo, fmt.hi)


def sums_fit(shape, h: QFormat, u: QFormat, direct: QFormat) -> bool:
    """Whether y of a block's first step fits the format of the exact sum of n states and ``d u``.

    A_bar turns a state, whose parts may both be at their ends, onto the real axis. direct : holds d
    of either step.
    """
    y = h.total(shape.n) + direct * u
    sums = isqrt(2 * (shape.n * top(h)) ** 2) + 3 << y.f_bits - h.f_bits
    return sums + (top(direct) * top(u) << y.f_bits - direct.f_bits - u.f_bits) <= y.hi
