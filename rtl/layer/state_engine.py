"""One layer's samplers and state space model: block inputs in, spikes out."""

from dataclasses import dataclass

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.layer import sampler_words, state_update
from rtl.layer.coefficients import MODE, EngineMemories
from rtl.parts.memory import WideMemory
from rtl.parts.pipeline import Pipeline, buffer_output, tree_stages
from rtl.layer.sampler import AffineSampler, Sampler, make_sampler
from rtl.layer.scheduler import Scheduler
from rtl.layer.signature import NeuronWords, StepSignature
from rtl.spec import LayerSpec, Timing
from rtl.layer.state_model import expected_spikes
from rtl.layer.state_update import StateUpdate
from rtl.parts.streams import ConfigBus, shape_of, spike_word, x_word

ADDERS = 2      # levels of the drive's adder tree per cycle
COUNTERS = 3    # levels of the saturation counter's


@dataclass(frozen=True)
class EngineTiming(Timing):
    """When a word of a state engine is where, in enabled cycles after its transfer on ``i``.

    latency : to ``o.valid``; interval : cycles per step in steady state.
    """

    operands: int       # its neurons' spikes and states are at the lanes
    state: int          # the new states
    sum: int            # the last summand of the drives
    result: int         # its spikes


def timing(spec: LayerSpec) -> EngineTiming:
    """Timing of a layer's engine."""
    geo, words = spec.geo, sampler_words.latency(spec.sampling)
    lane = state_update.latency(spec.hw.spread)
    at_operands = words + (AffineSampler if spec.affine else Sampler).latency
    at_state = at_operands + lane
    at_sum = at_state + tree_stages(geo.M, ADDERS)
    at_result = at_sum + 3
    # A state is read one cycle before the operands, written with the result, readable a cycle
    # later; a phase is read when a word is taken and written with the operands.
    interval = max(geo.issue, lane + 2)
    if spec.sampling == "systematic":
        interval = max(interval, at_operands + 1)
    return EngineTiming(at_result + geo.F, interval, at_operands, at_state, at_sum, at_result)


class StateEngine(wiring.Component):
    """All H neurons of a layer, G per word, M modes of each per cycle.

    .. code-block:: text

        i ─►[input samplers]─► s ─►┌────────────────┐    ┌─►[sum over modes]─►(+)─►[output  ]─► o
                                   │ G M StateUpdate │─h─┤        d s + b ─────┘   [samplers]
        coefficients ─────────────►└────────▲───────┘    └─►[state RAM]─┐
                                            └────────────────────────────┘

    A word takes F cycles; words, steps and sequences follow each other without a gap, except that
    a step takes at least as long as a state needs from being read to being readable again. The
    state counts as 0 in a sequence's first step, and the random streams start anew: nothing
    has to be cleared. When ``o`` is not taken everything stops; when ``i`` is empty the words on
    their way still come out. Timing does not depend on data.

    Parameters
    ----------
    spec : LayerSpec

    Members
    -------
    i : ``In(stream.Signature(x_word(x_format, geo)))``
    o : ``Out(stream.Signature(spike_word(geo)))``
        ``signature`` and ``saturations`` run along: over the step and the sequence so far.
    busy : ``Out(1)``
        The lanes take operands in this cycle, all of them: ``4 lanes`` products. For counters.
    cfg : ``In(ConfigBus())``

    Resources
    ---------
    4 multipliers per lane (and G where ``alpha x + beta`` is sampled); a state RAM of ``2 lanes
    h.width`` bits a row and the coefficient memories, ``geo.issue`` rows each.

    Attributes
    ----------
    latency : int
        Cycles from a word's transfer on ``i`` to its ``o.valid``.
    interval : int
        Cycles per step in steady state.
    """

    def __init__(self, spec: LayerSpec):
        self.spec, self.geo, self.fmt = spec, spec.geo, spec.fmt
        geo, fmt, hw = spec.geo, spec.fmt, spec.hw
        self.at = timing(spec)
        self.latency, self.interval = self.at.latency, self.at.interval
        self.memories = EngineMemories(spec)
        self.samplers_in = [AffineSampler(fmt, spec.random, spec.sampling, hw.multiplier)
                            if spec.affine else make_sampler(spec.sampling, fmt.p, spec.random)
                            for _ in range(geo.G)]
        self.lanes = [StateUpdate(fmt, spec.random, spec.rounding, fed=True, spread=hw.spread,
                                  multiplier=hw.multiplier) for _ in range(geo.lanes)]
        self.samplers_out = [make_sampler(spec.sampling, fmt.y(geo.n), spec.random)
                             for _ in range(geo.G)]
        super().__init__({"i": In(stream.Signature(x_word(spec.x_format, geo))),
                          "o": Out(stream.Signature(spike_word(geo))), "busy": Out(1),
                          "cfg": In(ConfigBus())})

    def model(self, words: list[dict], seed: int | None = None) -> list[dict]:
        """Spike words for x words; see :func:`rtl.layer.state_model.expected_spikes`."""
        return expected_spikes(self.spec.art, self.spec.number, self.geo, words,
                               self.spec.hw.signature, seed)

    def elaborate(self, platform):
        m = Module()
        mem = self.memories
        for name, part in mem.submodules().items():
            m.submodules[name] = part
            wiring.connect(m, part.cfg, wiring.flipped(self.cfg))
        en = Signal()
        pipe = Pipeline(m, en)
        # These stand between registers of the pipeline and are always fed: so they move exactly
        # when `en` is high, because their first result is there before anything can stop them.
        for name in ("samplers_in", "lanes", "samplers_out"):
            for j, part in enumerate(getattr(self, name)):
                m.submodules[f"{name}{j}"] = part
                m.d.comb += [part.i.valid.eq(1), part.o.ready.eq(en)]

        scheduler = m.submodules.scheduler = Scheduler(self.geo, self.interval)
        m.d.comb += [scheduler.en.eq(en), scheduler.i.valid.eq(self.i.valid),
                     self.i.ready.eq(scheduler.i.ready),
                     scheduler.i.payload.first.eq(self.i.payload.first),
                     scheduler.i.payload.last.eq(self.i.payload.last)]
        slots = [None, scheduler.slot]
        for j in range(2, self.at.result + 1):
            valid = pipe.register(slots[-1].valid, f"valid_{j}", reset_less=False)
            rest = pipe.register(slots[-1], f"rest_{j}")
            slots.append(Signal(rest.shape(), name=f"slot_{j}"))
            m.d.comb += [slots[-1].eq(rest), slots[-1].valid.eq(valid)]

        r_in = self._sample(m, pipe, scheduler, slots)
        s, r_round = self._update(m, pipe, slots)
        s, ys, r_out = self._sum(m, pipe, slots, s)

        slot = slots[self.at.result]
        result = Signal(spike_word(self.geo))
        s_out = Cat(sampler.o.payload.s for sampler in self.samplers_out)
        m.d.comb += [result.s_out.eq(pipe.register(s_out, "s_out")),
                     result.s_in.eq(pipe.delay(s, self.at.result + 1 - self.at.sum, "s_in")),
                     result.first.eq(slot.first), result.last.eq(slot.last),
                     result.end.eq(slot.end)]
        over = [lane.o.payload.over[part] for lane in self.lanes for part in range(2)]
        over = pipe.delay(pipe.total(over, COUNTERS, "over"), self.at.result - self.at.state
                          - tree_stages(len(over), COUNTERS), "over")
        count = Signal(self.spec.count_bits, reset_less=True)
        begin = slot.first & slot.start & slot.head
        m.d.comb += result.saturations.eq(Mux(begin, 0, count) + over)
        with m.If(en & slot.valid):
            m.d.sync += count.eq(result.saturations)
        if self.spec.hw.signature:
            self._sign(m, pipe, slots, r_in, r_round, ys, r_out, result)
        buffer_output(m, en, slot.valid & slot.tail, result, self.o)
        return m

    def _sample(self, m, pipe, scheduler, slots):
        """Input samplers, from the transfer on ``i`` to the operands. Returns their words."""
        mem, payload, slot = self.memories, self.i.payload, slots[self.at.operands]
        m.d.comb += [mem.words_in.take.eq(scheduler.accept),
                     mem.words_in.first.eq(payload.first), mem.words_in.last.eq(payload.last),
                     mem.words_in.word.eq(scheduler.word)]
        self._feed(m, pipe, mem.words_in, self.samplers_in, slot, slot.head)
        wait, r_in = mem.words_in.latency, mem.words_in.words
        x = pipe.delay(payload.x, wait, "x")
        if mem.inputs:
            word = scheduler.word if wait == 1 else slots[wait - 1].word
            m.d.comb += [mem.inputs.addr.eq(word), mem.inputs.en.eq(pipe.en)]
        for g, sampler in enumerate(self.samplers_in):
            p = sampler.i.payload
            if mem.inputs:
                row = mem.inputs.row[g]
                m.d.comb += [p.x.eq(x[g]), p.alpha.eq(row.alpha), p.beta.eq(row.beta)]
            else:
                m.d.comb += p.p.eq(x[g])
        return r_in

    def _feed(self, m, pipe, words, samplers, slot, counts):
        """Words to samplers, and their phases back with ``slot`` where it ``counts``."""
        m.d.comb += [words.en.eq(pipe.en),
                     *(sampler.i.payload.r.eq(words.words[g])
                       for g, sampler in enumerate(samplers))]
        if self.spec.sampling == "systematic":
            m.d.comb += [words.back.valid.eq(pipe.en & slot.valid & counts),
                         words.back.word.eq(slot.word),
                         *(words.back.phases[g].eq(sampler.o.payload.phase)
                           for g, sampler in enumerate(samplers))]

    def _update(self, m, pipe, slots):
        """State RAM and lanes. Returns the spikes and the rounding words at the operands."""
        geo, mem = self.geo, self.memories
        slot, ahead, done = (slots[at] for at in (self.at.operands, self.at.operands - 1,
                                                  self.at.state))
        s, held = Signal(geo.G), Signal(geo.G, reset_less=True)
        fresh = Cat(sampler.o.payload.s for sampler in self.samplers_in)
        m.d.comb += s.eq(Mux(slot.head, fresh, held))
        with m.If(pipe.en):
            m.d.sync += held.eq(s)

        h = shape_of(self.fmt.h)
        layout = data.ArrayLayout(data.StructLayout({"h_re": h, "h_im": h}), geo.lanes)
        states = m.submodules.states = WideMemory(geo.issue, layout.size, [], self.spec.hw)
        read, write = (data.View(layout, port) for port in (states.r_data, states.w_data))
        store = (done.valid & pipe.en).replicate(len(states.w_en))
        m.d.comb += [states.r_addr.eq(ahead.row), states.r_en.eq(pipe.en),
                     mem.modes.addr.eq(ahead.row), mem.modes.en.eq(pipe.en),
                     states.w_addr.eq(done.row), states.w_en.eq(store),
                     self.busy.eq(slot.valid & pipe.en)]
        r_round = None
        if mem.draws_rounding:
            m.d.comb += [mem.draws_rounding.advance.eq(pipe.en & ahead.valid),
                         mem.draws_rounding.rewind.eq(ahead.last & ahead.end & ahead.tail)]
            r_round = pipe.register(mem.draws_rounding.words, "r_round")
        for j, lane in enumerate(self.lanes):
            p = lane.i.payload
            m.d.comb += [p.s.eq(s[j // geo.M]), *(p[f].eq(mem.modes.row[j][f]) for f in MODE)]
            for part in ("h_re", "h_im"):
                m.d.comb += [p[part].eq(Mux(slot.first, 0, read[j][part])),
                             write[j][part].eq(lane.o.payload[part])]
            if r_round is not None:
                m.d.comb += p.r.eq(r_round[j])
        return s, r_round

    def _sum(self, m, pipe, slots, s):
        """Drives and output samplers. Returns s one cycle before the sum, drives and draws."""
        geo, mem, at = self.geo, self.memories, self.at.sum
        slot, ask, done = (slots[at + j] for j in (0, 1 - mem.words_out.latency, 2))
        m.d.comb += [mem.neurons.addr.eq(slots[at - 2].word), mem.neurons.en.eq(pipe.en),
                     mem.words_out.take.eq(pipe.en & ask.valid & ask.tail),
                     *(getattr(mem.words_out, name).eq(getattr(ask, name))
                       for name in ("first", "last", "word"))]
        self._feed(m, pipe, mem.words_out, self.samplers_out, done, done.tail)
        r_out = mem.words_out.words
        s = pipe.delay(s, at - 1 - self.at.operands, "s")
        ys = []
        for g, sampler in enumerate(self.samplers_out):
            lanes = self.lanes[g * geo.M:(g + 1) * geo.M]
            total = pipe.total([lane.o.payload.h_re for lane in lanes], ADDERS, f"sum{g}")
            row = mem.neurons.row[g]
            base = pipe.register(row.b + Mux(s[g], row.d, 0), f"base{g}")
            y = Signal(shape_of(self.fmt.y(geo.n)), name=f"y{g}", reset_less=True)
            with m.If(pipe.en):
                m.d.sync += y.eq(total + Mux(slot.head, base, y))
            m.d.comb += sampler.i.payload.p.eq(y)
            ys.append(y)
        return s, ys, r_out

    def _sign(self, m, pipe, slots, r_in, r_round, ys, r_out, result):
        """The step's signature."""
        words = NeuronWords(pipe, self.geo)
        words.add_inputs(slots[self.at.operands].head,
                         [sampler.o.payload.p for sampler in self.samplers_in],
                         pipe.delay(r_in, self.samplers_in[0].latency, "r_in"), r_round)
        words.wait(self.lanes[0].latency)
        words.add_states([lane.o.payload for lane in self.lanes])
        words.wait(self.at.sum - self.at.state)
        last = slots[self.at.sum + 2]
        crc = m.submodules.crc = StepSignature(self.geo.G)
        m.d.comb += [crc.en.eq(pipe.en), crc.valid.eq(last.valid & last.tail),
                     crc.start.eq(last.start), result.signature.eq(crc.crc),
                     *(crc.words[g].eq(word) for g, word in enumerate(
                         words.finish(slots[self.at.sum].head, ys, r_out)))]
