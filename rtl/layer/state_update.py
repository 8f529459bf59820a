"""State update of the diagonal state space model: one complex multiply-add lane."""

from dataclasses import replace

import numpy as np
from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.base.qformat import QFormat
from quant.formats import RandomFormat
from quant.integer.memory import States
from quant.integer.operation import Tensor
from rtl.parts.arith import round_half_even, round_stochastic, saturate
from rtl.parts.multiplier import Products
from rtl.parts.pipeline import Pipeline
from rtl.parts.streams import shape_of


def latency(spread: bool) -> int:
    """Cycles of :class:`StateUpdate`, with or without the registers for far parts."""
    return 7 if spread else 5


def settle(m: Module, en, op: States, part: str, acc, r, result) -> None:
    """The last two registers of a lane: a sum rounded, then saturated.

    part : re or im; acc : its exact sum, with the fraction bits of ``A_bar h``; r : its rounding
    word, or None for half to even; result : structure of h_re, h_im and over.
    """
    shift = op.a_re.fmt.f_bits
    rounded = round_half_even(acc, shift) if r is None else \
        round_stochastic(acc, shift, r, len(r))
    whole = Signal(rounded.shape(), reset_less=True, name=f"rounded_{part}")
    h, over = saturate(whole, op.h)
    with m.If(en):
        m.d.sync += [whole.eq(rounded), result[f"h_{part}"].eq(h),
                     result.over[part == "im"].eq(over)]


class StateUpdate(wiring.Component):
    """One step ``h <- round(A_bar h + g u)`` of a complex mode, state and coefficients outside.

    .. code-block:: text

        h, A_bar ─►[ ]─►[operands]─►(x)x4─►[products]─►(+-)─►[ ]─►(+)─►[sums]─►round─►[rounded]
        g, u ─────►[ ]─►[operands]─►(x)x2─►[g u]────────────►[ ]───┘                      │
                                                                            [o]◄─saturate─┘

    Coupled form: four real products, exact sums, one rounding (:class:`quant.integer.memory.States`
    ). Where u is one bit, ``g u`` needs no product. The registers without a name are for parts that
    are far apart: near the RAMs, and between the adders.

    Parameters
    ----------
    op : States
        Its formats and its rounding; the coefficients come with the states.
    u : QFormat
    random : RandomFormat
    fed : bool
        ``i.valid`` is always high, and ``o.valid`` from the start: only ``o.ready`` stops it.
    spread : bool
        With the registers that have no name in the picture.
    multiplier : str
        Cell of :class:`rtl.parts.multiplier.Products`, which has operands and products.

    Members
    -------
    i : ``In(stream.Signature(StructLayout))``
        Raw integers h_re, h_im, u, a_re, a_im, g_re, g_im; with ``stochastic`` also the rounding
        word r of ``2 round_bits`` bits, the real part's in the low half.
    o : ``Out(stream.Signature(StructLayout))``
        h_re, h_im after the step; over: saturated parts, bit 0 real, bit 1 imaginary.

    Timing
    ------
    Latency of :func:`latency`; one result per cycle; a stalled output stalls
    the whole pipeline.

    Resources
    ---------
    4 multipliers of ``a_bar.width x h.width`` bits; 2 more of ``g.width x u.width`` bits where u is
    a value.

    Attributes
    ----------
    latency : int
        Cycles from a transfer on ``i`` to ``o.valid``.
    """

    def __init__(self, op: States, u: QFormat, random: RandomFormat, fed: bool = False,
                 spread: bool = True, multiplier: str = ""):
        self.op, self.u, self.random, self.fed = op, u, random, fed
        self.multiplier = multiplier
        self.registers = 1 + spread     # in front of the multipliers, and from there to the sums
        self.latency = latency(spread)
        self.bit = u.width == 1 and not u.signed
        h, a, g = (shape_of(q) for q in (op.h, op.a_re.fmt, op.g_re.fmt))
        operands = {"h_re": h, "h_im": h, "u": shape_of(u), "a_re": a, "a_im": a, "g_re": g,
                    "g_im": g}
        if op.rounding == "stochastic":
            operands["r"] = 2 * random.round_bits
        super().__init__({
            "i": In(stream.Signature(data.StructLayout(operands))),
            "o": Out(stream.Signature(data.StructLayout({"h_re": h, "h_im": h, "over": 2}))),
        })

    def model(self, h_re, h_im, u, a_re, a_im, g_re, g_im, r=0):
        """(h_re, h_im, number of saturated parts) for raw integers, scalars or arrays."""
        op = self.op
        op = replace(op, **{name: Tensor(np.asarray(raw), getattr(op, name).fmt) for name, raw in (
            ("a_re", a_re), ("a_im", a_im), ("g_re", g_re), ("g_im", g_im))})
        h_re, h_im, over = op.update(self.u, h_re, h_im, u, r, self.random)
        return h_re, h_im, int(np.sum(over))

    def elaborate(self, platform):
        m = Module()
        op, bits = self.op, self.random.round_bits
        en = Signal()
        valid = Signal(self.latency, init=(1 << self.latency) - 1 if self.fed else 0)
        m.d.comb += [en.eq(~self.o.valid | self.o.ready), self.i.ready.eq(en),
                     self.o.valid.eq(valid[-1])]
        with m.If(en):
            m.d.sync += valid.eq(valid << 1 | self.i.valid)

        pipe = Pipeline(m, en)
        near = pipe.delay(self.i.payload, self.registers - 1, "near")
        p = pipe.register(near, "operands")     # but for the factors, which `products` registers
        factors = ["a_re", "a_im", "h_re", "h_im"] + ["g_re", "g_im", "u"] * (not self.bit)
        pairs = {"rr": ("a_re", "h_re"), "ii": ("a_im", "h_im"),
                 "ri": ("a_re", "h_im"), "ir": ("a_im", "h_re")}
        pairs |= {} if self.bit else {"gu_re": ("g_re", "u"), "gu_im": ("g_im", "u")}
        m.submodules.products = x = Products({name: near[name].shape() for name in factors}, pairs,
                                             self.multiplier)
        m.d.comb += [x.en.eq(en), *(getattr(x, name).eq(near[name]) for name in factors)]
        result = Signal(self.o.payload.shape(), reset_less=True)
        m.d.comb += self.o.payload.eq(result)
        for part, total in (("re", x.rr - x.ii), ("im", x.ri + x.ir)):
            total = pipe.delay(total, self.registers - 1, f"total_{part}")
            gu = pipe.delay(Mux(p.u, p[f"g_{part}"], 0), self.registers, f"gs_{part}") \
                if self.bit else pipe.delay(getattr(x, f"gu_{part}"), self.registers - 1,
                                            f"gu_{part}")
            acc = Signal(self._sum_shape(), reset_less=True, name=f"acc_{part}")
            with m.If(en):
                m.d.sync += acc.eq(total + (gu << op.align(self.u)))
            r_acc = None
            if op.rounding == "stochastic":
                low = bits * (part == "im")
                r_acc = pipe.delay(p.r[low:low + bits], self.registers + 1, f"r_{part}")
            settle(m, en, op, part, acc, r_acc, result)
        return m

    def _sum_shape(self):
        """Of ``A_bar h + g u``, exact: two products and one more."""
        op = self.op
        products, gu = (op.a_re.fmt * op.h).total(2), op.g_re.fmt
        gu = gu if self.bit else gu * self.u
        return shape_of(products + QFormat(gu.i_bits, min(gu.f_bits, products.f_bits), True))
