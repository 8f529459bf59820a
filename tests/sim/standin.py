"""A core in miniature with the real one's ports, for tests of sim/: spikes are sample bits."""

import numpy as np
from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.integer.reference import Trace
from rtl.parts.config import Geometry
from rtl.parts.streams import ConfigBus, result_word, sample_word


class StandIn(wiring.Component):
    """One word of G neurons a cycle in every layer; logits count the samples.

    A configuration write to address 5 sets the key that spikes are XORed with, one to address 6 the
    fault: the index in FAULTS.
    """

    FAULTS = ("none", "stuck after three steps", "no end", "early end", "extra result")

    def __init__(self, art, hw):
        self.art, self.hw = art, hw
        self.geo = geo = Geometry(art.H, art.n, hw.lanes)
        tap = data.StructLayout({"valid": 1, "s_in": geo.G, "s_out": geo.G, "end": 1,
                                 "signature": 32})
        super().__init__({"i": In(stream.Signature(sample_word(art))),
                          "o": Out(stream.Signature(result_word(art))), "cfg": In(ConfigBus()),
                          "busy": Out(len(art.blocks)),
                          **{f"tap{j}": Out(tap) for j in range(len(art.blocks))}})

    def elaborate(self, platform):
        m = Module()
        geo, W = self.geo, self.geo.words
        key, word, count, total = Signal(8), Signal(range(W + 1)), Signal(16), Signal(32)
        value = self.i.payload.value
        fault, busy, again = Signal(3), Signal(), Signal()
        for address, register in ((5, key), (6, fault)):
            with m.If(self.cfg.en & (self.cfg.addr == address)):
                m.d.sync += register.eq(self.cfg.data)
        m.d.comb += busy.eq(self.i.valid & ~self.o.valid & ~((fault == 1) & (count == 3)))
        end = (word == Mux(fault == 3, W - 2, W - 1)) & (fault != 2)
        last_word = word == W - 1
        for j in range(len(self.art.blocks)):
            tap = getattr(self, f"tap{j}")
            bits = Cat(value, ~value, value)
            m.d.comb += [tap.valid.eq(busy), self.busy[j].eq(busy & (word >= j)),
                         tap.end.eq(end), tap.signature.eq(count * 1000 + j),
                         tap.s_in.eq((bits ^ key) >> word), tap.s_out.eq((bits ^ key) >> j)]
        m.d.comb += self.i.ready.eq(busy & last_word)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [self.o.valid.eq(again), again.eq(0)]
        with m.If(busy):
            m.d.sync += word.eq(word + 1)
            with m.If(last_word):
                m.d.sync += [word.eq(0), count.eq(count + 1), total.eq(total + value)]
                with m.If(self.i.payload.last):
                    m.d.sync += [self.o.valid.eq(1), count.eq(0), total.eq(0),
                                 again.eq(fault == 4),
                                 self.o.payload.label.eq(count),
                                 self.o.payload.logits[0].eq(-(total + value)),
                                 self.o.payload.logits[-1].eq(total + value),
                                 self.o.payload.saturations[-1].eq(count + 7)]
        return m

    def trace(self, values, key: int = 0) -> Trace:
        """What the hardware does with one sequence."""
        N, L, W, G = len(self.art.blocks), len(values), self.geo.words, self.geo.G
        bits = len(self.i.payload.value)
        s_in, s_out = (np.zeros((N, L, W * G), np.uint8) for _ in range(2))
        for t, v in enumerate(map(int, values)):
            pattern = (v | (~v & ((1 << bits) - 1)) << bits | v << 2 * bits) ^ key
            for w in range(W):
                for g in range(G):
                    for j in range(N):
                        s_in[j, t, w * G + g] = pattern >> (w + g) & 1
                        s_out[j, t, w * G + g] = pattern >> (j + g) & 1
        signature = np.array([[1000 * t + j for t in range(L)] for j in range(N)], np.uint32)
        logits = np.zeros(self.art.n_classes, np.int64)
        logits[0], logits[-1] = -int(np.sum(values)), int(np.sum(values))
        saturations = np.zeros(N + 1, np.int64)
        saturations[-1] = L - 1 + 7
        return Trace(s_in, s_out, signature, logits, (L - 1) % 4, saturations)
