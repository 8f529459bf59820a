"""The alternative to ``rtl.layer.state_update``: a lane of the delta form, for comparison."""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.base.qformat import QFormat
from quant.formats import LayerFormats, RandomFormat
from rtl.parts.arith import round_stochastic, saturate
from rtl.parts.streams import shape_of


class DeltaUpdate(wiring.Component):
    """One step of a real second-order section, two products, stochastic rounding, saturation.

    .. code-block:: text

        w1, c1, c2 ─►[operands]─►(x)x2──────►[products]─►(+)─►[sums]─►round, saturate─►[o]
        w1, w2, m ──►[operands]─►(shift, +)─►[base]──────►(+)──┘
        b1, b2, s ──►[operands]─►(and)──────►[b s]───────►(+)──┘

    ``w1 <- w1 + c1 w1 + 2^-m w2 + b1 s``, ``w2 <- w2 + c2 w1 + b2 s``: stage for stage the pipeline
    of ``rtl.layer.state_update.StateUpdate``, and the same streams. With ``balanced`` the shift is
    after the products, ``w1 <- w1 + 2^-m (c1 w1 + w2) + b1 s``, ``w2 <- w2 + 2^-m c2 w1 + b2 s``,
    in one more stage.

    Parameters
    ----------
    fmt : LayerFormats
        ``h`` is the format of w1 and w2, ``g`` of b1 and b2.
    coef : QFormat
        Of c1 and c2.
    random : RandomFormat
    shifts : tuple of int
        The values that m can have; one value costs no hardware.
    balanced : bool

    Members
    -------
    i : ``In(stream.Signature(StructLayout))``
        Raw integers w1, w2, s, c1, c2, b1, b2, m (index into ``shifts``), r.
    o : ``Out(stream.Signature(StructLayout))``
        w1, w2 after the step; over: saturated words.

    Timing
    ------
    Latency 4 cycles, 5 if balanced; one result per cycle.
    """

    def __init__(self, fmt: LayerFormats, coef: QFormat, random: RandomFormat,
                 shifts: tuple[int, ...], balanced: bool = False):
        self.fmt, self.coef, self.random = fmt, coef, random
        self.shifts, self.balanced = shifts, balanced
        self.latency = 4 + balanced
        h, c, b = shape_of(fmt.h), shape_of(coef), shape_of(fmt.g)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "w1": h, "w2": h, "s": 1, "c1": c, "c2": c, "b1": b, "b2": b,
                "m": (len(shifts) - 1).bit_length(), "r": 2 * random.round_bits}))),
            "o": Out(stream.Signature(data.StructLayout({"w1": h, "w2": h, "over": 2}))),
        })

    def elaborate(self, platform):
        m = Module()
        fmt, f_c, top = self.fmt, self.coef.f_bits, max(self.shifts)
        extra = top if self.balanced else 0     # fraction bits that the late shift adds
        align = f_c + extra + fmt.h.f_bits - fmt.g.f_bits
        en = Signal()
        valid = Signal(self.latency - 1)
        m.d.comb += [en.eq(~self.o.valid | self.o.ready), self.i.ready.eq(en)]
        with m.If(en):
            m.d.sync += [valid.eq(valid << 1 | self.i.valid), self.o.valid.eq(valid[-1])]

        def register(value, name):
            out = Signal(value.shape(), reset_less=True, name=name)
            with m.If(en):
                m.d.sync += out.eq(value)
            return out

        def shifted(value, index, name):
            """``value << top - m``: a multiplexer of constant shifts."""
            options = [value << top - by for by in self.shifts]
            wide = Signal(max((v.shape() for v in options), key=lambda s: s.width), name=name)
            m.d.comb += wide.eq(Array(options)[index] if len(options) > 1 else options[0])
            return wide

        p = Signal(self.i.payload.shape(), reset_less=True)
        with m.If(en):
            m.d.sync += p.eq(self.i.payload)
        q1, q2 = register(p.c1 * p.w1, "q1"), register(p.c2 * p.w1, "q2")
        gs1, gs2 = (register(Mux(p.s, b, 0), f"gs{k}") for k, b in ((1, p.b1), (2, p.b2)))
        r = register(p.r, "r_products")
        if self.balanced:
            w1, w2, index = (register(p[name], f"{name}_products") for name in ("w1", "w2", "m"))
            t1, t2 = register(q1 + (w2 << f_c), "t1"), register(q2, "t2")
            base1 = register((w1 << f_c + extra) + (gs1 << align), "base1")
            base2 = register((w2 << f_c + extra) + (gs2 << align), "base2")
            index, r = register(index, "m_sums"), register(r, "r_sums")
            acc1 = register(base1 + shifted(t1, index, "late1"), "acc1")
            acc2 = register(base2 + shifted(t2, index, "late2"), "acc2")
        else:
            early = shifted(p.w2, p.m, "early")             # 2^top 2^-m w2
            base1 = register((p.w1 << f_c) + (early << f_c - top), "base1")
            base2 = register(p.w2 << f_c, "base2")
            acc1 = register(q1 + base1 + (gs1 << align), "acc1")
            acc2 = register(q2 + base2 + (gs2 << align), "acc2")
        r, bits = register(r, "r_acc"), self.random.round_bits
        for k, (word, acc) in enumerate((("w1", acc1), ("w2", acc2))):
            rounded = round_stochastic(acc, f_c + extra, r[k * bits:(k + 1) * bits], bits)
            out, over = saturate(rounded, fmt.h)
            with m.If(en):
                m.d.sync += [self.o.payload[word].eq(out), self.o.payload.over[k].eq(over)]
        return m


class Harness(wiring.Component):
    """Lanes between a scan chain of operands and a chain that folds every result: few pins.

    Both chains are flip-flop to flip-flop through at most one gate, so Fmax is the lanes'.
    """

    def __init__(self, make_lane, lanes: int):
        self.make_lane, self.lanes = make_lane, lanes
        super().__init__({"scan": In(1), "fold": Out(1)})

    def elaborate(self, platform):
        m = Module()
        results = []
        chain = self.scan
        for k in range(self.lanes):
            m.submodules[f"lane_{k}"] = lane = self.make_lane()
            bits = Signal(len(lane.i.payload.as_value()) + 2, name=f"operands_{k}",
                          reset_less=True)
            m.d.sync += bits.eq((bits << 1) | chain)
            chain = bits[-1]
            m.d.comb += [lane.i.payload.eq(bits[2:]), lane.i.valid.eq(bits[0]),
                         lane.o.ready.eq(bits[1])]
            results += [*lane.o.payload.as_value(), lane.o.valid, lane.i.ready]
        fold = Signal(len(results), reset_less=True)
        m.d.sync += [fold[0].eq(results[0])]
        m.d.sync += [fold[j].eq(fold[j - 1] ^ results[j]) for j in range(1, len(results))]
        m.d.comb += self.fold.eq(fold[-1])
        return m
