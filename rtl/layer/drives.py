"""The states' drive: the sum over a neuron's modes, and ``d u + b``."""

from amaranth import Mux, Signal

from rtl.layer.flow import Value
from rtl.parts.multiplier import Products
from rtl.parts.pipeline import Pipeline


class Drives:
    """``y = sum Re h + d u + b`` of G neurons, over the cycles of a word, in an engine's pipeline.

    Parameters
    ----------
    spec : LayerSpec
    y : Value
        Range and fraction bits of y, :func:`rtl.layer.chains.drive`.
    """

    def __init__(self, spec, y: Value):
        self.spec, self.y = spec, y
        self.op, (self.u,) = spec.cut.states.op, spec.cut.states.formats
        self.bit = self.u.width == 1 and not self.u.signed
        self.ahead = 2 if self.bit else 4       # cycles from the row's address to the sum

    def build(self, m, pipe: Pipeline, u: list, row, totals: list, head) -> list:
        """y, a cycle after ``totals``.

        u : what entered the states, ``ahead - 1`` cycles before ``totals``; row : d and b of each
        neuron, at that time; totals : the sum of the cycle's modes; head : a word's first cycle.
        """
        ys, up_h = [], self.y.f_bits - self.op.h.f_bits
        for g, total in enumerate(totals):
            base = self._base(m, pipe, str(g), u[g], row[g], "d")
            y = Signal(self.y.shape, name=f"y{g}", reset_less=True)
            with m.If(pipe.en):
                m.d.sync += y.eq((total << up_h) + Mux(head, base, y))
            ys.append(y)
        return ys

    def _base(self, m, pipe: Pipeline, name: str, u, row, d: str):
        """``d u + b`` of one neuron, with ``totals``; d : its factor in ``row``."""
        spec, f = self.spec, self.y.f_bits
        up = f - getattr(self.op, d).fmt.f_bits - self.u.f_bits
        b = 0
        if spec.cut.b:
            b = pipe.delay(row.b, self.ahead - 2, f"b{name}") << f - spec.cut.b.fmt.f_bits
        if self.bit:
            direct = Mux(u, row[d], 0)
        else:
            product = Products({"d": row[d].shape(), "u": u.shape()}, {"product": ("d", "u")},
                               spec.hw.multiplier)
            m.submodules[f"direct{name}"] = product
            m.d.comb += [product.en.eq(pipe.en), product.d.eq(row[d]), product.u.eq(u)]
            direct = product.product
        return pipe.register(b + (direct << up), f"base{name}")


class BlockDrives(Drives):
    """The same of a block of two steps, the first one ``y1 = p + d1 u1 + b``.

    p is the sum over a neuron's modes of what its states are at the first step's end but for u1,
    rounded to h's fraction bits.
    """

    def build(self, m, pipe: Pipeline, u: list, row, totals: list, head, ahead: list) -> list:
        """y of both steps. u : G of the first step, then G of the second; they and ``row`` hold in
        all cycles of a word. ahead : p, in a word's last cycle, with ``totals``."""
        G, up_h = self.spec.geo.G, self.y.f_bits - self.op.h.f_bits
        second, first = super().build(m, pipe, u[G:], row, totals, head), []
        for g, p in enumerate(ahead):
            base = self._base(m, pipe, f"_first{g}", u[g], row[g], "d1")
            y = Signal(self.y.shape, name=f"y_first{g}", reset_less=True)
            with m.If(pipe.en):
                m.d.sync += y.eq((p << up_h) + base)
            first.append(y)
        return first + second
