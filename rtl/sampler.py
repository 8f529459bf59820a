"""The spike samplers: a sum against a random integer of the same scale."""

import numpy as np
from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from quant import sampling
from quant.formats import LayerFormats, QFormat, RandomFormat
from rtl.arith import fires
from rtl.streams import shape_of


def _layouts(operands: dict, p: QFormat, random: RandomFormat) -> dict:
    return {"i": In(stream.Signature(data.StructLayout(operands | {"r": random.k}))),
            "o": Out(stream.Signature(data.StructLayout({"p": shape_of(p), "s": 1})))}


class Sampler(wiring.Component):
    """Spike where ``p > u``: one comparator, exact. Model: :func:`quant.sampling.fires`.

    Parameters
    ----------
    p : QFormat
        Format of the compared value, any width; values outside [0, 1] mean never or always.
    random : RandomFormat

    Members
    -------
    i : ``In(stream.Signature(StructLayout({"p", "r"})))``
        Value and k-bit random word.
    o : ``Out(stream.Signature(StructLayout({"p", "s"})))``
        The value again and its spike.

    Timing
    ------
    Latency 1 cycle, one result per cycle; a stalled output stalls it.

    Resources
    ---------
    A comparator of about ``p.width`` bits.
    """

    latency = 1

    def __init__(self, p: QFormat, random: RandomFormat):
        self.p = p
        self.random = random
        super().__init__(_layouts({"p": shape_of(p)}, p, random))

    def model(self, p, r):
        """(p, s) for raw integers, scalars or arrays."""
        return p, sampling.fires(np.asarray(p), self.p.f_bits, r, self.random)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.i.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid),
                self.o.payload.p.eq(self.i.payload.p),
                self.o.payload.s.eq(fires(self.i.payload.p, self.p.f_bits, self.i.payload.r,
                                          self.random)),
            ]
        return m


class AffineSampler(wiring.Component):
    """Spike where ``alpha x + beta > u``, exact: the input sampler of ``residual = plain``.

    Parameters
    ----------
    fmt : LayerFormats
    random : RandomFormat

    Members
    -------
    i : ``In(stream.Signature(StructLayout({"x", "alpha", "beta", "r"})))``
    o : ``Out(stream.Signature(StructLayout({"p", "s"})))``
        ``alpha x + beta`` in the format :attr:`p`, and its spike.

    Timing
    ------
    Latency 4 cycles (operands, product, sum, comparison), one result per cycle; a stalled output
    stalls the whole pipeline.

    Resources
    ---------
    1 multiplier of ``alpha.width x x.width`` bits, an adder and a comparator.
    """

    latency = 4

    def __init__(self, fmt: LayerFormats, random: RandomFormat):
        self.fmt = fmt
        self.p = (fmt.alpha * fmt.x) + QFormat(fmt.beta.i_bits, 0, fmt.beta.signed)
        self.random = random
        super().__init__(_layouts({name: shape_of(getattr(fmt, name))
                                   for name in ("x", "alpha", "beta")}, self.p, random))

    def model(self, x, alpha, beta, r):
        """(p, s) for raw integers, scalars or arrays."""
        f = self.p.f_bits
        p = alpha * x + (beta << f - self.fmt.beta.f_bits)
        return p, sampling.fires(np.asarray(p), f, r, self.random)

    def elaborate(self, platform):
        m = Module()
        compare = m.submodules.compare = Sampler(self.p, self.random)
        wiring.connect(m, compare.o, wiring.flipped(self.o))
        en = Signal()
        m.d.comb += [en.eq(compare.i.ready), self.i.ready.eq(en)]

        align = self.p.f_bits - self.fmt.beta.f_bits
        operands = Signal(self.i.payload.shape(), reset_less=True)
        product = Signal(shape_of(self.fmt.alpha * self.fmt.x), reset_less=True)
        beta = Signal(shape_of(self.fmt.beta), reset_less=True)
        r = Signal(self.random.k, reset_less=True)
        valid = Signal(2)
        with m.If(en):
            m.d.sync += [
                valid.eq(valid << 1 | self.i.valid),
                operands.eq(self.i.payload),
                product.eq(operands.alpha * operands.x), beta.eq(operands.beta),
                r.eq(operands.r),
                compare.i.payload.p.eq(product + (beta << align)),
                compare.i.payload.r.eq(r), compare.i.valid.eq(valid[-1]),
            ]
        return m
