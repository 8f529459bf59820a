"""The spike samplers: a sum against a random integer of the same scale."""

import numpy as np
from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.integer import sampling
from golden.base.qformat import QFormat
from quant.formats import RandomFormat
from rtl.parts.arith import fires
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
