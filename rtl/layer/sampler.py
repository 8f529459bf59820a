"""The spike samplers: a sum against a random integer of the same scale."""

import numpy as np
from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.integer import sampling
from golden.base.qformat import QFormat
from quant.formats import LayerFormats, RandomFormat
from rtl.parts.arith import fires
from rtl.parts.multiplier import Products
from rtl.layer.phase_sampler import PhaseSampler
from rtl.parts.streams import shape_of


class Sampler(wiring.Component):
    """Spike where ``p > u``: one comparator, exact. Model: :func:`quant.integer.sampling.fires`.

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
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"p": shape_of(p), "r": random.k}))),
            "o": Out(stream.Signature(data.StructLayout({"p": shape_of(p), "s": 1})))})

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


def make_sampler(form: str, p: QFormat, random: RandomFormat) -> Sampler | PhaseSampler:
    """The sampler of an artifact's form, for values of format ``p``."""
    return PhaseSampler(p) if form == "systematic" else Sampler(p, random)


class AffineSampler(wiring.Component):
    """A sampler of ``alpha x + beta``, exact: the input sampler of ``residual = plain``.

    Parameters
    ----------
    fmt : LayerFormats
    random : RandomFormat
    form : str
        Sampling form, see :mod:`quant.integer.sampling`.
    multiplier : str
        Cell of :class:`rtl.parts.multiplier.Products`.

    Members
    -------
    i : ``In(stream.Signature(StructLayout({"x", "alpha", "beta", "r"})))``
    o : ``Out(stream.Signature(StructLayout({"p", "s"})))``
        ``alpha x + beta`` in the format :attr:`p`, its spike, and whatever else a sampler of the
        form gives.

    Timing
    ------
    Latency 4 cycles (operands, product, sum, sampler), one result per cycle; a stalled output
    stalls the whole pipeline.

    Resources
    ---------
    1 multiplier of ``alpha.width x x.width`` bits, an adder and a :func:`make_sampler`.
    """

    latency = 4

    def __init__(self, fmt: LayerFormats, random: RandomFormat, form: str = "bernoulli",
                 multiplier: str = ""):
        self.fmt, self.multiplier = fmt, multiplier
        self.p = (fmt.alpha * fmt.x) + QFormat(fmt.beta.i_bits, 0, fmt.beta.signed)
        self.random = random
        self.sampler = make_sampler(form, self.p, random)
        payload = self.sampler.i.payload.shape()
        operands = {name: shape_of(getattr(fmt, name)) for name in ("x", "alpha", "beta")}
        super().__init__({
            "i": In(stream.Signature(data.StructLayout(operands | {"r": payload["r"].shape}))),
            "o": Out(stream.Signature(self.sampler.o.payload.shape()))})

    def model(self, x, alpha, beta, r):
        """(p, s), or with ``systematic`` (p, s, phase), for raw integers, scalars or arrays."""
        return self.sampler.model(alpha * x + (beta << self.p.f_bits - self.fmt.beta.f_bits), r)

    def elaborate(self, platform):
        m = Module()
        compare = m.submodules.compare = self.sampler
        wiring.connect(m, compare.o, wiring.flipped(self.o))
        en = Signal()
        m.d.comb += [en.eq(compare.i.ready), self.i.ready.eq(en)]

        align = self.p.f_bits - self.fmt.beta.f_bits
        operands = Signal(self.i.payload.shape(), reset_less=True)
        m.submodules.products = products = Products(
            {name: shape_of(getattr(self.fmt, name)) for name in ("alpha", "x")},
            {"product": ("alpha", "x")}, self.multiplier)
        m.d.comb += [products.en.eq(en), products.alpha.eq(self.i.payload.alpha),
                     products.x.eq(self.i.payload.x)]
        beta = Signal(shape_of(self.fmt.beta), reset_less=True)
        r = Signal.like(operands.r, reset_less=True)
        valid = Signal(2)
        with m.If(en):
            m.d.sync += [
                valid.eq(valid << 1 | self.i.valid),
                operands.eq(self.i.payload),
                beta.eq(operands.beta),
                r.eq(operands.r),
                compare.i.payload.p.eq(products.product + (beta << align)),
                compare.i.payload.r.eq(r), compare.i.valid.eq(valid[-1]),
            ]
        return m
