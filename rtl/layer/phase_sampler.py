"""The systematic sampler: a spike wherever the running sum of p passes an integer."""

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.integer import sampling
from golden.base.qformat import QFormat
from quant.formats import RandomFormat
from rtl.parts.streams import shape_of


def start_phase(r, f_bits: int, random: RandomFormat):
    """Hardware form of :func:`quant.integer.sampling.start_phase`: wires and constants only."""
    if f_bits <= random.k:
        return r[random.k - f_bits:]
    finer = f_bits - random.k
    return Cat(Const(random.centred << finer >> 1, finer), r)


class PhaseSampler(wiring.Component):
    """Spike where ``phase + clamp(p, 0, 1)`` carries.

    Model: :func:`quant.integer.sampling.accumulate`.

    Parameters
    ----------
    p : QFormat
        Format of the sum, at least 1 fraction bit; any value.

    Members
    -------
    i : ``In(stream.Signature(StructLayout({"p", "r"})))``
        Value, and the neuron's phase in [0, 1) with the value's fraction bits.
    o : ``Out(stream.Signature(StructLayout({"p", "s", "phase"})))``
        The value again, its spike, and the phase of the next step.

    Timing
    ------
    Latency 1 cycle, one result per cycle; a stalled output stalls it.

    Resources
    ---------
    An adder of ``p.f_bits`` bits.
    """

    latency = 1

    def __init__(self, p: QFormat):
        self.p = p
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"p": shape_of(p), "r": p.f_bits}))),
            "o": Out(stream.Signature(data.StructLayout({"p": shape_of(p), "s": 1,
                                                         "phase": p.f_bits})))})

    def model(self, p, r):
        """(p, s, phase) for raw integers, scalars or arrays."""
        return p, *sampling.accumulate(np.asarray(p), self.p.f_bits, r)

    def elaborate(self, platform):
        m = Module()
        f, p = self.p.f_bits, self.i.payload.p
        low, high = p.as_unsigned()[:f], p.as_unsigned()[f:]
        below = high[-1] if self.p.signed else Const(0)
        above = Signal()        # p >= 1: a spike, and the phase stays
        m.d.comb += above.eq(high.any() & ~below)
        total = self.i.payload.r + Mux(below | above, 0, low)
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.p.eq(p),
                         self.o.payload.s.eq(total[f] | above),
                         self.o.payload.phase.eq(total[:f])]
        return m
