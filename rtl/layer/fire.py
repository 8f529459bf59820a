"""The cell of a sampler: its words, and a comparison or a phase for each neuron."""

from dataclasses import replace

from quant.integer.memory import Fire as Operation
from rtl.layer import sampler_words
from rtl.layer.cells import CELLS, Cell
from rtl.layer.flow import Value
from rtl.layer.sampler import make_sampler
from rtl.layer.sampler_words import SamplerWords
from rtl.parts.streams import layer_mark


class Fire(Cell):
    """1 with the probability p: the words are asked for so that they come with p."""

    op: Operation

    def regions(self):
        return sampler_words.regions(self.spec, self.op)

    def build(self, flow, p):
        p, = flow.together(flow.plain(p))
        wait = sampler_words.latency(self.op.form)
        p = flow.at(p, max(p.time, wait))
        phases, geo = self.op.form == "systematic", self.spec.geo
        if self.op.form == "sobol":
            flow.loop = max(flow.loop, 2)           # the next block's first point
        if phases:      # asked for, given back, readable
            flow.loop = max(flow.loop, wait + 1 + geo.P)
            flow.memories.append(("samplers", geo.neuron_rows, geo.G * p.f_bits))
        k = p.f_bits if phases else self.spec.random.k
        words = None if flow.host is None else self._words(flow, p, wait)
        r = Value(0, (1 << k) - 1, 0, p.time, bits=words and tuple(words.words))
        if not phases:
            made = self._sampled(flow, p, r, 0)
        else:           # the phase goes from a sampler to that of the next step
            made, phase = [], r
            for j, now in enumerate(flow.each_step(p)):
                made.append(self._sampled(flow, flow.at(now, phase.time), phase, j * geo.G))
                phase = made[-1]["phase"]
            if words:
                done = flow.host.slot(phase.time)
                flow.host.m.d.comb += [words.back.valid.eq(flow.host.pipe.en & done.valid),
                                       words.back.word.eq(done.word),
                                       *(words.back.phases[g].eq(bits)
                                         for g, bits in enumerate(phase.bits))]
            made = {name: flow.joined([each[name] for each in made]) for name in "prs"}
        flow.shown += [(made["p"], "input"), (made["r"], "word")]
        return made["s"]

    def _words(self, flow, p: Value, wait: int) -> SamplerWords:
        """What the values are held against, there with them."""
        host, words = flow.host, SamplerWords(self.spec, self.op, p.f_bits)
        host.memory(f"{self.key}_words", words)
        ask = host.slot(p.time - wait)
        host.m.d.comb += [words.en.eq(host.pipe.en), words.take.eq(ask.valid & host.pipe.en),
                          *(getattr(words, name).eq(getattr(ask, name))
                            for name in (*layer_mark(self.spec.geo), "first", "last", "word"))]
        return words

    def _sampled(self, flow, p: Value, r: Value, number: int) -> dict[str, Value]:
        """A sampler for each value; number : of the first one.

        Returns what they were given, p a cycle later, their spikes s, and the new phases.
        """
        found = {"p": replace(p, time=p.time + 1), "r": r, "s": Value(0, 1, 0, p.time + 1)}
        if self.op.form == "systematic":
            found["phase"] = replace(r, time=p.time + 1)
        if flow.host is None:
            return found
        samplers = [make_sampler(self.op.form, p.format, self.spec.random) for _ in p.bits]
        for j, sampler in enumerate(samplers):
            flow.submodule(f"{self.key}_sampler{number + j}", sampler)
            flow.host.m.d.comb += [
                sampler.i.valid.eq(1), sampler.o.ready.eq(flow.host.pipe.en),
                sampler.i.payload.p.eq(p.bits[j]), sampler.i.payload.r.eq(r.bits[j])]
        return {name: value if name == "r" else replace(
            value, bits=tuple(sampler.o.payload[name] for sampler in samplers))
            for name, value in found.items()}


CELLS[Operation] = Fire
