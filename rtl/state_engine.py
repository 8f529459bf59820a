"""One layer's samplers and state space model: block inputs in, spikes out."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from quant import lfsr
from quant.artifact import Artifact
from rtl.config import Geometry, HardwareConfig
from rtl.lfsr import WordSource
from rtl.memory import AddressMap, ConfigMemory, pack_rows
from rtl.pipeline import Pipeline, Scheduler, tree_stages
from rtl.sampler import AffineSampler, Sampler
from rtl.signature import StepSignature, rotl
from rtl.state_update import StateUpdate
from rtl.streams import ConfigBus, shape_of, spike_word, x_word

ADDERS = 2      # levels of the drive's adder tree per cycle
COUNTERS = 3    # levels of the saturation counter's


class StateEngine(wiring.Component):
    """All H neurons of a layer, G per word, M modes of each per cycle.

    .. code-block:: text

        i ─►[input samplers]─► s ─►┌───────────────┐    ┌─► sum over modes ─►(+)─►[output ]─► o
                                   │ G M StateUpdate│─h──┤       d s + b ────┘   [samplers]
        coefficients ─────────────►└───────▲───────┘    └─► state RAM ─┐
                                           └───────────────────────────┘

    A word takes F cycles; words, steps and sequences follow each other without a gap, except that
    a step takes at least as long as a state needs from being read to being readable again. The
    state counts as 0 in a sequence's first step, and the random streams restart there: nothing
    has to be cleared. When ``o`` is not taken everything stops; when ``i`` is empty the words on
    their way still come out. Timing does not depend on data.

    Parameters
    ----------
    art : Artifact
    layer_number : int
    hw : HardwareConfig
    amap : AddressMap
        Gets regions ``layer<j>.state_coefficients``, ``.neuron_coefficients``,
        ``.input_coefficients`` (plain), ``.start_in``, ``.start_out``, ``.start_rounding``.

    Members
    -------
    i : ``In(stream.Signature(x_word(art, geo)))``
    o : ``Out(stream.Signature(spike_word(geo)))``
        ``signature`` and ``saturations`` run along: over the step and the sequence so far.
    cfg : ``In(ConfigBus())``

    Attributes
    ----------
    latency : int
        Cycles from a word's transfer on ``i`` to its ``o.valid``.
    interval : int
        Cycles per step in steady state.
    """

    def __init__(self, art: Artifact, layer_number: int, hw: HardwareConfig, amap: AddressMap):
        self.art = art
        self.layer_number = layer_number
        self.hw = hw
        self.geo = geo = Geometry.of(art, hw)
        layer, rand = art.layers[layer_number], art.random
        fmt = self.fmt = layer.fmt
        self.plain = art.residual == "plain"
        self.stochastic = art.rounding == "stochastic"
        name = f"layer{layer_number}"

        def source(text, kind, count):
            start = lfsr.stream_start(rand, art.seed, lfsr.stream_index(layer_number, kind))
            region = amap.allocate(f"{name}.start_{text}", 1, rand.width,
                                   "start state of the random stream")
            return WordSource(rand, lfsr.word_bits(rand, kind), count, region, start)

        def coefficients(text, depth, per_row, tensors, fields):
            """A memory of ``per_row`` groups of the named tensors per row."""
            columns = [(getattr(layer, tensor).reshape(depth, per_row)[:, j],
                        getattr(fmt, layer.FORMAT_OF[tensor]).width)
                       for j in range(per_row) for tensor in tensors]
            formats = ", ".join(f"{tensor} {getattr(fmt, layer.FORMAT_OF[tensor])}"
                                for tensor in tensors)
            region = amap.allocate(f"{name}.{text}", depth, sum(bits for _, bits in columns),
                                   f"{per_row} x ({formats}); {fields}")
            return ConfigMemory(region, pack_rows(columns))

        rows = f"element j of row r is number r * {geo.lanes} + j of (neuron, mode)"
        neurons = f"element j of row r is neuron r * {geo.G} + j"
        self.coefficients = coefficients("state_coefficients", geo.issue, geo.lanes,
                                         ("a_re", "a_im", "g_re", "g_im"), rows)
        self.neurons = coefficients("neuron_coefficients", geo.words, geo.G, ("d", "b"), neurons)
        self.source_in = source("in", lfsr.SAMPLER_IN, geo.G)
        self.source_out = source("out", lfsr.SAMPLER_OUT, geo.G)
        if self.stochastic:
            self.source_rounding = source("rounding", lfsr.ROUNDING, geo.lanes)
        if self.plain:
            self.inputs = coefficients("input_coefficients", geo.words, geo.G,
                                       ("alpha", "beta"), neurons)
        self.samplers_in = [AffineSampler(fmt, rand) if self.plain else Sampler(fmt.p, rand)
                            for _ in range(geo.G)]
        self.samplers_out = [Sampler(fmt.y(geo.n), rand) for _ in range(geo.G)]
        self.lanes = [StateUpdate(fmt, rand, art.rounding) for _ in range(geo.lanes)]

        # Positions in the pipeline, in enabled cycles after the transfer of a word.
        self.at_operands = 1 + self.samplers_in[0].latency
        self.at_state = self.at_operands + StateUpdate.latency
        self.at_sum = self.at_state + tree_stages(geo.M, ADDERS)
        self.latency = self.at_sum + 4 + geo.F - 1
        # Read one cycle before the operands, written with the result, readable a cycle later.
        self.interval = max(geo.issue, StateUpdate.latency + 2)
        super().__init__({"i": In(stream.Signature(x_word(art, geo))),
                          "o": Out(stream.Signature(spike_word(geo))), "cfg": In(ConfigBus())})

    def elaborate(self, platform):
        m = Module()
        geo, fmt = self.geo, self.fmt
        G, M = geo.G, geo.M
        neuron_lanes = [range(g * M, (g + 1) * M) for g in range(G)]
        en = Signal()
        pipe = Pipeline(m, en)

        def add(name, component):
            """A submodule on the configuration bus."""
            m.submodules[name] = component
            m.d.comb += [component.cfg.en.eq(self.cfg.en), component.cfg.addr.eq(self.cfg.addr),
                         component.cfg.data.eq(self.cfg.data)]
            return component

        def lockstep(name, component):
            """A submodule between registers of the pipeline: always fed, so that it moves exactly
            when ``en`` is high (its first result is there before anything can stop)."""
            m.submodules[name] = component
            m.d.comb += [component.i.valid.eq(1), component.o.ready.eq(en)]
            return component

        # --- slots, one per cycle, and where the word's inputs are drawn and registered ---
        scheduler = m.submodules.scheduler = Scheduler(geo, self.interval)
        m.d.comb += [scheduler.en.eq(en), scheduler.i.valid.eq(self.i.valid),
                     self.i.ready.eq(scheduler.i.ready),
                     scheduler.i.payload.first.eq(self.i.payload.first),
                     scheduler.i.payload.last.eq(self.i.payload.last)]
        slots = [None, scheduler.slot]
        for j in range(2, self.at_sum + 4):
            slots.append(pipe.register(slots[-1], f"slot_{j}", reset_less=False))

        source_in = add("source_in", self.source_in)
        m.d.comb += [source_in.advance.eq(scheduler.accept),
                     source_in.restart.eq(self.i.payload.first & (scheduler.word == 0))]
        x = pipe.register(self.i.payload.x, "x")
        r_in = pipe.register(source_in.words, "r_in")
        if self.plain:
            inputs = add("inputs", self.inputs)
            m.d.comb += [inputs.addr.eq(scheduler.word), inputs.en.eq(en)]
            pairs = data.View(data.ArrayLayout(data.StructLayout(
                {"alpha": shape_of(fmt.alpha), "beta": shape_of(fmt.beta)}), G), inputs.data)
        samplers = [lockstep(f"sampler_in{g}", s) for g, s in enumerate(self.samplers_in)]
        for g, sampler in enumerate(samplers):
            m.d.comb += sampler.i.payload.r.eq(r_in[g])
            if self.plain:
                m.d.comb += [sampler.i.payload.x.eq(x[g]),
                             sampler.i.payload.alpha.eq(pairs[g].alpha),
                             sampler.i.payload.beta.eq(pairs[g].beta)]
            else:
                m.d.comb += sampler.i.payload.p.eq(x[g])

        # --- operands: spikes, states, coefficients, rounding words ---
        at = self.at_operands
        slot, ahead = slots[at], slots[at - 1]
        s, s_held = Signal(G), Signal(G, reset_less=True)
        m.d.comb += s.eq(Mux(slot.head, Cat(x.o.payload.s for x in samplers), s_held))
        with m.If(en):
            m.d.sync += s_held.eq(s)
        part = data.StructLayout({"re": shape_of(fmt.h), "im": shape_of(fmt.h)})
        states = m.submodules.states = memory.Memory(shape=data.ArrayLayout(part, geo.lanes),
                                                     depth=max(2, geo.issue), init=[])
        read, write = states.read_port(), states.write_port()
        coefficients = add("coefficients", self.coefficients)
        m.d.comb += [read.addr.eq(ahead.row), read.en.eq(en),
                     coefficients.addr.eq(ahead.row), coefficients.en.eq(en)]
        mode = data.StructLayout({"a_re": shape_of(fmt.a_bar), "a_im": shape_of(fmt.a_bar),
                                  "g_re": shape_of(fmt.g), "g_im": shape_of(fmt.g)})
        modes = data.View(data.ArrayLayout(mode, geo.lanes), coefficients.data)
        r_round = None
        if self.stochastic:
            source = add("source_rounding", self.source_rounding)
            m.d.comb += [source.advance.eq(en & ahead.valid),
                         source.restart.eq(ahead.first & ahead.start & ahead.head)]
            r_round = pipe.register(source.words, "r_round")
        lanes = [lockstep(f"lane{j}", lane) for j, lane in enumerate(self.lanes)]
        for j, lane in enumerate(lanes):
            p = lane.i.payload
            m.d.comb += [p.h_re.eq(Mux(slot.first, 0, read.data[j].re)),
                         p.h_im.eq(Mux(slot.first, 0, read.data[j].im)), p.s.eq(s[j // M]),
                         *(p[name].eq(modes[j][name]) for name in ("a_re", "a_im", "g_re", "g_im"))]
            if self.stochastic:
                m.d.comb += p.r.eq(r_round[j])

        # --- new states: written back, summed ---
        at = self.at_state
        m.d.comb += [write.addr.eq(slots[at].row), write.en.eq(slots[at].valid & en)]
        for j, lane in enumerate(lanes):
            m.d.comb += [write.data[j].re.eq(lane.o.payload.h_re),
                         write.data[j].im.eq(lane.o.payload.h_im)]
        at = self.at_sum
        neurons = add("neurons", self.neurons)
        m.d.comb += [neurons.addr.eq(slots[at - 2].word), neurons.en.eq(en)]
        drives = data.View(data.ArrayLayout(data.StructLayout(
            {"d": shape_of(fmt.drive), "b": shape_of(fmt.drive)}), G), neurons.data)
        s_drive = pipe.delay(s, at - 1 - self.at_operands, "s_drive")
        source_out = add("source_out", self.source_out)
        m.d.comb += [source_out.advance.eq(en & slots[at].valid & slots[at].tail),
                     source_out.restart.eq(slots[at].first & slots[at].start)]
        r_out = pipe.register(source_out.words, "r_out")
        ys = []
        for g in range(G):
            total = pipe.total([lanes[j].o.payload.h_re for j in neuron_lanes[g]], ADDERS,
                               f"sum{g}")
            base = pipe.register(drives[g].b + Mux(s_drive[g], drives[g].d, 0), f"base{g}")
            y = Signal(shape_of(fmt.y(geo.n)), name=f"y{g}", reset_less=True)
            with m.If(en):
                m.d.sync += y.eq(total + Mux(slots[at].head, base, y))
            sampler = lockstep(f"sampler_out{g}", self.samplers_out[g])
            m.d.comb += [sampler.i.payload.p.eq(y), sampler.i.payload.r.eq(r_out[g])]
            ys.append(y)

        # --- results of the word, one cycle before `o` ---
        at = self.at_sum + 3
        slot = slots[at]
        result = Signal(spike_word(geo))
        s_out = Cat(sampler.o.payload.s for sampler in self.samplers_out)
        m.d.comb += [result.s_out.eq(pipe.register(s_out, "s_out")),
                     result.s_in.eq(pipe.delay(s_drive, 4, "s_in")),
                     result.first.eq(slot.first), result.last.eq(slot.last),
                     result.end.eq(slot.end)]
        over = pipe.total([lane.o.payload.over[b] for lane in lanes for b in range(2)], COUNTERS,
                          "over")
        over = pipe.delay(over, at - self.at_state - tree_stages(2 * geo.lanes, COUNTERS), "over")
        count = Signal(32, reset_less=True)
        m.d.comb += result.saturations.eq(
            Mux(slot.first & slot.start & slot.head, 0, count) + over)
        with m.If(en & slot.valid):
            m.d.sync += count.eq(result.saturations)
        if self.hw.signature:
            p_in = [sampler.o.payload.p for sampler in samplers]
            self._signature(m, pipe, slots, neuron_lanes, p_in, r_in, r_round, ys, r_out, result)
        self._output(m, en, slot.valid & slot.tail, result)
        return m

    def _signature(self, m, pipe, slots, neuron_lanes, p_in, r_in, r_round, ys, r_out, result):
        """The step's CRC, bit for bit :func:`quant.reference.neuron_word` and ``crc32``."""
        geo = self.geo
        crc = m.submodules.crc = StepSignature(geo.G)
        early = self.at_operands
        r_in = pipe.delay(r_in, early - 1, "r_in")
        last = slots[self.at_sum + 2]
        m.d.comb += [crc.en.eq(pipe.en), crc.valid.eq(last.valid & last.tail),
                     crc.start.eq(last.start), result.signature.eq(crc.crc)]
        for g in range(geo.G):
            word = Mux(slots[early].head, rotl(p_in[g], 0) ^ rotl(r_in[g], 11), 0)
            for k, j in enumerate(neuron_lanes[g]):
                if r_round is not None:
                    word = word ^ rotl(r_round[j], 5 * k + 9)
            word = pipe.delay(word, StateUpdate.latency, f"word{g}_early")
            for k, j in enumerate(neuron_lanes[g]):
                h = self.lanes[j].o.payload
                word = word ^ rotl(h.h_re, 5 * k + 1) ^ rotl(h.h_im, 5 * k + 17)
            word = pipe.delay(word, self.at_sum - self.at_state, f"word{g}_state")
            # A cycle's modes are rotated by 5 M more than those of the cycle before. Rotating
            # what there is back by 5 M, and the whole forth at the end, needs no shifter.
            kept = Signal(32, name=f"word{g}_kept", reset_less=True)
            with m.If(pipe.en):
                m.d.sync += kept.eq(
                    Mux(slots[self.at_sum].head, 0, rotl(kept, -5 * geo.M)) ^ word)
            m.d.comb += crc.words[g].eq(pipe.register(
                rotl(kept, 5 * geo.M * (geo.F - 1)) ^ rotl(ys[g], 3) ^ rotl(r_out[g], 23),
                f"word{g}"))

    def _output(self, m, en, valid, result):
        """Two registers to ``o``, so that ``en`` does not depend on ``o.ready`` in this cycle."""
        spare, spare_valid = Signal.like(result, reset_less=True), Signal()
        m.d.comb += en.eq(~spare_valid)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [self.o.valid.eq(spare_valid | valid), spare_valid.eq(0),
                         self.o.payload.eq(Mux(spare_valid, spare, result))]
        with m.Elif(en & valid):
            m.d.sync += [spare.eq(result), spare_valid.eq(1)]
