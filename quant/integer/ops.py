"""The operations of a block in integers: each reads named values and makes one.

This module is the specification, with ``quant.integer.memory``, which has those with a memory.
A value is a raw integer of a number format, a vector over the H neurons its last axis, so all work
on any leading axes too (steps, sequences). ``format`` says which format holds every result exactly;
only :class:`Round` and :class:`Limit` lose fraction bits, only :class:`Limit` and :class:`Clamp`
saturate. The same records with real numbers in their tensors (``fmt`` None) are a folded network.
"""

from dataclasses import dataclass, field

import numpy as np

from golden.base.qformat import QFormat
from quant.formats import BIT, TERNARY, THRESHOLD
from quant.integer import curves
from quant.integer.operation import Operation, Tensor, largest, round_half_even


@dataclass(frozen=True)
class Scale(Operation):
    """``a x + b`` with an a and a b for each neuron; a missing a is 1, a missing b is 0."""

    a: Tensor | None = None
    b: Tensor | None = None

    def check(self, need, x):
        need(self.a or self.b, "neither a nor b")
        if self.b:
            f = self.format(x).f_bits
            need(self.b.fmt.f_bits <= f, f"b {self.b.fmt} has more fraction bits than its sum, {f}")

    def format(self, x):
        """Of the exact product and sum"""
        product = self.a.fmt * x if self.a else x
        if not self.b:
            return product
        return product + QFormat(self.b.fmt.i_bits, min(self.b.fmt.f_bits, product.f_bits),
                                 self.b.fmt.signed)

    def apply(self, formats, x):
        x = self.a.raw * x if self.a else x
        up = self.format(*formats).f_bits - self.b.fmt.f_bits if self.b else 0
        return x + (self.b.raw << up) if self.b else x

    def bound(self, formats, x):
        f = self.format(*formats).f_bits
        return (largest(self.a.raw) if self.a else 1) * x + (
            largest(self.b.raw) << f - self.b.fmt.f_bits if self.b else 0)


@dataclass(frozen=True)
class Round(Operation):
    """x to the nearest number of ``bits`` fraction bits, ties to the even one."""

    bits: int = 0

    def check(self, need, x):
        need(0 <= self.bits <= x.f_bits, f"{self.bits} fraction bits of {x}")

    def format(self, x):
        """``bits`` fraction bits, and an integer bit more than x"""
        return QFormat(x.i_bits + 1, self.bits, x.signed)

    def apply(self, formats, x):
        return round_half_even(x, formats[0].f_bits - self.bits)

    def bound(self, formats, x):
        return x + (1 << formats[0].f_bits - self.bits)


@dataclass(frozen=True)
class Limit(Operation):
    """x rounded half to even and saturated to the format ``to``; ``counted``: in reports."""

    to: QFormat = None
    counted: bool = True

    def check(self, need, x):
        need(self.to.f_bits <= x.f_bits, f"{self.to} has more fraction bits than its sum, {x}")

    @property
    def saturates(self):
        return {self.makes: self.to} if self.counted else {}

    def format(self, x):
        """``to``"""
        return self.to

    def apply(self, formats, x):
        rounded = round_half_even(x, formats[0].f_bits - self.to.f_bits)
        out = np.clip(rounded, self.to.lo, self.to.hi)
        return out, out != rounded

    def bound(self, formats, x):
        return x + (1 << formats[0].f_bits - self.to.f_bits)


@dataclass(frozen=True)
class Clamp(Operation):
    """``min(max(x, 0), 1)``."""

    def format(self, x):
        """UQ(1, f) with the f fraction bits of x"""
        return QFormat(1, x.f_bits, False)

    def apply(self, formats, x):
        return np.clip(x, 0, 1 << formats[0].f_bits)


@dataclass(frozen=True)
class Add(Operation):
    """``x + z``, each neuron's with its own."""

    def format(self, x, z):
        """Of the exact sum"""
        return x + z

    def apply(self, formats, x, z):
        f = self.format(*formats).f_bits
        return (x << f - formats[0].f_bits) + (z << f - formats[1].f_bits)

    bound = apply


@dataclass(frozen=True)
class Product(Operation):
    """``n gate``, each neuron's with its own."""

    def format(self, n, gate):
        """Of the exact product"""
        return n * gate

    def apply(self, formats, n, gate):
        return n * gate

    bound = apply


@dataclass(frozen=True)
class Mix(Operation):
    """``(W s << shift) + bias``: with spikes s the sum of the columns of W that fired.

    W is (H_out, H_in). A row's real scale is ``2**(shift - f)`` with the f fraction bits of
    ``bias``; without a shift W is ternary, by the threshold ``ternary`` times its largest weight
    (``golden.model.neurons``). s may be -1 too, or any value.
    """

    w: Tensor = None
    bias: Tensor = None
    shift: Tensor | None = None
    ternary: float = field(default=0.0, metadata={"training": True})

    SHAPES = {"w": ("H", "H")}

    def check(self, need, s):
        need(self.shift or self.bias.fmt.f_bits == self.w.fmt.f_bits + s.f_bits,
             f"bias {self.bias.fmt} must have the fraction bits of w {self.w.fmt} times {s}")
        need(not self.shift or 0 <= self.shift.fmt.lo <= self.shift.fmt.hi < 64,
             f"shift {self.shift and self.shift.fmt} must hold 0 to 63 at most")

    def format(self, s):
        """Of a row's exact sum, shifted as far as ``shift`` goes; fraction bits of bias"""
        total = (self.w.fmt * s).total(self.w.raw.shape[1])
        up = self.shift.fmt.hi if self.shift else 0
        f = self.bias.fmt.f_bits
        return QFormat(max(1, total.width + up - f), f, True) + self.bias.fmt

    def apply(self, formats, s):
        return self.shifted(s @ self.w.raw.T)

    def shifted(self, total):
        """The result for the rows' sums ``W s``."""
        return (total << self.shift.raw if self.shift else total) + self.bias.raw

    def bound(self, formats, s):
        rows = abs(self.w.raw).sum(1).astype(object) * s
        return int(max(rows << self.shift.raw if self.shift else rows)) + largest(self.bias.raw)


@dataclass(frozen=True)
class Curve(Operation):
    """``max(y, 0)`` (kind ``relu``), or GELU(y) by ``quant.integer.curves`` (``gelu``)."""

    kind: str = "relu"

    def check(self, need, y):
        need(self.kind in ("relu", "gelu"), f"kind must be relu or gelu, not {self.kind!r}")
        need(self.kind == "relu" or 0 <= y.f_bits <= curves.FINEST,
             f"{y}: a GELU takes 0 to {curves.FINEST} fraction bits")

    def format(self, y):
        """That of y"""
        return y

    def apply(self, formats, y):
        return np.maximum(y, 0) if self.kind == "relu" else curves.gelu(y, formats[0].f_bits)


@dataclass(frozen=True)
class Table(Operation):
    """sigmoid(y) or GELU(y), by a table of values at the raw integers of the format ``index``.

    ``sigmoid``: the entry of y, whose format is ``index``. ``gelu``: ``max(y, 0)`` less the entry
    of \\|y\\|, rounded to ``index``, the last one beyond: there the rest is below half an LSB.
    """

    kind: str = "sigmoid"
    index: QFormat = None
    table: Tensor = None

    SHAPES = {"table": ("entries",)}

    def check(self, need, y):
        need(self.kind in curves.TABLES,
             f"kind must be {' or '.join(curves.TABLES)}, not {self.kind!r}")
        need(len(self.table.raw) == 1 << self.index.width,
             f"{len(self.table.raw)} entries, an index {self.index} has {1 << self.index.width}")
        if self.kind == "sigmoid":
            need(y == self.index, f"index {self.index} must be the format {y} of what it looks up")
        else:
            f = max(self.index.f_bits, self.table.fmt.f_bits)
            need(y.f_bits >= f, f"{y} must have at least the {f} fraction bits of index and table")

    def format(self, y):
        """``sigmoid``: the table's; ``gelu``: that of y"""
        return self.table.fmt if self.kind == "sigmoid" else y

    def apply(self, formats, y):
        if self.kind == "sigmoid":
            return self.table.raw[y - self.index.lo]
        f = formats[0].f_bits
        at = np.minimum(round_half_even(abs(y), f - self.index.f_bits), self.index.hi)
        return np.maximum(y, 0) - (self.table.raw[at] << f - self.table.fmt.f_bits)


@dataclass(frozen=True)
class Step(Operation):
    """1 where ``y >= 0``, else 0; without ``fires_at_zero`` 1 where ``y > 0``."""

    fires_at_zero: bool = True
    # of its gradient, for fine-tuning, see golden.model.neurons
    surrogate: str = field(default="triangle", metadata={"training": True})
    width: float = field(default=1.0, metadata={"training": True})

    def format(self, y):
        """One bit, UQ(1,0)"""
        return BIT

    def apply(self, formats, y):
        return (y >= 1 - self.fires_at_zero).astype(np.int64)


@dataclass(frozen=True)
class Ternary(Operation):
    """``sign(z)`` where ``|z| > c max |z|``, else 0; the maximum of all neurons, c = ``threshold``.

    One product a step: |z| is shifted to the fraction bits of ``c max |z|``.
    """

    threshold: Tensor = None

    SHAPES = {"threshold": ()}

    def check(self, need, z):
        need(self.threshold.fmt == THRESHOLD, f"threshold must be {THRESHOLD}")

    def format(self, z):
        """-1, 0 or 1, SQ(2,0)"""
        return TERNARY

    def apply(self, formats, z):
        limit = self.threshold.raw * abs(z).max(-1, keepdims=True)
        return np.sign(z) * ((abs(z) << THRESHOLD.f_bits) > limit)

    def bound(self, formats, z):
        return z << THRESHOLD.f_bits


@dataclass(frozen=True)
class Embed(Operation):
    """Row v of ``table`` (vocab, H) for token v; ``unit``: fine-tuning keeps it in [0, 1]."""

    table: Tensor = None
    unit: bool = field(default=False, metadata={"training": True})

    SHAPES = {"table": ("vocab", "H")}

    def format(self, v):
        """The table's"""
        return self.table.fmt

    def apply(self, formats, v):
        return self.table.raw[v[..., 0]]

    def bound(self, formats, v):
        return largest(self.table.raw)
