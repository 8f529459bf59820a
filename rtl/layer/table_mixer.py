"""TableMixer: sums of the weights of a step's spikes, looked up, four neurons at once."""

from dataclasses import dataclass

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring

from rtl.layer import columns, fuse, weight_tables
from rtl.layer.mixing import MixerTiming, Mixing
from rtl.layer.weight_tables import WeightTables
from rtl.parts.pipeline import Pipeline
from rtl.parts.queue import Queue
from rtl.parts.streams import marks
from rtl.spec import LayerSpec

BEHIND = 16     # words between the tables' addresses and the fuse; it takes fewer cycles
AGAIN = 2       # cycles from a word's transfer to the fuse to an address that waits for room


@dataclass(frozen=True)
class TableTiming(MixerTiming):
    """The step's spikes are free with its last address."""

    def drained(self, given, words, taken):
        return self.sent(given, words - 1, taken)


def timing(spec: LayerSpec) -> TableTiming:
    """Timing of a layer's mixer with tables."""
    delay, together = weight_tables.latency(spec.geo.H), int(spec.geo.P > 1)
    latency = 1 + together + delay + Queue.latency + fuse.latency(spec)
    return TableTiming(latency, spec.geo.words, 1, 1, BEHIND, AGAIN, together, delay)


class TableMixer(Mixing):
    """Sums of weights of spikes of one bit: a word of sums in every cycle, from tables.

    .. code-block:: text

        i ─►[gathered]─ step ─►[held: P H spikes]─►[WeightTables of each mixer]─►[queue]─►[Fuse]─► o
                                [word]── pair ──────┘                               x ──────┘

    The spikes of a block of steps are gathered while those of the block before are looked up. Of
    two steps the same pair of outputs is looked up for the first, then for the second one: after
    two cycles there are two words. A word of sums is asked for only when there will be room for
    it in the queue, so that the tables never wait.

    Parameters
    ----------
    spec : LayerSpec
        One for which :func:`rtl.layer.table_shape.misfit` says nothing.

    Members
    -------
    Those of :class:`rtl.layer.mixing.Mixing`.

    Resources
    ---------
    ``2 P H`` spikes in registers; the :class:`WeightTables` of every mixer; a queue of 16 words.
    """

    def __init__(self, spec: LayerSpec):
        super().__init__(spec, timing(spec))
        self.tables = {
            wire.op.makes: WeightTables(spec.regions[f"{name}0"], wire.op.w,
                                        self.totals[wire.op.makes].shape, spec.geo.values, spec.hw)
            for name, wire in zip(columns.names(spec), spec.cut.mixes)}

    def elaborate(self, platform):
        m = Module()
        self.add_fuse(m)
        geo, free = self.geo, Signal()
        held, step, loaded = self._gather(m, free)
        word, go = self._send(m, loaded, free)
        odd = word[0]
        pipe = Pipeline(m, 1)
        tag = Signal(data.StructLayout({"valid": 1, "odd": 1} | marks(geo)))
        m.d.comb += [tag.valid.eq(go), tag.odd.eq(odd),
                     *(tag[name].eq(step[name]) for name in marks(geo))]
        delay = weight_tables.latency(geo.H)
        valid = pipe.delay(tag.valid, delay, "valid", reset_less=False)
        tag = pipe.delay(tag, delay, "tag")
        sums = {}
        for wire, (made, tables) in zip(self.spec.cut.mixes, self.tables.items()):
            m.submodules[f"{made}_tables"] = tables
            wiring.connect(m, wiring.flipped(self.cfg), tables.cfg)
            steps = held[wire.op.reads[0]]
            m.d.comb += [tables.pair.eq(word if geo.G == 2 else word >> 1), tables.high.eq(odd),
                         tables.spikes.eq(Mux(odd, steps[1], steps[0]) if geo.P > 1 else steps[0])]
            sums[made] = list(tables.sums)
        if geo.P > 1:
            valid, tag, sums = self._turn(m, pipe, valid, tag, sums)
        payload = self.queue.i.payload
        m.d.comb += [self.queue.i.valid.eq(valid),
                     *(payload[name].eq(tag[name]) for name in marks(geo)),
                     *(payload[made][j].eq(one) for made, found in sums.items()
                       for j, one in enumerate(found))]
        return m

    def _gather(self, m: Module, free):
        """Take the words; returns the spikes (H,) of each step by name, and the block's marks.

        free : another block's spikes may come with the next edge. loaded : they come.
        """
        geo, word = self.geo, self.i.payload
        taken, loaded, held = Signal(), Signal(), {}
        m.d.comb += [self.i.ready.eq(~word.end | free), taken.eq(self.i.valid & self.i.ready),
                     loaded.eq(taken & word.end)]
        step = Signal(data.StructLayout(marks(geo)), reset_less=True)
        for name in {wire.op.reads[0]: None for wire in self.spec.cut.mixes}:
            held[name] = []
            for p in range(geo.P):
                gathered, kept = (Signal(geo.H, name=f"{name}{p or ''}_{what}", reset_less=True)
                                  for what in ("gathered", "held"))
                whole = Cat(gathered[geo.G:], word[name][p * geo.G:(p + 1) * geo.G])
                with m.If(taken):
                    m.d.sync += gathered.eq(whole)
                with m.If(loaded):
                    m.d.sync += kept.eq(whole)
                held[name].append(kept)
        with m.If(loaded):
            m.d.sync += [step[name].eq(word[name]) for name in marks(geo)]
        return held, step, loaded

    def _send(self, m: Module, loaded, free):
        """Which word of the block is asked for, and whether one is, in each cycle."""
        words = self.geo.words
        m.submodules.queue = self.queue = queue = Queue(self.fuse.i.payload.shape(), BEHIND)
        wiring.connect(m, queue.o, self.fuse.i)
        word, busy, go, end = Signal(range(max(2, words))), Signal(), Signal(), Signal()
        inside, room = Signal(range(BEHIND + 1)), Signal(init=1)
        was_read, following = Signal(), Signal(range(BEHIND + 2))
        last = Signal(init=words == 1)      # word is the last one; much waits for this
        m.d.comb += [go.eq(busy & room), end.eq(go & last),
                     free.eq(~busy | end), following.eq(inside + go - was_read)]
        m.d.sync += [was_read.eq(queue.o.valid & queue.o.ready), inside.eq(following),
                     room.eq(following != BEHIND), busy.eq(loaded | busy & ~end)]
        with m.If(go):
            m.d.sync += [word.eq(Mux(end, 0, word + 1)),
                         last.eq(Mux(end, words == 1, word == words - 2))]
        return word, go

    def _turn(self, m: Module, pipe: Pipeline, valid, tag, sums: dict):
        """Two outputs of one step, then of the next, to one output of both, then the other."""
        second = Signal()       # the other output, a cycle later
        m.d.sync += second.eq(valid & tag.odd)
        before = pipe.register(tag, "before")
        turned = {}
        for made, (low, high) in sums.items():
            first_low, first_high = (Signal(one.shape(), name=f"{made}_first{k}", reset_less=True)
                                     for k, one in enumerate((low, high)))
            with m.If(valid & ~tag.odd):
                m.d.sync += [first_low.eq(low), first_high.eq(high)]
            kept = pipe.register(high, f"{made}_second")
            turned[made] = [Mux(second, first_high, first_low), Mux(second, kept, low)]
        return second | valid & tag.odd, data.View(tag.shape(), Mux(
            second, before.as_value(), tag.as_value())), turned
