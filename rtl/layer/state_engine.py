"""One layer's states and what stands around them: block inputs in, what the mixers read out."""

from dataclasses import dataclass
from types import SimpleNamespace

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from quant.integer.signature import FUTURE
from rtl.layer import chains, signature
from rtl.layer.block_lanes import BlockLanes
from rtl.layer.scheduler import Scheduler
from rtl.layer.signature import NeuronWords, StepSignature
from rtl.layer.state_lanes import Lanes
from rtl.layer.state_model import expected_words
from rtl.parts import two_way_source
from rtl.parts.pipeline import Pipeline, buffer_output, tree_stages
from rtl.parts.streams import ConfigBus, copied, each_layer, marks
from rtl.spec import LayerSpec, Timing

COUNTERS = 3    # levels of the saturation counter's adder tree per cycle
LANES = {1: Lanes, 2: BlockLanes}       # by the steps of a word


@dataclass(frozen=True)
class EngineTiming(Timing):
    """When a word of a state engine is where, in enabled cycles after its transfer on ``i``.

    latency : to ``o.valid``; interval : cycles per block of steps in steady state.
    """

    operands: int       # what enters its neurons' states is at the lanes, and so are the states
    rounding: int       # their rounding words
    state: int          # the new states
    y: int              # the sums over their modes, or what enters the middle
    result: int         # what leaves


def timing(spec: LayerSpec) -> EngineTiming:
    """Timing of a layer's engine."""
    geo, front = spec.geo, chains.front(spec)
    operands = chains.entering(spec, front).time
    interval = max(geo.issue, front.flow.loop)
    at = dict.fromkeys(("rounding", "state", "y"), operands)
    if spec.cut.states:
        at = LANES[geo.P].times(spec, operands)
        # A state is read one cycle before the operands, written with the result, readable a cycle
        # later.
        interval = max(interval, at["state"] - operands + 2)
    middle = chains.middle(spec, at["y"])
    shown = signature.of_middle(spec, middle.flow, middle.values)
    # A register behind what leaves; the signature takes two cycles from the last of its values.
    times = [middle.values[name].time + 1 for name in spec.cut.sent]
    times += [value.time + 2 for value, _ in shown]
    times += [over.time + tree_stages(geo.values, COUNTERS) for over in middle.flow.over]
    result = max(times)
    return EngineTiming(result + geo.F, max(interval, middle.flow.loop), operands, **at,
                        result=result)


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
                                   **{name: payload[name] for name in marks(self.spec.geo)})
        slot = self.slots[time]
        names = (*marks(self.spec.geo), "start", "end", "word")
        return SimpleNamespace(valid=slot.valid & slot[self.at],
                               **{name: slot[name] for name in names})


def counted(flow, host: Host) -> list[tuple[list, int]]:
    """What saturated in a chain, in one cycle of each word: (bits, time)."""
    G, found = host.spec.geo.G, []
    for over in flow.over:
        slot = host.slot(over.time)
        found.append(([bit & slot.valid & ~slot.half if j >= G else bit & slot.valid
                       for j, bit in enumerate(over.bits)], over.time))
    return found


def there(host: Host, time: int, values: list) -> list:
    """A word's values at a time, 0 in a step that is missing."""
    G = host.spec.geo.G
    return [Mux(host.slots[time].half, Const(0, value.shape()), value) if j >= G else value
            for j, value in enumerate(values)]


class StateEngine(wiring.Component):
    """All H neurons of a layer, G per word in P steps, M modes of each per cycle.

    .. code-block:: text

        i ─►[front]─► u ─►┌────────────────┐    ┌─►[sum over modes]─►(+)─► y ─►[middle]─► o
                          │ G M StateUpdate │─h─┤        d u + b ─────┘
        coefficients ────►└────────▲───────┘    └─►[state RAM]─┐
                                   └────────────────────────────┘

    A word takes F cycles; words, blocks and sequences follow each other without a gap, except that
    a block takes at least as long as a state needs from being read to being readable again. The
    state counts as 0 in a sequence's first block, and the random streams start anew: nothing
    has to be cleared. When ``o`` is not taken everything stops; when ``i`` is empty the words on
    their way still come out. Timing does not depend on data. A layer without states has front and
    middle alone. With P = 2 the lanes are :class:`rtl.layer.block_lanes.BlockLanes`: an update of
    the states takes both steps of a block, and chains compute them side by side. In a word with
    ``half`` the second step is missing: what enters there is 0, and so is what leaves.

    Parameters
    ----------
    spec : LayerSpec

    Members
    -------
    i : ``In(stream.Signature(chains.entering_word(spec)))``
    o : ``Out(stream.Signature(chains.sent_word(spec)))``
        ``signature`` and ``saturations`` run along: over the block and the sequence so far.
    busy : ``Out(layers)``
        Bit j, for layer j: the lanes take operands in this cycle, all of them. For counters.
    coming : ``In(two_way_source.coming(layers))``
        A step that will go through the layers in both directions; with ``two_way`` only.
    cfg : ``In(ConfigBus())``

    Resources
    ---------
    4 multipliers per lane, 6 where u is a value, with P = 2 5 and 9; those of the chains; a state
    RAM of ``2 lanes h.width`` bits a row and the coefficient memories, ``geo.issue`` rows each;
    with P = 2, where u is a spike, a table of ``4 geo.issue`` rows for each of G neurons.

    Attributes
    ----------
    latency : int
        Cycles from a word's transfer on ``i`` to its ``o.valid``.
    interval : int
        Cycles per block in steady state.
    """

    def __init__(self, spec: LayerSpec):
        self.spec, self.geo, self.at = spec, spec.geo, timing(spec)
        self.latency, self.interval = self.at.latency, self.at.interval
        self.states = spec.cut.states
        if self.states:
            self.part = LANES[spec.geo.P](spec)
            self.memories, self.lanes = self.part.memories, self.part.lanes
        members = {"i": In(stream.Signature(chains.entering_word(spec))),
                   "o": Out(stream.Signature(chains.sent_word(spec))),
                   "busy": Out(spec.geo.layers), "cfg": In(ConfigBus())}
        if spec.two_way:
            members["coming"] = In(two_way_source.coming(spec.geo.layers))
        super().__init__(members)

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
            u, y = self.part.build(m, host, at, u, seen)
            if self.spec.two_way and self.memories.draws_rounding:
                m.d.comb += self.memories.draws_rounding.coming.eq(self.coming)
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
        m.d.comb += [result[name].eq(slot[name]) for name in (*marks(geo), "end")]
        for name in self.spec.cut.sent:
            out = seen["middle"].at(values[name], at.result)
            m.d.comb += [result[name][g].eq(one)
                         for g, one in enumerate(there(host, at.result, out.bits))]
        if self.spec.spikes_enter:
            since = at.y - 2 if self.states else at.operands
            m.d.comb += result.s_in.eq(pipe.delay(Cat(u), at.result - since, "s_in"))
        for name, _ in self.spec.brings:
            m.d.comb += result[name].eq(pipe.delay(self.i.payload[name], at.result, name))
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
        values, flow = chain.build(host, {self.spec.cut.i: [x[g] for g in range(geo.values)]})
        entered = flow.at(values[self.spec.cut.u], at.operands)
        u = [Signal(entered.shape, name=f"u{g}") for g in range(geo.values)]
        for g, fresh in enumerate(there(host, at.operands, entered.bits)):
            held = Signal(entered.shape, name=f"held{g}", reset_less=True)
            m.d.comb += u[g].eq(Mux(host.slots[at.operands].head, fresh, held))
            with m.If(pipe.en):
                m.d.sync += held.eq(u[g])
        return {"front": flow, "u": entered}, u

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
        """The block's signature."""
        at, slots, geo = self.at, host.slots, self.geo
        words = NeuronWords(host.pipe, geo, at.operands, slots)
        words.add(signature.of_front(self.spec, seen["front"], seen["u"]), slots[at.operands].head)
        if self.states:
            words.wait(at.rounding)
            words.add_states(seen.get("rounding"), [lane.o.payload for lane in self.lanes],
                             at.state)
            words.over_cycles(at.y - 1, slots[at.y - 1].head)
            if self.spec.two_way:
                words.turned(FUTURE, slots[words.time].layer[0])
        words.add(signature.of_middle(self.spec, seen["middle"], values))
        last = slots[at.result - 1]
        crc = m.submodules.crc = StepSignature(geo.G)
        m.d.comb += [crc.en.eq(host.pipe.en), crc.valid.eq(last.valid & last.tail),
                     crc.start.eq(last.start), result.signature.eq(crc.crc),
                     *(crc.words[g].eq(word) for g, word in enumerate(
                         words.finish(at.result - 1)))]
