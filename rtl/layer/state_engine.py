"""One layer's states and what stands around them: block inputs in, what the mixers read out."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.layer import chains, signature, state_update
from rtl.layer.coefficients import MODE, StateMemories
from rtl.layer.drives import Drives
from rtl.layer.scheduler import Scheduler
from rtl.layer.signature import NeuronWords, StepSignature
from rtl.layer.state_model import expected_words
from rtl.layer.state_update import StateUpdate
from rtl.parts.memory import WideMemory
from rtl.parts.pipeline import Pipeline, buffer_output, tree_stages
from rtl.parts.streams import ConfigBus, copied, each_layer, marks, shape_of, x_word
from rtl.spec import LayerSpec, Timing

ADDERS = 2      # levels of the drive's adder tree per cycle
COUNTERS = 3    # levels of the saturation counter's


@dataclass(frozen=True)
class EngineTiming(Timing):
    """When a word of a state engine is where, in enabled cycles after its transfer on ``i``.

    latency : to ``o.valid``; interval : cycles per step in steady state.
    """

    operands: int       # what enters its neurons' states is at the lanes, and so are the states
    state: int          # the new states
    y: int              # the sums over their modes, or what enters the middle
    result: int         # what leaves


def timing(spec: LayerSpec) -> EngineTiming:
    """Timing of a layer's engine."""
    geo, front = spec.geo, chains.front(spec)
    operands = at_state = y = chains.entering(spec, front).time
    interval = max(geo.issue, front.flow.loop)
    if spec.cut.states:
        lane = state_update.latency(spec.hw.spread)
        at_state = operands + lane
        y = at_state + tree_stages(geo.M, ADDERS) + 1
        # A state is read one cycle before the operands, written with the result, readable a cycle
        # later.
        interval = max(interval, lane + 2)
    middle = chains.middle(spec, y)
    shown = signature.of_middle(spec, middle.flow, middle.values)
    # A register behind what leaves; the signature takes two cycles from the last of its values.
    times = [middle.values[name].time + 1 for name in spec.cut.sent]
    times += [value.time + 2 for value, _ in shown]
    times += [over.time + tree_stages(geo.G, COUNTERS) for over in middle.flow.over]
    result = max(times)
    return EngineTiming(result + geo.F, max(interval, middle.flow.loop), operands, at_state, y,
                        result)


class Host:
    """What the engine's chains are built in; ``at``: the cycle of a word that counts for them."""

    def __init__(self, m, pipe: Pipeline, engine, scheduler: Scheduler, slots: list):
        self.m, self.pipe, self.spec, self.slots, self.at = m, pipe, engine.spec, slots, "head"
        self._engine, self._scheduler = engine, scheduler

    def memory(self, name: str, part) -> None:
        """Add a part that the configuration bus writes."""
        self.m.submodules[name] = part
        wiring.connect(self.m, part.cfg, wiring.flipped(self._engine.cfg))

    def slot(self, time: int):
        """The word that is there at a time, see :class:`rtl.layer.flow.Flow`."""
        if time == 0:
            payload, scheduler = self._engine.i.payload, self._scheduler
            return SimpleNamespace(valid=scheduler.accept, word=scheduler.word,
                                   **self._marks(payload))
        slot = self.slots[time]
        return SimpleNamespace(valid=slot.valid & slot[self.at], start=slot.start, end=slot.end,
                               word=slot.word, **self._marks(slot))

    def _marks(self, word) -> dict:
        return {name: word[name] for name in marks(self.spec.geo)}


def counted(flow, host: Host) -> list[tuple[list, int]]:
    """What saturated in a chain, in one cycle of each word: (bits, time)."""
    return [([bit & host.slot(over.time).valid for bit in over.bits], over.time)
            for over in flow.over]


class StateEngine(wiring.Component):
    """All H neurons of a layer, G per word, M modes of each per cycle.

    .. code-block:: text

        i ─►[front]─► u ─►┌────────────────┐    ┌─►[sum over modes]─►(+)─► y ─►[middle]─► o
                          │ G M StateUpdate │─h─┤        d u + b ─────┘
        coefficients ────►└────────▲───────┘    └─►[state RAM]─┐
                                   └────────────────────────────┘

    A word takes F cycles; words, steps and sequences follow each other without a gap, except that
    a step takes at least as long as a state needs from being read to being readable again. The
    state counts as 0 in a sequence's first step, and the random streams start anew: nothing
    has to be cleared. When ``o`` is not taken everything stops; when ``i`` is empty the words on
    their way still come out. Timing does not depend on data. A layer without states has front and
    middle alone.

    Parameters
    ----------
    spec : LayerSpec

    Members
    -------
    i : ``In(stream.Signature(x_word(x_format, geo)))``
    o : ``Out(stream.Signature(chains.sent_word(spec)))``
        ``signature`` and ``saturations`` run along: over the step and the sequence so far.
    busy : ``Out(layers)``
        Bit j, for layer j: the lanes take operands in this cycle, all of them: ``4 lanes``
        products, 6 where u is a value. For counters.
    cfg : ``In(ConfigBus())``

    Resources
    ---------
    4 multipliers per lane, 6 where u is a value, and those of the chains; a state RAM of ``2 lanes
    h.width`` bits a row and the coefficient memories, ``geo.issue`` rows each.

    Attributes
    ----------
    latency : int
        Cycles from a word's transfer on ``i`` to its ``o.valid``.
    interval : int
        Cycles per step in steady state.
    """

    def __init__(self, spec: LayerSpec):
        self.spec, self.geo, self.at = spec, spec.geo, timing(spec)
        self.latency, self.interval = self.at.latency, self.at.interval
        self.states = spec.cut.states
        if self.states:
            self.memories = StateMemories(spec)
            op, (u,), hw = self.states.op, self.states.formats, spec.hw
            self.lanes = [StateUpdate(op, u, spec.random, fed=True, spread=hw.spread,
                                      multiplier=hw.multiplier) for _ in range(spec.geo.lanes)]
        super().__init__({"i": In(stream.Signature(x_word(spec.x_format, spec.geo))),
                          "o": Out(stream.Signature(chains.sent_word(spec))),
                          "busy": Out(spec.geo.layers),
                          "cfg": In(ConfigBus())})

    def model(self, words: list[dict], seed: int | None = None) -> list[dict]:
        """Words out for x words; see :func:`rtl.layer.state_model.expected_words`."""
        return expected_words(self.spec, words, seed)

    def elaborate(self, platform):
        m = Module()
        en = Signal()
        pipe, geo, at = Pipeline(m, en), self.geo, self.at
        scheduler = m.submodules.scheduler = Scheduler(geo, self.interval)
        m.d.comb += [scheduler.en.eq(en), scheduler.i.valid.eq(self.i.valid),
                     self.i.ready.eq(scheduler.i.ready),
                     *copied(scheduler.i.payload, self.i.payload, geo)]
        slots = [None, scheduler.slot]
        for j in range(2, at.result + 1):
            valid = pipe.register(slots[-1].valid, f"valid_{j}", reset_less=False)
            rest = pipe.register(slots[-1], f"rest_{j}")
            slots.append(Signal(rest.shape(), name=f"slot_{j}"))
            m.d.comb += [slots[-1].eq(rest), slots[-1].valid.eq(valid)]

        host = Host(m, pipe, self, scheduler, slots)
        seen, u = self._front(m, host)
        overs = counted(seen["front"], host)
        working = slots[at.operands]
        m.d.comb += self.busy.eq((working.valid & en) << (working.layer if geo.layers > 1 else 0))
        if self.states:
            u, y = self._states(m, host, u, seen)
            overs.append(([lane.o.payload.over[part] for lane in self.lanes for part in range(2)],
                          at.state))
            entering = {self.states.op.makes: y}
        else:
            entering = {self.spec.cut.u: u}
        host.at = "tail"
        chain = chains.middle(self.spec, at.y)
        values, seen["middle"] = chain.build(host, entering)
        overs += counted(seen["middle"], host)

        slot, word = slots[at.result], chains.sent_word(self.spec)
        result = Signal(word)
        m.d.comb += [*copied(result, slot, geo), result.end.eq(slot.end)]
        for name in self.spec.cut.sent:
            out = seen["middle"].at(values[name], at.result)
            m.d.comb += result[name].eq(Cat(out.bits))
        if "s_in" in word.members:
            since = at.y - 2 if self.states else at.operands
            m.d.comb += result.s_in.eq(pipe.delay(Cat(u), at.result - since, "s_in"))
        self._count(m, host, overs, result)
        if self.spec.hw.signature:
            self._sign(m, host, seen, values, result)
        buffer_output(m, en, slot.valid & slot.tail, result, self.o)
        return m

    def _front(self, m, host):
        """From the transfer to what enters the states, u. Returns the front's flow, and u."""
        geo, at, pipe = self.geo, self.at, host.pipe
        chain = chains.front(self.spec)
        x = pipe.delay(self.i.payload.x, chain.start, "x")
        values, flow = chain.build(host, {"x": [x[g] for g in range(geo.G)]})
        entered = flow.at(values[self.spec.cut.u], at.operands)
        u = [Signal(entered.shape, name=f"u{g}") for g in range(geo.G)]
        for g, fresh in enumerate(entered.bits):
            held = Signal(entered.shape, name=f"held{g}", reset_less=True)
            m.d.comb += u[g].eq(Mux(host.slots[at.operands].head, fresh, held))
            with m.If(pipe.en):
                m.d.sync += held.eq(u[g])
        return {"front": flow, "u": entered}, u

    def _states(self, m, host, u, seen):
        """State RAM, lanes and drives. Returns u before the sum, and y behind it."""
        geo, mem, at, pipe, op = self.geo, self.memories, self.at, host.pipe, self.states.op
        for name, part in mem.submodules().items():
            host.memory(name, part)
        for j, lane in enumerate(self.lanes):
            m.submodules[f"lanes{j}"] = lane
            m.d.comb += [lane.i.valid.eq(1), lane.o.ready.eq(pipe.en)]
        slot, ahead, done = (host.slots[k] for k in (at.operands, at.operands - 1, at.state))
        h = shape_of(op.h)
        layout = data.ArrayLayout(data.StructLayout({"h_re": h, "h_im": h}), geo.lanes)
        states = m.submodules.states = WideMemory(geo.rows, layout.size, [], self.spec.hw)
        read, write = (data.View(layout, port) for port in (states.r_data, states.w_data))
        store = (done.valid & pipe.en).replicate(len(states.w_en))
        m.d.comb += [states.r_addr.eq(ahead.row), states.r_en.eq(pipe.en),
                     mem.modes.addr.eq(ahead.row), mem.modes.en.eq(pipe.en),
                     states.w_addr.eq(done.row), states.w_en.eq(store)]
        if mem.draws_rounding:
            m.d.comb += [mem.draws_rounding.advance.eq(pipe.en & ahead.valid),
                         mem.draws_rounding.rewind.eq(ahead.last & ahead.end & ahead.tail)]
            if geo.layers > 1:
                m.d.comb += mem.draws_rounding.layer.eq(ahead.layer)
            seen["rounding"] = pipe.register(mem.draws_rounding.words, "r_round")
        for j, lane in enumerate(self.lanes):
            p = lane.i.payload
            m.d.comb += [p.u.eq(u[j // geo.M]), *(p[f].eq(mem.modes.row[j][f]) for f in MODE)]
            for part in ("h_re", "h_im"):
                m.d.comb += [p[part].eq(Mux(slot.first, 0, read[j][part])),
                             write[j][part].eq(lane.o.payload[part])]
            if mem.draws_rounding:
                m.d.comb += p.r.eq(seen["rounding"][j])
        drives, total = Drives(self.spec, chains.drive(self.spec)), at.y - 1
        m.d.comb += [mem.neurons.addr.eq(host.slots[total - drives.ahead].word),
                     mem.neurons.en.eq(pipe.en)]
        early = total - drives.ahead + 1
        u = [pipe.delay(one, early - at.operands, f"u{g}") for g, one in enumerate(u)]
        totals = [pipe.total([lane.o.payload.h_re for lane in self.lanes[g * geo.M:][:geo.M]],
                             ADDERS, f"sum{g}") for g in range(geo.G)]
        return u, drives.build(m, pipe, u, mem.neurons.row, totals, host.slots[total].head)

    def _count(self, m, host, overs, result):
        """Saturated states and membranes of the sequence so far."""
        pipe, slot, over = host.pipe, host.slots[self.at.result], 0
        for k, (bits, time) in enumerate(overs):
            since = self.at.result - time - tree_stages(len(bits), COUNTERS)
            over += pipe.delay(pipe.total(bits, COUNTERS, f"over{k}"), since, f"over{k}")
        count = each_layer(self.geo, slot, [
            Signal(self.spec.count_bits, reset_less=True, name=f"count{j}")
            for j in range(self.geo.layers)])
        begin = slot.first & slot.start & slot.head
        m.d.comb += result.saturations.eq(Mux(begin, 0, count) + over)
        with m.If(pipe.en & slot.valid):
            m.d.sync += count.eq(result.saturations)

    def _sign(self, m, host, seen, values, result):
        """The step's signature."""
        at, slots, geo = self.at, host.slots, self.geo
        words = NeuronWords(host.pipe, geo, at.operands)
        words.add(signature.of_front(self.spec, seen["front"], seen["u"]), slots[at.operands].head)
        if self.states:
            words.add_states(seen.get("rounding"), [lane.o.payload for lane in self.lanes],
                             at.state)
            words.over_cycles(at.y - 1, slots[at.y - 1].head)
        words.add(signature.of_middle(self.spec, seen["middle"], values))
        last = slots[at.result - 1]
        crc = m.submodules.crc = StepSignature(geo.G)
        m.d.comb += [crc.en.eq(host.pipe.en), crc.valid.eq(last.valid & last.tail),
                     crc.start.eq(last.start), result.signature.eq(crc.crc),
                     *(crc.words[g].eq(word) for g, word in enumerate(
                         words.finish(at.result - 1)))]
