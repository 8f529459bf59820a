"""The cell of a sampler: its words, and a comparison or a phase for each neuron."""

from dataclasses import replace

from quant.integer.memory import Fire as Operation
from rtl.layer import sampler_words
from rtl.layer.cells import CELLS, Cell
from rtl.layer.flow import Value
from rtl.layer.sampler import make_sampler
from rtl.layer.sampler_words import SamplerWords, point_interval
from rtl.parts.streams import marks


class Fire(Cell):
    """1 with the probability p: the words are asked for so that they come with p."""

    op: Operation

    def regions(self):
        return sampler_words.regions(self.spec, self.op)

    def build(self, flow, p):
        p, = flow.together(flow.plain(p))
        wait = sampler_words.latency(self.op.form)
        p = flow.at(p, max(p.time, wait))
        out = Value(0, 1, 0, p.time + 1)
        if self.op.form == "sobol":
            flow.loop = max(flow.loop, point_interval(self.spec.geo))   # the next step's point
        if self.op.form == "systematic":
            flow.loop = max(flow.loop, wait + 2)    # asked for, given back, readable
            geo = self.spec.geo
            flow.memories.append(("samplers", geo.neuron_rows, geo.G * p.f_bits))
        if flow.host is None:
            flow.shown += [(replace(p, time=p.time + 1), "input"), (Value(0, 1, 0, p.time), "word")]
            return out
        host, label = flow.host, self.key
        words = SamplerWords(self.spec, self.op, p.f_bits)
        host.memory(f"{label}_words", words)
        ask, done = host.slot(p.time - wait), host.slot(p.time + 1)
        host.m.d.comb += [words.en.eq(host.pipe.en), words.take.eq(ask.valid & host.pipe.en),
                          *(getattr(words, name).eq(getattr(ask, name))
                            for name in (*marks(self.spec.geo), "word"))]
        samplers = [make_sampler(self.op.form, p.format, self.spec.random)
                    for _ in range(self.spec.geo.G)]
        for g, sampler in enumerate(samplers):
            flow.submodule(f"{label}_sampler{g}", sampler)
            host.m.d.comb += [
                sampler.i.valid.eq(1), sampler.o.ready.eq(host.pipe.en),
                sampler.i.payload.p.eq(p.bits[g]), sampler.i.payload.r.eq(words.words[g])]
        if self.op.form == "systematic":
            host.m.d.comb += [words.back.valid.eq(host.pipe.en & done.valid),
                              words.back.word.eq(done.word),
                              *(words.back.phases[g].eq(sampler.o.payload.phase)
                                for g, sampler in enumerate(samplers))]
        k = len(words.words[0])
        flow.shown += [
            (replace(p, time=p.time + 1, bits=tuple(s.o.payload.p for s in samplers)), "input"),
            (Value(0, (1 << k) - 1, 0, p.time, bits=tuple(words.words)), "word")]
        return replace(out, bits=tuple(sampler.o.payload.s for sampler in samplers))


CELLS[Operation] = Fire
