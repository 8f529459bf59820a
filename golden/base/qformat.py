"""Number formats: how a raw integer stands for a real number.

A raw integer ``r`` in format ``SQ(i, f)`` or ``UQ(i, f)`` stands for the real number ``r * 2**-f``.
``i`` counts the sign bit, so the width is always ``i + f`` (as in HLS ``ap_fixed<i + f, i>``).
"""

import re
from dataclasses import dataclass
from reprlib import repr as shown

import numpy as np

from golden.base.cli import UserError


class FormatError(UserError):
    """Widths that make no format, or values that are not in one; the message names both."""


@dataclass(frozen=True)
class QFormat:
    """A two's complement fixed-point format; use :func:`SQ` and :func:`UQ` to make one."""

    i_bits: int
    f_bits: int
    signed: bool

    def __post_init__(self):
        if self.width < 1 or (self.signed and self.i_bits < 1):
            raise FormatError(f"{self} has no room for a value; give it at least one integer bit")

    @property
    def width(self) -> int:
        return self.i_bits + self.f_bits

    @property
    def lo(self) -> int:
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        return (1 << (self.width - self.signed)) - 1

    def __mul__(self, other: "QFormat") -> "QFormat":
        """Format that holds every product exactly."""
        return QFormat(self.i_bits + other.i_bits, self.f_bits + other.f_bits,
                       self.signed or other.signed)

    def __add__(self, other: "QFormat") -> "QFormat":
        """Format that holds every sum exactly."""
        signed = self.signed or other.signed
        i_bits = max(q.i_bits + (signed and not q.signed) for q in (self, other))
        return QFormat(i_bits + 1, max(self.f_bits, other.f_bits), signed)

    def total(self, count: int) -> "QFormat":
        """Format that holds every sum of ``count`` values exactly."""
        return QFormat(self.i_bits + (count - 1).bit_length(), self.f_bits, self.signed)

    def check(self, raw: np.ndarray, name: str) -> np.ndarray:
        """Return ``raw`` unchanged, or raise if any element does not fit."""
        raw = np.asarray(raw)
        bad = np.count_nonzero((raw < self.lo) | (raw > self.hi))
        if bad:
            raise FormatError(f"{name}: {bad} of {raw.size} values outside {self} "
                              f"[{self.lo}, {self.hi}]; seen [{raw.min()}, {raw.max()}]")
        return raw

    def __str__(self) -> str:
        return f"{'SQ' if self.signed else 'UQ'}({self.i_bits},{self.f_bits})"

    @classmethod
    def parse(cls, text: str) -> "QFormat":
        """Inverse of ``str``: ``SQ(4,12)``."""
        match = re.fullmatch(r"([SU])Q\((-?[0-9]{1,3}),(-?[0-9]{1,3})\)", str(text))
        if not match:
            raise FormatError(f"{shown(text)} is not a number format; write SQ(i,f) or "
                              f"UQ(i,f), numbers of up to three digits")
        return cls(int(match[2]), int(match[3]), match[1] == "S")


def SQ(i_bits: int, f_bits: int) -> QFormat:
    """Signed format with ``i_bits`` integer bits (sign included) and ``f_bits`` fraction bits."""
    return QFormat(i_bits, f_bits, signed=True)


def UQ(i_bits: int, f_bits: int) -> QFormat:
    """Unsigned format with ``i_bits`` integer bits and ``f_bits`` fraction bits."""
    return QFormat(i_bits, f_bits, signed=False)


def fit_signed(values: np.ndarray, width: int, f_max: int | None = None) -> QFormat:
    """``SQ(i, width - i)`` with the fewest integer bits that hold every rounded value.

    With ``f_max`` the fraction is at most that long, and the format narrower than ``width`` if need
    be. Values too large for ``width`` bits get a format with negative fraction bits: refuse it.
    """
    largest = float(np.max(np.abs(values), initial=0.0))
    i_bits = 1
    while np.rint(largest * 2.0 ** (width - i_bits)) > (1 << width - 1) - 1:
        i_bits += 1
    f_bits = width - i_bits if f_max is None else min(width - i_bits, f_max)
    return SQ(i_bits, f_bits)


def wider(one: QFormat, other: QFormat) -> QFormat:
    """The format that holds all values of two with the same fraction bits."""
    if one.f_bits != other.f_bits:
        raise FormatError(f"{one} and {other} must have the same fraction bits")
    i_bits = max(q.i_bits + (not q.signed) for q in (one, other))
    return SQ(i_bits, one.f_bits) if one.signed or other.signed else UQ(i_bits - 1, one.f_bits)


def cover_signed(low: float, high: float, f_bits: int) -> QFormat:
    """``SQ(i, f_bits)`` with the fewest integer bits that hold ``low`` to ``high`` rounded."""
    fmt = SQ(max(1, 1 - f_bits), f_bits)
    while not fmt.lo <= np.rint(low * 2.0 ** f_bits) <= np.rint(high * 2.0 ** f_bits) <= fmt.hi:
        fmt = SQ(fmt.i_bits + 1, f_bits)
    return fmt
