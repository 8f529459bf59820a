"""The two functions of a gate as tables of integers: sigmoid, and the part of GELU below a ramp."""

import math

import numpy as np

from quant.formats import QFormat


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


TABLES = {"glu": sigmoid_table, "gsu": gelu_table}
