"""State update of the diagonal state space model: one complex multiply-add lane."""

import numpy as np
from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.formats import BIT, LayerFormats, RandomFormat
from quant.integer.memory import States
from quant.integer.operation import Tensor
from rtl.parts.arith import round_half_even, round_stochastic, saturate
from rtl.parts.multiplier import Products
from rtl.parts.pipeline import Pipeline
from rtl.parts.streams import shape_of


def latency(spread: bool) -> int:
    """Cycles of :class:`StateUpdate`, with or without the registers for far parts."""
    return 7 if spread else 5


class StateUpdate(wiring.Component):
    """One step ``h <- round(A_bar h + g s)`` of a complex mode, state and coefficients outside.

    .. code-block:: text

        h, A_bar ─►[ ]─►[operands]─►(x)x4─►[products]─►(+-)─►[ ]─►(+)─►[sums]─►round─►[rounded]
        g, s ─────►[ ]─►[operands]─►(and)─►[g s]────────────►[ ]───┘                      │
                                                                            [o]◄─saturate─┘

    Coupled form: four real products, exact sums, one rounding (:mod:`quant.integer.reference`'s
    ``state_update``). The registers without a name are for parts that are far apart: near the
    RAMs, and between the adders.

    Parameters
    ----------
    fmt : LayerFormats
    random : RandomFormat
    rounding : str
        ``stochastic`` or ``half_even``.
    fed : bool
        ``i.valid`` is always high, and ``o.valid`` from the start: only ``o.ready`` stops it.
    spread : bool
        With the registers that have no name in the picture.
    multiplier : str
        Cell of :class:`rtl.parts.multiplier.Products`, which has operands and products.

    Members
    -------
    i : ``In(stream.Signature(StructLayout))``
        Raw integers h_re, h_im, s, a_re, a_im, g_re, g_im; with ``stochastic`` also the rounding
        word r of ``2 round_bits`` bits, the real part's in the low half.
    o : ``Out(stream.Signature(StructLayout))``
        h_re, h_im after the step; over: saturated parts, bit 0 real, bit 1 imaginary.

    Timing
    ------
    Latency of :func:`latency`; one result per cycle; a stalled output stalls
    the whole pipeline.

    Resources
    ---------
    4 multipliers of ``a_bar.width x h.width`` bits.

    Attributes
    ----------
    latency : int
        Cycles from a transfer on ``i`` to ``o.valid``.
    """

    def __init__(self, fmt: LayerFormats, random: RandomFormat, rounding: str, fed: bool = False,
                 spread: bool = True, multiplier: str = ""):
        self.multiplier = multiplier
        self.registers = 1 + spread     # in front of the multipliers, and from there to the sums
        self.latency = latency(spread)
        self.fmt = fmt
        self.random = random
        self.rounding, self.fed = rounding, fed
        h, a, g = (shape_of(q) for q in (fmt.h, fmt.a_bar, fmt.g))
        operands = {"h_re": h, "h_im": h, "s": 1, "a_re": a, "a_im": a, "g_re": g, "g_im": g}
        if rounding == "stochastic":
            operands["r"] = 2 * random.round_bits
        super().__init__({
            "i": In(stream.Signature(data.StructLayout(operands))),
            "o": Out(stream.Signature(data.StructLayout({"h_re": h, "h_im": h, "over": 2}))),
        })

    def model(self, h_re, h_im, s, a_re, a_im, g_re, g_im, r=0):
        """(h_re, h_im, number of saturated parts) for raw integers, scalars or arrays."""
        fmt = self.fmt
        op = States("s -> y", *(Tensor(np.asarray(raw), f) for raw, f in (
            (a_re, fmt.a_bar), (a_im, fmt.a_bar), (g_re, fmt.g), (g_im, fmt.g))), None, fmt.h,
            self.rounding)
        h_re, h_im, over = op.update(BIT, h_re, h_im, s, r, self.random)
        return h_re, h_im, int(np.sum(over))

    def elaborate(self, platform):
        m = Module()
        fmt, bits = self.fmt, self.random.round_bits
        align = (fmt.a_bar * fmt.h).f_bits - fmt.g.f_bits
        en = Signal()
        valid = Signal(self.latency, init=(1 << self.latency) - 1 if self.fed else 0)
        m.d.comb += [en.eq(~self.o.valid | self.o.ready), self.i.ready.eq(en),
                     self.o.valid.eq(valid[-1])]
        with m.If(en):
            m.d.sync += valid.eq(valid << 1 | self.i.valid)

        pipe = Pipeline(m, en)
        near = pipe.delay(self.i.payload, self.registers - 1, "near")
        p = pipe.register(near, "operands")     # but for the factors, which `products` registers
        factors = ("a_re", "a_im", "h_re", "h_im")
        m.submodules.products = x = Products(
            {name: near[name].shape() for name in factors},
            {"rr": ("a_re", "h_re"), "ii": ("a_im", "h_im"),
             "ri": ("a_re", "h_im"), "ir": ("a_im", "h_re")}, self.multiplier)
        m.d.comb += [x.en.eq(en), *(getattr(x, name).eq(near[name]) for name in factors)]
        result = Signal(self.o.payload.shape(), reset_less=True)
        m.d.comb += self.o.payload.eq(result)
        for part, g, total in (("re", p.g_re, x.rr - x.ii), ("im", p.g_im, x.ri + x.ir)):
            total = pipe.delay(total, self.registers - 1, f"total_{part}")
            gs = pipe.delay(Mux(p.s, g, 0), self.registers, f"gs_{part}")
            acc = Signal(shape_of(fmt.acc), reset_less=True, name=f"acc_{part}")
            with m.If(en):
                m.d.sync += acc.eq(total + (gs << align))
            if self.rounding == "stochastic":
                low = bits * (part == "im")
                r_acc = pipe.delay(p.r[low:low + bits], self.registers + 1, f"r_{part}")
                rounded = round_stochastic(acc, fmt.a_bar.f_bits, r_acc, bits)
            else:
                rounded = round_half_even(acc, fmt.a_bar.f_bits)
            whole = Signal(rounded.shape(), reset_less=True, name=f"rounded_{part}")
            h, over = saturate(whole, fmt.h)
            with m.If(en):
                m.d.sync += [whole.eq(rounded), result[f"h_{part}"].eq(h),
                             result.over[part == "im"].eq(over)]
        return m
