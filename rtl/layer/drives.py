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
        op, spec, f = self.op, self.spec, self.y.f_bits
        up_h, up_d = f - op.h.f_bits, f - op.d.fmt.f_bits - self.u.f_bits
        up_b = spec.cut.b and f - spec.cut.b.fmt.f_bits
        ys = []
        for g, total in enumerate(totals):
            b = pipe.delay(row[g].b, self.ahead - 2, f"b{g}") << up_b if spec.cut.b else 0
            if self.bit:
                direct = Mux(u[g], row[g].d, 0)
            else:
                product = Products({"d": row[g].d.shape(), "u": u[g].shape()},
                                   {"product": ("d", "u")}, spec.hw.multiplier)
                m.submodules[f"direct{g}"] = product
                m.d.comb += [product.en.eq(pipe.en), product.d.eq(row[g].d), product.u.eq(u[g])]
                direct = product.product
            base = pipe.register(b + (direct << up_d), f"base{g}")
            y = Signal(self.y.shape, name=f"y{g}", reset_less=True)
            with m.If(pipe.en):
                m.d.sync += y.eq((total << up_h) + Mux(head, base, y))
            ys.append(y)
        return ys
