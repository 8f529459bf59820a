"""State update of the diagonal state space model, two steps at a time: one lane."""

from dataclasses import replace

import numpy as np
from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.base.qformat import QFormat
from quant.formats import RandomFormat
from quant.integer.memory import States
from quant.integer.operation import Tensor
from rtl.layer.state_update import latency, settle
from rtl.parts.multiplier import Products
from rtl.parts.pipeline import Pipeline
from rtl.parts.streams import shape_of

# Re(A h); and A2 h by Gauss: re = all - im_im, im = all + re_re.
PAIRS = {"rr": ("a_re", "h_re"), "ii": ("a_im", "h_im"), "all": ("a2_re", "h_sum"),
         "re_re": ("a2_less", "h_re"), "im_im": ("a2_sum", "h_im")}
ENTERING = {f"{g}u_{part}": (f"{g}_{part}", u) for g, u in (("g1", "u1"), ("g", "u2"))
            for part in ("re", "im")}
OPERANDS = ("h_re", "h_im", "a_re", "a_im", "a2_re", "a2_im")
ENTERS = ("g1_re", "g1_im", "g_re", "g_im", "u1", "u2")


def late_after(spread: bool) -> int:
    """Cycles from the operands of :class:`BlockUpdate` to the late ones."""
    return 3 if spread else 1


def p_after(spread: bool) -> int:
    """Cycles from the operands of :class:`BlockUpdate` to p."""
    return 4 if spread else 3


class BlockUpdate(wiring.Component):
    """Two steps ``h <- round(A2 h + g1 u1 + g u2)`` of a complex mode, and ``p = Re(A_bar h)``.

    .. code-block:: text

        h, A2 ─►[ ]─►(+)─►[operands]─►(x)x3─►[products]─►(+-)─►[ ]─►(+)─►[sums]─►round─►[rounded]
        h, A_bar ─►[ ]───►[operands]─►(x)x2─►[products]──┐      late ─►[ ]─┘                │
                                                       (-)─►[p]           [o]◄─saturate─┘

    A2 is ``A_bar^2``, g1 ``A_bar g``, both rounded on their own; p is what the states show
    between the two steps, but for u1. ``A2 h`` has three products (Gauss); all sums are exact, and
    there is one rounding. The registers without a name but that of ``late`` are for parts that are
    far apart. Model: :meth:`quant.integer.memory.States.update` of a block of two steps.

    Parameters
    ----------
    op : States
        Its formats and its rounding; the coefficients come with the states.
    u : QFormat
    random : RandomFormat
    fed : bool
        ``i.valid`` is always high, and ``o.valid`` from the start: only ``o.ready`` stops it.
    spread : bool
        With the registers for far parts.
    multiplier : str
        Cell of :class:`rtl.parts.multiplier.Products`, which has operands and products.

    Members
    -------
    i : ``In(stream.Signature(StructLayout))``
        Raw integers h_re, h_im, a_re, a_im, a2_re, a2_im; where u is a value also u1, u2 and the
        parts of g1 and g.
    late : ``In(StructLayout)``
        ``late_at`` enabled cycles after the transfer on ``i``. Where u is one bit, in_re and in_im:
        ``g1 u1 + g u2``. With ``stochastic`` the rounding word r of ``2 round_bits`` bits, the
        real part's in the low half. Without both it does not exist.
    p : ``Out``
        ``Re(A_bar h)``, exact, ``p_at`` enabled cycles after the transfer.
    o : ``Out(stream.Signature(StructLayout))``
        h_re, h_im after both steps; over: saturated parts, bit 0 real, bit 1 imaginary.

    Timing
    ------
    Latency of :func:`rtl.layer.state_update.latency`; one result per cycle; a stalled output stalls
    the whole pipeline: it is enabled where ``i.ready`` is.

    Resources
    ---------
    5 multipliers of ``a_bar.width + 1`` times ``h.width + 1`` bits; 4 more of ``g.width x u.width``
    bits where u is a value.

    Attributes
    ----------
    latency : int
        Enabled cycles from a transfer on ``i`` to ``o.valid``.
    """

    def __init__(self, op: States, u: QFormat, random: RandomFormat, fed: bool = False,
                 spread: bool = True, multiplier: str = ""):
        self.op, self.u, self.random, self.fed = op, u, random, fed
        self.multiplier = multiplier
        self.registers = 1 + spread     # in front of the multipliers, and from there to the sums
        self.latency, self.late_at, self.p_at = latency(spread), late_after(spread), p_after(spread)
        self.bit = u.width == 1 and not u.signed
        h, a, g = (shape_of(q) for q in (op.h, op.a_re.fmt, op.g_re.fmt))
        shapes = {"h": h, "a": a, "a2": a, "g1": g, "g": g, "u1": shape_of(u), "u2": shape_of(u)}
        self.factors = OPERANDS + (() if self.bit else ENTERS)
        late = {}
        if self.bit:
            late |= dict.fromkeys(("in_re", "in_im"), shape_of(op.g_re.fmt.total(2)))
        if op.rounding == "stochastic":
            late["r"] = 2 * random.round_bits
        super().__init__({
            "i": In(stream.Signature(data.StructLayout(
                {name: shapes[name.partition("_")[0]] for name in self.factors}))),
            "p": Out(shape_of(self._products())),
            "o": Out(stream.Signature(data.StructLayout({"h_re": h, "h_im": h, "over": 2}))),
        } | ({"late": In(data.StructLayout(late))} if late else {}))

    def model(self, u1, u2, r=0, h_re=0, h_im=0, **coefficients):
        """(h_re, h_im, number of saturated parts, p) for raw integers, scalars or arrays."""
        op = replace(self.op, **{name: Tensor(np.asarray(raw), getattr(self.op, name).fmt)
                                 for name, raw in coefficients.items()})
        p = op.a_re.raw * h_re - op.a_im.raw * h_im
        h_re, h_im, over = op.update(self.u, h_re, h_im, (u1, u2), r, self.random)
        return h_re, h_im, int(np.sum(over)), p

    def elaborate(self, platform):
        m = Module()
        op = self.op
        en = Signal()
        valid = Signal(self.latency, init=(1 << self.latency) - 1 if self.fed else 0)
        m.d.comb += [en.eq(~self.o.valid | self.o.ready), self.i.ready.eq(en),
                     self.o.valid.eq(valid[-1])]
        with m.If(en):
            m.d.sync += valid.eq(valid << 1 | self.i.valid)

        pipe = Pipeline(m, en)
        near = pipe.delay(self.i.payload, self.registers - 1, "near")
        factors = {name: near[name] for name in self.factors if name != "a2_im"} | {
            "h_sum": near.h_re + near.h_im, "a2_sum": near.a2_re + near.a2_im,
            "a2_less": near.a2_im - near.a2_re}
        m.submodules.products = x = Products(
            {name: value.shape() for name, value in factors.items()},
            PAIRS | ({} if self.bit else ENTERING), self.multiplier)
        m.d.comb += [x.en.eq(en), *(getattr(x, name).eq(value) for name, value in factors.items())]
        m.d.comb += self.p.eq(pipe.register((x.rr - x.ii)[:len(self.p)].as_signed(), "re_ah"))
        result = Signal(self.o.payload.shape(), reset_less=True)
        m.d.comb += self.o.payload.eq(result)
        late = pipe.register(self.late, "late_1") if "late" in self.signature.members else None
        drawn = pipe.register(late.r, "r") if op.rounding == "stochastic" else None
        for part, total in (("re", x.all - x.im_im), ("im", x.all + x.re_re)):
            fits = Signal(shape_of(self._products()), name=f"fits_{part}")
            m.d.comb += fits.eq(total)
            total = pipe.delay(fits, self.registers - 1, f"total_{part}")
            enters = late[f"in_{part}"] if self.bit else pipe.delay(
                getattr(x, f"g1u_{part}") + getattr(x, f"gu_{part}"), self.registers - 1,
                f"enters_{part}")
            acc = Signal(self._sum_shape(), reset_less=True, name=f"acc_{part}")
            with m.If(en):
                m.d.sync += acc.eq(total + (enters << op.align(self.u)))
            r = drawn
            if r is not None:
                r = r[self.random.round_bits:] if part == "im" else r[:self.random.round_bits]
            settle(m, en, op, part, acc, r, result)
        return m

    def _products(self) -> QFormat:
        """Of ``A h``, exact: a part is two products."""
        return (self.op.a_re.fmt * self.op.h).total(2)

    def _sum_shape(self):
        """Of ``A2 h + g1 u1 + g u2``, exact."""
        products, gu = self._products(), self.op.g_re.fmt
        gu = (gu if self.bit else gu * self.u).total(2)
        return shape_of(products + QFormat(gu.i_bits, min(gu.f_bits, products.f_bits), True))
