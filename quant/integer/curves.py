"""GELU on integers, and tables of curves. Part of the specification.

``gelu(y) = y Phi(y) = max(y, 0) - t(|y|)`` with ``t(v) = v Phi(-v)``, which is even in y, below
0.17 and nothing beyond |y| = 5. So a table of t is all there is: outside it G is the identity above
and zero below. t is stored at knots 2**-6 apart with two more fraction bits than y; between two
knots it is their straight line, exact, rounded once, half to even:

    T(v) = round((K[i] (step - r) + K[i+1] r) / (4 step)),   v = i step + r,   step = 2**(f - 6)
    G(y) = max(y, 0) - T(|y|)

G falls (never rises) up to its only minimum and rises (never falls) above it, like GELU itself:
the knots do so, T's slope is below one and rounding is monotone.
"""

import math
from functools import lru_cache

import numpy as np

from golden.base.qformat import QFormat

KNOTS = 6           # knots are 2**-KNOTS apart
EXTRA = 2           # fraction bits of a knot beyond those of y
FINEST = 22         # fraction bits of y, at most: the table has all |y| below REACH
REACH = 8           # t is nothing from here on, in every format


@lru_cache(maxsize=None)
def knots(f_bits: int) -> np.ndarray:
    """``K[i] = round(t(i 2**-KNOTS) 2**(f_bits + EXTRA))``, i = 0 .. REACH 2**KNOTS, int64.

    With fewer than KNOTS fraction bits there is one for every raw value.
    """
    spacing = 2.0 ** -min(KNOTS, f_bits)
    v = np.arange(int(REACH / spacing) + 1) * spacing
    tail = np.array([0.5 * math.erfc(x / math.sqrt(2)) for x in v])
    return np.rint(v * tail * 2.0 ** (f_bits + EXTRA)).astype(np.int64)


@lru_cache(maxsize=None)
def table(f_bits: int) -> np.ndarray:
    """T of |y| = 0, 1, ... as far as it is not zero, int64; ends with a zero."""
    K, log_step = knots(f_bits), max(0, f_bits - KNOTS)
    step = 1 << log_step
    r = np.arange(step)
    line = (K[:-1, None] * (step - r) + K[1:, None] * r).reshape(-1)
    T = np.rint(line / 2.0 ** (log_step + EXTRA)).astype(np.int64)      # exact; half to even
    return T[:np.flatnonzero(T).max(initial=-1) + 2]


def gelu(y, f_bits: int):
    """G of raw integers y with ``f_bits`` fraction bits, in the same format."""
    T, v = table(f_bits), np.abs(y)
    return np.maximum(y, 0) - T[np.minimum(v, len(T) - 1)]


# --- tables of a gate ---------------------------------------------------------------------

def entries(fmt: QFormat) -> np.ndarray:
    """The real numbers of all raws of an index format, the lowest first."""
    return np.arange(fmt.lo, fmt.hi + 1) * 2.0 ** -fmt.f_bits


def sigmoid_table(index: QFormat, table: QFormat) -> np.ndarray:
    """``sigmoid(m)`` for every m of ``index``, nearest integer of ``table``."""
    return _rounded(1 / (1 + np.exp(-entries(index))), table)


def gelu_table(index: QFormat, table: QFormat) -> np.ndarray:
    """``max(y, 0) - GELU(y) = |y| Phi(-|y|)`` for every |y| of ``index``: 0 to 0.17."""
    a = entries(index)
    return _rounded(a * np.array([0.5 * math.erfc(v / math.sqrt(2)) for v in a]), table)


def _rounded(values: np.ndarray, fmt: QFormat) -> np.ndarray:
    return np.clip(np.rint(values * 2.0 ** fmt.f_bits), fmt.lo, fmt.hi).astype(np.int64)


TABLES = {"sigmoid": sigmoid_table, "gelu": gelu_table}     # by kind of quant.integer.ops.Table
