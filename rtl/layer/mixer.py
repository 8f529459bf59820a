"""SpikeMixer: columns of weights times spikes or values, summed; then the next layer's input."""

from dataclasses import dataclass

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring

from rtl.layer import columns, fuse
from rtl.layer.mixing import MixerTiming, Mixing
from rtl.parts.memory import ConfigMemory
from rtl.parts.pipeline import Pipeline, tree_stages
from rtl.parts.queue import Queue
from rtl.parts.streams import copied, marks, row_of, shape_of
from rtl.spec import LayerSpec

ADDERS = 2      # levels of the adder tree over a word's neurons per cycle
BEHIND = 8      # words between the sums and the fuse
FEW = 4         # the same where a word takes several cycles and flip-flops are few


@dataclass(frozen=True)
class ColumnTiming(MixerTiming):
    """A block's last word is taken only when ``out`` is sure to be free for its sums."""

    def drained(self, given, words, taken):
        loaded, fill = given + self.begin, self.begin - 1
        found = max(loaded + 1, taken(words - 1 - self.behind) + 3)
        if words > fill + 1:
            found = max(found, self.sent(given, words - fill - 2, taken) + 1)
        return found


def fill_cycles(spec: LayerSpec) -> int:
    """Cycles from the transfer of a block's last word to the one that completes its sums."""
    geo = spec.geo
    return geo.K + 1 + (tree_stages(geo.G, ADDERS) if geo.G > 1 else 0)


def behind(spec: LayerSpec) -> int:
    """Words that fit between the sums and the fuse."""
    return FEW if spec.geo.K > 1 and not spec.hw.spread else BEHIND


def timing(spec: LayerSpec) -> ColumnTiming:
    """Timing of a layer's mixer."""
    geo, words, fill = spec.geo, spec.geo.words, fill_cycles(spec)
    interval = max(words * geo.K, fill + 2, fill + 3 + Queue.latency + words - behind(spec))
    return ColumnTiming(fill + 1 + Queue.latency + fuse.latency(spec), interval, geo.K, fill + 1,
                        behind(spec), 1, 0, 0)


class Mixer(Mixing):
    """Spikes or values in, the next layer's input out: sums of weights, no multiplier.

    .. code-block:: text

        i ──► W RAMs, one per neuron of a word, G rows of Q weights per cycle
                 │
                [rows, 0 without a spike]──►(sum over G)──►(+)──►[ring: K x Q, rotates by Q]
                                                             └─ step ─►[out: H, shifts by G]
        x ────────────────────────────────────────────►[Fuse]◄──[queue]◄──┘
                                                          └──► o

    A layer may have several mixers: they run in step, and their sums leave together. Each of the P
    steps of a word has sums of its own; a row of W is read once for all of them. A word costs K
    cycles (``Geometry.K``), whatever fired. With the last row of a step the sums go
    to ``out`` and the ring becomes 0, so the next step is summed while this one is read out. From
    the RAMs to ``out`` nothing ever waits, thousands of flip-flops have no enable: the last word of
    a step is taken only when ``out`` is sure to be free once its sums are there. That is so when no
    more words are left in ``out`` than cycles until then, and the queue has room for all of them.

    Parameters
    ----------
    spec : LayerSpec

    Members
    -------
    Those of :class:`rtl.layer.mixing.Mixing`.

    Resources
    ---------
    Of each mixer: G RAMs of ``words * K`` rows of Q weights; of each step 2 H sums in registers and
    Q adders. A queue of :func:`behind` words.
    """

    def __init__(self, spec: LayerSpec):
        super().__init__(spec, timing(spec))
        self.fill = fill_cycles(spec)
        self.weights = {name: [ConfigMemory(spec.regions[f"{name}{g}"], spec.hw)
                               for g in range(spec.geo.G)] for name in columns.names(spec)}

    def elaborate(self, platform):
        m = Module()
        self.add_fuse(m)
        clear, coming = Signal(init=1), Signal()    # `out` will be free; a last word is on its way
        taken, active, fold, row, now = self._take(m, clear, coming)
        tags, wipe = self._tags(m, active, fold, now)
        moved = {}
        for wire, (name, rams) in zip(self.spec.cut.mixes, self.weights.items()):
            parts = self._parts(m, wire, name, rams, active, row, now)
            moved[wire.op.makes] = [self._sums(m, wire.op.makes, p, tags[-1], wipe, part)
                                    for p, part in enumerate(parts)]
        self._read_out(m, tags, moved, clear, coming, taken)
        return m

    def _take(self, m: Module, clear, coming):
        """Take a word: K rows of each RAM, the first in the cycle of the transfer.

        Returns taken; active, fold, row: whether there is a row, which of its word, which of the
        layer's; and the word that it is of.
        """
        geo, K = self.geo, self.geo.K
        fold, row = Signal(range(max(2, K))), Signal(range(max(2, geo.words * K)))
        word = Signal(columns.mixer_word(self.spec), reset_less=True)
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
        now = data.View(word.shape(), Mux(fold == 0, self.i.payload.as_value(),
                                             word.as_value()))
        return taken, active, fold, row, now

    def _tags(self, m: Module, active, fold, now):
        """What goes with the sums: tags, tags[-1] with them; and wipe."""
        tag = data.StructLayout({"valid": 1, "end": 1} | marks(self.geo))
        tags = [Signal(tag, name=f"tag{k}") for k in range(self.fill - self.geo.K + 1)]
        # As the end of tags[-1], and after a reset for as long as the adders, which have none,
        # still hold words from before it.
        wipe, stale = Signal(init=1), self.fill - self.geo.K - 1
        leaving = Signal(stale, init=(1 << stale) - 1)
        m.d.sync += [
            tags[0].valid.eq(active), tags[0].end.eq(active & now.end & (fold == self.geo.K - 1)),
            *copied(tags[0], now, self.geo),
            *(tag.eq(before) for tag, before in zip(tags[1:], tags)),
            wipe.eq(tags[-2].end | leaving[:1].any()), leaving.eq(leaving >> 1),
        ]
        return tags, wipe

    def _parts(self, m: Module, wire, name: str, rams: list, active, row, now) -> list:
        """RAMs and rows of one mixer: of each step Q sums over a word."""
        Q, G, made = self.geo.Q, self.geo.G, wire.op.makes
        w, (fmt,), word = shape_of(wire.op.w.fmt), wire.formats, now[wire.op.reads[0]]
        weights, rows = [], []
        for g, ram in enumerate(rams):
            m.submodules[name.partition(".")[2].replace(".", "_") + str(g)] = ram
            wiring.connect(m, wiring.flipped(self.cfg), ram.cfg)
            m.d.comb += [ram.addr.eq(row_of(self.geo, now, self.geo.words * self.geo.K, row)),
                         ram.en.eq(1)]
            read = [ram.data.word_select(q, w.width) for q in range(Q)]
            weights.append([weight.as_signed() if w.signed else weight for weight in read])
        for j in range(self.geo.values):
            # Nothing without a word: an enable would be one more input of every bit.
            value = Signal(shape_of(fmt), name=f"{made}_value{j}")
            m.d.sync += value.eq(Mux(active, word[j], 0))
            found = [columns.product(wire, value, weight) for weight in weights[j % G]]
            rows.append(self._signals(Value.cast(found[0]).shape(), Q, f"{made}_row{j}_"))
            m.d.sync += [to.eq(part) for to, part in zip(rows[j], found)]
        pipe = Pipeline(m, Const(1))
        return [[rows[p * G][q] if G == 1 else
                 pipe.total([rows[p * G + g][q] for g in range(G)], ADDERS,
                            f"{made}{p or ''}_part{q}") for q in range(Q)]
                for p in range(self.geo.P)]

    def _sums(self, m: Module, made: str, p: int, tag, wipe, parts):
        """Add to the head of a ring of K groups; returns the ring behind that, for `out`."""
        acc, K, Q = self.totals[made].shape, self.geo.K, self.geo.Q
        ring = self._signals(acc, self.geo.H, f"{made}{p or ''}_ring")
        sums = self._signals(acc, Q, f"{made}{p or ''}_sum")
        m.d.comb += [to.eq(head + part) for to, head, part in zip(sums, ring, parts)]
        moved = [*ring[Q:], *sums]
        with m.If(tag.valid if K > 1 else Const(1)):    # without a word the parts are 0
            m.d.sync += [to.eq(value) for to, value in zip(ring, moved)]
        with m.If(wipe):
            m.d.sync += [to.eq(0) for to in ring]
        return moved

    def _read_out(self, m: Module, tags, moved: dict, clear, coming, taken) -> None:
        """A step's sums to `out`, from there word after word into the queue."""
        geo, G = self.geo, self.geo.G
        m.submodules.queue = queue = Queue(self.fuse.i.payload.shape(),
                                           behind(self.spec))
        wiring.connect(m, queue.o, self.fuse.i)
        load, send, read = tags[-1].end, Signal(), Signal()
        left = Signal(range(geo.words + 1))                     # words in `out`
        room = behind(self.spec)
        unread = Signal(range(geo.words + room + 2))    # there, in the queue, or just read
        filled, loaded = Signal(), Signal()     # left is not 0; the cycle after a load
        was_read = Signal()
        move = Signal(init=1)
        step = Signal(data.StructLayout(marks(geo)), reset_less=True)
        m.d.comb += [
            send.eq(filled & queue.i.ready), read.eq(queue.o.valid & queue.o.ready),
            queue.i.valid.eq(filled), *copied(queue.i.payload, step, geo),
        ]
        m.d.sync += [
            left.eq(Mux(load, geo.words, left - send)),
            filled.eq(~self._at_most(0, left, load, send)),
            unread.eq(unread + Mux(load, geo.words, 0) - was_read), loaded.eq(load),
            was_read.eq(read),
            clear.eq(self._at_most(self.fill + 1, left, load, send) & (unread <= room)),
            move.eq(queue.ready_next | tags[-2].end),
        ]
        for name, p, values in [(name, p, values) for name, steps in moved.items()
                                for p, values in enumerate(steps)]:
            out = self._signals(self.totals[name].shape, geo.H, f"{name}{p or ''}_out")
            m.d.comb += [queue.i.payload[name][p * G + g].eq(out[g]) for g in range(G)]
            with m.If(move):
                m.d.sync += [to.eq(Mux(load, value, shifted)) for to, value, shifted in
                             zip(out, values, [*out[G:], *[Const(0)] * G])]
        with m.If(load):
            m.d.sync += copied(step, tags[-1], geo)
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
