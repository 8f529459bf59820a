"""SpikeMixer: the columns of the neurons that fired, summed; then the next layer's input."""

from dataclasses import dataclass

from amaranth import Const, Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.layer.fuse import Fuse
from rtl.parts.memory import ConfigMemory, Region, pack_rows
from rtl.parts.pipeline import Pipeline, tree_stages
from rtl.parts.queue import Queue
from rtl.spec import LayerSpec, Timing
from rtl.parts.streams import ConfigBus, shape_of, spike_word, x_word

ADDERS = 2      # levels of the adder tree over a word's neurons per cycle
BEHIND = 8      # words between the sums and the fuse


def regions(spec: LayerSpec) -> list[Region]:
    """``mixer.w0``, ...: column j of W, of input neuron j, is in RAM j modulo G, in K rows."""
    geo, w = spec.geo, spec.fmt.w
    return [Region(f"mixer.w{g}", geo.Q * w.width, pack_rows(
                [(spec.tensors.w.T[g::geo.G].reshape(geo.words * geo.K, geo.Q), w.width)]),
                   f"{geo.Q} weights of one input neuron") for g in range(geo.G)]


@dataclass(frozen=True)
class MixerTiming(Timing):
    """Cycles of a mixer.

    latency : from the transfer of a step's last word to the first word on ``o``; interval : least
    cycles from one step's last word to the next one's, when ``o`` never stalls.
    """

    fill: int       # from the transfer of a step's last word to the one that completes its sums


def timing(spec: LayerSpec) -> MixerTiming:
    """Timing of a layer's mixer."""
    geo, words = spec.geo, spec.geo.words
    fill = geo.K + 1 + (tree_stages(geo.G, ADDERS) if geo.G > 1 else 0)
    interval = max(words * geo.K, fill + 2, fill + 3 + Queue.latency + words - BEHIND)
    return MixerTiming(fill + 1 + Queue.latency + Fuse.latency, interval, fill)


class Mixer(wiring.Component):
    """Spikes in, the next layer's input out: sums of weights, no multiplier.

    .. code-block:: text

        i ──► W RAMs, one per neuron of a word, G rows of Q weights per cycle
                 │
                [rows, 0 without a spike]──►(sum over G)──►(+)──►[ring: K x Q, rotates by Q]
                                                             └─ step ─►[out: H, shifts by G]
        x ────────────────────────────────────────────►[Fuse]◄──[queue]◄──┘
                                                          └──► o

    A word costs K cycles (``Geometry.K``), whatever fired. With the last row of a step the sums go
    to ``out`` and the ring becomes 0, so the next step is summed while this one is read out. From
    the RAMs to ``out`` nothing ever waits, thousands of flip-flops have no enable: the last word of
    a step is taken only when ``out`` is sure to be free once its sums are there. That is so when no
    more words are left in ``out`` than cycles until then, and the queue has room for all of them.

    Parameters
    ----------
    spec : LayerSpec

    Members
    -------
    i : ``In(stream.Signature(spike_word(geo)))``
    x : ``In(stream.Signature(x_word(x_format, geo)))``
        This layer's input again; only where it is added.
    o : ``Out(stream.Signature(x_word(x_format, geo)))``
    count : ``Out(StructLayout({"valid": 1, "value": 32}))``
        Saturated elements of a sequence, one pulse after its last word; only where they saturate.
    cfg : ``In(ConfigBus())``

    Timing
    ------
    ``latency`` cycles from the transfer of a step's last word to the first word on ``o``, then a
    word per cycle; ``interval`` is the least number of cycles per step.

    Resources
    ---------
    G RAMs of ``words * K`` rows of Q weights, 2 H sums in registers, Q adders, a queue of 8 words.
    """

    def __init__(self, spec: LayerSpec):
        self.spec, self.geo = spec, spec.geo
        self.weights = [ConfigMemory(spec.regions[f"mixer.w{g}"], spec.hw)
                        for g in range(spec.geo.G)]
        self.fuse = Fuse(spec)
        found = timing(spec)
        self.fill, self.latency, self.interval = found.fill, found.latency, found.interval
        self.acc = spec.fmt.w.total(spec.geo.H)
        members = {"i": In(stream.Signature(spike_word(spec.geo))),
                   "o": Out(stream.Signature(x_word(spec.x_format, spec.geo))),
                   "cfg": In(ConfigBus())}
        for name in ("x", "count"):
            if name in self.fuse.signature.members:
                members[name] = self.fuse.signature.members[name]
        super().__init__(members)

    def model(self, s_out, x):
        """(x_next (H,), saturated elements) from one step's spikes (H,) and input (H,)."""
        return self.fuse.model(s_out, x)

    def elaborate(self, platform):
        m = Module()
        m.submodules.fuse = fuse = self.fuse
        wiring.connect(m, wiring.flipped(self.cfg), fuse.cfg)
        wiring.connect(m, fuse.o, wiring.flipped(self.o))
        if "x" in self.signature.members:
            wiring.connect(m, wiring.flipped(self.x), fuse.x)
        if "count" in self.signature.members:
            m.d.comb += self.count.eq(fuse.count)
        clear, coming = Signal(init=1), Signal()    # `out` will be free; a last word is on its way
        taken, *rows = self._take(m, clear, coming)
        tags, wipe, parts = self._columns(m, *rows)
        self._read_out(m, tags, self._sums(m, tags[-1], wipe, parts), clear, coming, taken)
        return m

    def _take(self, m: Module, clear, coming):
        """Take a word: K rows of each RAM, the first in the cycle of the transfer.

        Returns taken; active, fold, row: whether there is a row, which of its word, which of the
        RAMs; and the word that it is of.
        """
        geo, K = self.geo, self.geo.K
        fold, row = Signal(range(max(2, K))), Signal(range(max(2, geo.words * K)))
        word = Signal(spike_word(geo), reset_less=True)
        taken, active = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq((fold == 0) & (~self.i.payload.end | clear & ~coming)),
            taken.eq(self.i.valid & self.i.ready), active.eq(taken | (fold != 0)),
        ]
        with m.If(taken):
            m.d.sync += word.eq(self.i.payload)
        with m.If(active):
            m.d.sync += [fold.eq(Mux(fold == K - 1, 0, fold + 1)),
                         row.eq(Mux(row == geo.words * K - 1, 0, row + 1))]
        now = data.View(spike_word(geo), Mux(fold == 0, self.i.payload.as_value(),
                                             word.as_value()))
        return taken, active, fold, row, now

    def _columns(self, m: Module, active, fold, row, now):
        """RAMs, rows, sums over a word.

        Returns tags, tags[-1] with the sums; wipe; and Q sums of the weights of neurons that fired.
        """
        geo, K, Q, G = self.geo, self.geo.K, self.geo.Q, self.geo.G
        tag = data.StructLayout({"valid": 1, "end": 1, "first": 1, "last": 1})
        tags = [Signal(tag, name=f"tag{k}") for k in range(self.fill - K + 1)]
        quiet = Signal(G, init=(1 << G) - 1)    # an enable would be one more input of every bit
        # As the end of tags[-1], and after a reset for as long as the adders, which have none,
        # still hold words from before it.
        wipe, stale = Signal(init=1), self.fill - K - 1
        leaving = Signal(stale, init=(1 << stale) - 1)
        m.d.sync += [
            quiet.eq(~Mux(active, now.s_out, 0)), tags[0].valid.eq(active),
            tags[0].end.eq(active & now.end & (fold == K - 1)), tags[0].first.eq(now.first),
            tags[0].last.eq(now.last), *(tag.eq(before) for tag, before in zip(tags[1:], tags)),
            wipe.eq(tags[-2].end | leaving[:1].any()), leaving.eq(leaving >> 1),
        ]
        w = Shape(self.spec.fmt.w.width, self.spec.fmt.w.signed)
        rows = []
        for g, ram in enumerate(self.weights):
            m.submodules[f"w{g}"] = ram
            wiring.connect(m, wiring.flipped(self.cfg), ram.cfg)
            m.d.comb += [ram.addr.eq(row), ram.en.eq(1)]
            rows.append(self._signals(w, Q, f"row{g}_"))
            m.d.sync += [to.eq(Mux(quiet[g], 0, ram.data.word_select(q, w.width)))
                         for q, to in enumerate(rows[g])]
        pipe = Pipeline(m, Const(1))
        parts = [rows[0][q] if G == 1 else
                 pipe.total([rows[g][q] for g in range(G)], ADDERS, f"part{q}") for q in range(Q)]
        return tags, wipe, parts

    def _sums(self, m: Module, tag, wipe, parts):
        """Add to the head of a ring of K groups; returns the ring behind that, for `out`."""
        acc, K, Q = shape_of(self.acc), self.geo.K, self.geo.Q
        ring = self._signals(acc, self.geo.H, "ring")
        sums = self._signals(acc, Q, "sum")
        m.d.comb += [to.eq(head + part) for to, head, part in zip(sums, ring, parts)]
        moved = [*ring[Q:], *sums]
        with m.If(tag.valid if K > 1 else Const(1)):    # without a word the parts are 0
            m.d.sync += [to.eq(value) for to, value in zip(ring, moved)]
        with m.If(wipe):
            m.d.sync += [to.eq(0) for to in ring]
        return moved

    def _read_out(self, m: Module, tags, moved, clear, coming, taken) -> None:
        """A step's sums to `out`, from there word after word into the queue."""
        geo, fuse, G = self.geo, self.fuse, self.geo.G
        out = self._signals(shape_of(self.acc), geo.H, "out")
        m.submodules.queue = queue = Queue(fuse.i.payload.shape(), BEHIND)
        wiring.connect(m, queue.o, fuse.i)
        load, send, read = tags[-1].end, Signal(), Signal()
        left = Signal(range(geo.words + 1))                     # words in `out`
        unread = Signal(range(geo.words + BEHIND + 2))  # there, in the queue, or just read
        filled, loaded = Signal(), Signal()     # left is not 0; the cycle after a load
        was_read = Signal()
        move = Signal(init=1)
        step = Signal(data.StructLayout({"first": 1, "last": 1}), reset_less=True)
        m.d.comb += [
            send.eq(filled & queue.i.ready), read.eq(queue.o.valid & queue.o.ready),
            queue.i.valid.eq(filled), queue.i.payload.first.eq(step.first),
            queue.i.payload.last.eq(step.last),
            *(queue.i.payload.total[g].eq(out[g]) for g in range(G)),
        ]
        m.d.sync += [
            left.eq(Mux(load, geo.words, left - send)),
            filled.eq(~self._at_most(0, left, load, send)),
            unread.eq(unread + Mux(load, geo.words, 0) - was_read), loaded.eq(load),
            was_read.eq(read),
            clear.eq(self._at_most(self.fill + 1, left, load, send) & (unread <= BEHIND)),
            move.eq(queue.ready_next | tags[-2].end),
        ]
        with m.If(move):
            m.d.sync += [to.eq(Mux(load, value, shifted)) for to, value, shifted in
                         zip(out, moved, [*out[G:], *[Const(0)] * G])]
        with m.If(load):
            m.d.sync += [step.first.eq(tags[-1].first), step.last.eq(tags[-1].last)]
        with m.If(taken & self.i.payload.end):
            m.d.sync += coming.eq(1)
        with m.Elif(loaded):
            m.d.sync += coming.eq(0)

    @staticmethod
    def _signals(shape, count: int, name: str) -> list[Signal]:
        """Registers of their own: slices of one wide register are slow to simulate."""
        return [Signal(shape, name=f"{name}{k}", reset_less=True) for k in range(count)]

    def _at_most(self, limit: int, left, load, send):
        """Whether ``left`` will be at most ``limit`` in the next cycle."""
        return Mux(load, self.geo.words <= limit, Mux(send, left <= limit + 1, left <= limit))
