# amaranth: UnusedElaboratable=no
"""SpikeMixer: the columns of the neurons that fired, summed; then the next layer's input."""

from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.artifact import Artifact
from rtl.config import Geometry, HardwareConfig
from rtl.fuse import Fuse
from rtl.memory import AddressMap, ConfigMemory, pack_rows
from rtl.streams import ConfigBus, shape_of, spike_word, x_word


class Mixer(wiring.Component):
    """Spikes in, the next layer's input out: sums of weights, no multiplier.

    .. code-block:: text

        i ──► W RAMs, one per neuron of a word, G rows of Q weights per cycle
                 │
                [row]──►(and spike, sum over G)──►[part]──►(+)──►[ring: K x Q, rotates by Q]
                                                                   └─ step ─►[out: H, shifts by G]
        x ────────────────────────────────────────────────────────►[Fuse]◄──┘
                                                                      └──► o

    A word costs K cycles (``Geometry.K``), whatever fired. The sums of a complete step move to
    ``out`` in one cycle, so the next step is summed while this one is read out. The last word of a
    step is taken only when ``out`` is sure to be free once its sums are there: when it is empty, or
    when ``o`` has begun to accept it and few words are left. Should ``o`` stall all the same, the
    pipeline waits; a layer's buffer never does that.

    Parameters
    ----------
    art : Artifact
    number : int
        The layer.
    hw : HardwareConfig
    amap : AddressMap

    Members
    -------
    i : ``In(stream.Signature(spike_word(geo)))``
    x : ``In(stream.Signature(x_word(art, geo)))``
        This layer's input again; missing with ``residual = none``.
    o : ``Out(stream.Signature(x_word(art, geo)))``
    count : ``Out(StructLayout({"valid": 1, "value": 32}))``
        Saturated elements of a sequence, one pulse after its last word; only with ``plain``.
    cfg : ``In(ConfigBus())``

    Timing
    ------
    ``latency`` cycles from the transfer of a step's last word to the first word on ``o``, then a
    word per cycle; ``interval`` is the least number of cycles per step.

    Resources
    ---------
    G RAMs of ``words * K`` rows of Q weights, 2 H sums in registers, Q adders.
    """

    def __init__(self, art: Artifact, number: int, hw: HardwareConfig, amap: AddressMap):
        self.art, self.geo, self.layer = art, Geometry.of(art, hw), art.layers[number]
        geo, fmt = self.geo, self.layer.fmt
        self.weights = []
        for g in range(geo.G):
            columns = self.layer.w.T[g::geo.G]              # (words, H_out)
            region = amap.allocate(f"layer{number}.mixer.w{g}", geo.words * geo.K,
                                   geo.Q * fmt.w.width, f"{geo.Q} weights of one input neuron")
            self.weights.append(ConfigMemory(
                region, pack_rows([(columns.reshape(geo.words * geo.K, geo.Q), fmt.w.width)]), hw))
        self.fuse = Fuse(art, number, hw, amap)
        self.acc = fmt.w.total(art.H)
        members = {"i": In(stream.Signature(spike_word(geo))),
                   "o": Out(stream.Signature(x_word(art, geo))), "cfg": In(ConfigBus())}
        for name in ("x", "count"):
            if name in self.fuse.signature.members:
                members[name] = self.fuse.signature.members[name]
        super().__init__(members)

    @property
    def fill(self) -> int:
        """Cycles from the transfer of a step's last word to the one that completes its sums."""
        return self.geo.K + 2

    @property
    def latency(self) -> int:
        return self.fill + 2 + self.fuse.latency

    @property
    def interval(self) -> int:
        """Least cycles from one step's last word to the next one's, when ``o`` never stalls."""
        words = self.geo.words
        drained = min(self.fill + 2 + words, max(words, self.latency + 1))
        return max(words * self.geo.K, drained)

    def model(self, s_out, x):
        """(x_next (H,), saturated elements) from one step's spikes (H,) and input (H,)."""
        return self.fuse.model(s_out, x)

    def elaborate(self, platform):
        m = Module()
        geo, H = self.geo, self.art.H
        K, Q, G = geo.K, geo.Q, geo.G
        m.submodules.fuse = fuse = self.fuse
        wiring.connect(m, wiring.flipped(self.cfg), fuse.cfg)
        wiring.connect(m, fuse.o, wiring.flipped(self.o))
        if "x" in self.signature.members:
            wiring.connect(m, wiring.flipped(self.x), fuse.x)
        if "count" in self.signature.members:
            m.d.comb += self.count.eq(fuse.count)

        en = Signal()               # the summing pipeline moves
        # --- take a word: K rows of each RAM, the first in the cycle of the transfer ------------
        fold, row = Signal(range(max(2, K))), Signal(range(max(2, geo.words * K)))
        word, new = Signal(spike_word(geo)), Signal(init=1)     # new: next word starts a step
        clear_to_end = Signal()
        taken, active = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(en & (fold == 0) & (~self.i.payload.end | clear_to_end)),
            taken.eq(self.i.valid & self.i.ready),
            active.eq(taken | (en & (fold != 0))),
        ]
        with m.If(taken):
            m.d.sync += [word.eq(self.i.payload), new.eq(self.i.payload.end)]
        with m.If(active):
            m.d.sync += [fold.eq(Mux(fold == K - 1, 0, fold + 1)),
                         row.eq(Mux(row == geo.words * K - 1, 0, row + 1))]

        # --- stages: RAM, row, part; the tags travel along ---------------------------------------
        tag = data.StructLayout({"valid": 1, "spikes": G, "add": 1, "end": 1, "first": 1,
                                 "last": 1})
        tags = [Signal(tag, name=f"tag{k}") for k in range(3)]
        now = Mux(fold == 0, self.i.payload.as_value(), word.as_value())
        now = data.View(spike_word(geo), now)
        add, held = Signal(), Signal()
        m.d.comb += add.eq(Mux(fold == 0, ~new, held))
        with m.If(taken):
            m.d.sync += held.eq(~new)
        with m.If(en):
            m.d.sync += [
                tags[0].valid.eq(active), tags[0].spikes.eq(now.s_out), tags[0].add.eq(add),
                tags[0].end.eq(now.end & (fold == K - 1)), tags[0].first.eq(now.first),
                tags[0].last.eq(now.last), tags[1].eq(tags[0]), tags[2].eq(tags[1])]

        w = Shape(self.layer.fmt.w.width, self.layer.fmt.w.signed)
        rows = []
        for g, ram in enumerate(self.weights):
            m.submodules[f"w{g}"] = ram
            wiring.connect(m, wiring.flipped(self.cfg), ram.cfg)
            m.d.comb += [ram.addr.eq(row), ram.en.eq(en)]
            rows.append(Signal(data.ArrayLayout(w, Q), name=f"row{g}"))
            with m.If(en):
                m.d.sync += rows[g].eq(ram.data)

        # --- sums: the head of a ring of K groups, then the whole ring to `out` ------------------
        acc = shape_of(self.acc)
        ring = Signal(data.ArrayLayout(acc, H))
        moved = Signal(data.ArrayLayout(acc, H))
        part_shape = shape_of(self.layer.fmt.w.total(G))
        for q in range(Q):
            part = Signal(part_shape, name=f"part{q}")
            with m.If(en):
                m.d.sync += part.eq(sum(Mux(tags[1].spikes[g], rows[g][q], 0) for g in range(G)))
            m.d.comb += moved[H - Q + q].eq(Mux(tags[2].add, ring[q], 0) + part)
        if K > 1:
            m.d.comb += Cat(moved[j] for j in range(H - Q)).eq(Cat(ring[j] for j in range(Q, H)))
        full, step = Signal(), Signal(data.StructLayout({"first": 1, "last": 1}))
        with m.If(en & tags[2].valid):
            m.d.sync += [ring.eq(moved), step.first.eq(tags[2].first), step.last.eq(tags[2].last)]

        # --- read-out ----------------------------------------------------------------------------
        out = Signal(data.ArrayLayout(acc, H))
        left = Signal(range(geo.words + 1))         # words of `out` still to be read
        coming = Signal()                           # a step's last word is on its way
        unseen = Signal(range(self.fuse.latency + 3))   # steps whose first word is not yet taken
        place = Signal(range(max(2, geo.words)))    # of the word on `o` in its step
        shift, free, load, ended = Signal(), Signal(), Signal(), Signal()
        # What is known of `left` and `unseen` a cycle ahead: the enables of H sums hang on it.
        empty, single, few, shown = Signal(init=1), Signal(), Signal(init=1), Signal(init=1)
        left_next, unseen_next = Signal.like(left), Signal.like(unseen)
        m.d.sync += [left.eq(left_next), empty.eq(left_next == 0), single.eq(left_next == 1),
                     few.eq(left_next <= self.fill + 2), unseen.eq(unseen_next),
                     shown.eq(unseen_next == 0)]
        m.d.comb += [
            fuse.i.valid.eq(~empty),
            shift.eq(fuse.i.valid & fuse.i.ready),
            free.eq(empty | (shift & single)),
            load.eq(full & free),
            en.eq(~(tags[2].valid & full) | free),      # whole sums wait for `out`, the rest for it
            ended.eq(en & tags[2].valid & tags[2].end),
            clear_to_end.eq(~coming & (empty | shown & few)),
            left_next.eq(Mux(load, geo.words, left - shift)),
        ]
        m.d.comb += [fuse.i.payload.total[g].eq(out[g]) for g in range(G)]
        if G < H:
            with m.If(shift):
                m.d.sync += Cat(out[j] for j in range(H - G)).eq(Cat(out[j] for j in range(G, H)))
        given = self.o.valid & self.o.ready
        with m.If(given):
            m.d.sync += place.eq(Mux(place == geo.words - 1, 0, place + 1))
        m.d.comb += unseen_next.eq(unseen + load - (given & (place == 0)))
        with m.If(taken & self.i.payload.end):
            m.d.sync += coming.eq(1)
        m.d.sync += full.eq(ended | full & ~free)
        with m.If(load):
            m.d.sync += [out.eq(ring), coming.eq(0),
                         fuse.i.payload.first.eq(step.first), fuse.i.payload.last.eq(step.last)]
        return m
