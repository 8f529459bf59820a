"""Words of steps and sequences for the tests of buffers, mixer, encoder, decoder and core."""

import numpy as np
from amaranth import Module
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import Out


def marks(lengths):
    """(first, last) of every step of sequences that follow each other."""
    return [(int(t == 0), int(t == length - 1)) for length in lengths for t in range(length)]


def x_words(x, lengths, G: int) -> list[dict]:
    """Payloads of ``x_word`` for inputs (steps, H) of all sequences."""
    return [{"x": row.tolist(), "first": first, "last": last}
            for step, (first, last) in zip(np.asarray(x), marks(lengths))
            for row in step.reshape(-1, G)]


def spike_words(s_out, lengths, G: int) -> list[dict]:
    """Payloads of ``spike_word`` for spikes (steps, H); what the mixer ignores is 0."""
    out = []
    for step, (first, last) in zip(np.asarray(s_out), marks(lengths)):
        rows = step.reshape(-1, G)
        out += [{"s_out": int(row @ (1 << np.arange(G))), "s_in": 0, "first": first, "last": last,
                 "end": int(j == len(rows) - 1), "signature": 0, "saturations": 0}
                for j, row in enumerate(rows)]
    return out


def sequence_sums(per_step, lengths) -> list[int]:
    """Sum over each sequence of a number per step."""
    ends = np.cumsum(lengths)
    return [int(np.sum(per_step[end - length:end])) for length, end in zip(lengths, ends)]


class WithCounts(wiring.Component):
    """A component whose pulses on ``count`` can be taken as a stream ``counts``."""

    def __init__(self, dut):
        self.dut = dut
        members = {name: member for name, member in dut.signature.members.items()
                   if name != "count"}
        super().__init__(members | {"counts": Out(stream.Signature(32))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self.dut
        m.submodules.queue = queue = fifo.SyncFIFO(width=32, depth=64)
        for name in self.signature.members:
            if name != "counts":
                ours, theirs = wiring.flipped(getattr(self, name)), getattr(dut, name)
                wiring.connect(m, ours, theirs)
        m.d.comb += [queue.w_en.eq(dut.count.valid), queue.w_data.eq(dut.count.value),
                     self.counts.valid.eq(queue.r_rdy), self.counts.payload.eq(queue.r_data),
                     queue.r_en.eq(self.counts.ready)]
        return m
