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
        drained = min(self.fill + 1 + words, max(words, self.latency + 1))
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

        en, hold = Signal(init=1), Signal()     # the summing pipeline moves; it does not
        # --- take a word: K rows of each RAM, the first in the cycle of the transfer ------------
        fold, row = Signal(range(max(2, K))), Signal(range(max(2, geo.words * K)))
        word, new = Signal(spike_word(geo)), Signal(init=1)     # new: next word starts a step
        clear_to_end = Signal()
        taken, active = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~hold & (fold == 0) & (~self.i.payload.end | clear_to_end)),
            taken.eq(self.i.valid & self.i.ready),
            active.eq(taken | (~hold & (fold != 0))),
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

        # --- read-out: whole sums to `out` and its first word on, then word after word -----------
        # The enables of thousands of flip-flops hang on this. So each condition is a register that
        # is made a cycle ahead, and a second, inverted one serves what is not those flip-flops:
        # equal ones would be merged.
        out = Signal(data.ArrayLayout(acc, H))
        left = Signal(range(geo.words))             # words in `out`
        empty, few = Signal(init=1), Signal(init=1)         # left is 0; is at most fill + 1
        coming = Signal()                           # a step's last word is on its way
        unseen = Signal(range(self.fuse.latency + 6))   # steps whose first word is not yet taken
        shown = Signal(init=1)                      # there is none
        place = Signal(range(max(2, geo.words)))    # of the word on `o` in its step
        word_out = Signal(fuse.i.payload.shape())
        filled = Signal()                           # left is not 0
        send, load, ended, room_next = (Signal(name=name) for name in (
            "send", "load", "ended", "room_next"))
        room = self._buffer(m, send, word_out, fuse.i, room_next)

        last_step = Signal(step.shape())            # of the words in `out`
        given = self.o.valid & self.o.ready
        unseen_next, full_next, empty_next = Signal.like(unseen), Signal(), Signal()
        at_ring_next = Mux(en, tags[1].valid, tags[2].valid)
        m.d.comb += [
            load.eq(full & ~filled & room), send.eq(room & (full | filled)),
            word_out.first.eq(Mux(filled, last_step.first, step.first)),
            word_out.last.eq(Mux(filled, last_step.last, step.last)),
            *(word_out.total[g].eq(Mux(filled, out[g], ring[g])) for g in range(G)),
            ended.eq(en & tags[2].valid & tags[2].end), full_next.eq(ended | full & ~load),
            clear_to_end.eq(~coming & (~filled & room | shown & few)),
            unseen_next.eq(unseen + load - (given & (place == 0))),
            empty_next.eq(self._at_most(0, left, load, send)),
        ]
        m.d.sync += [
            left.eq(Mux(load, geo.words - 1, left - send)), empty.eq(empty_next),
            filled.eq(~empty_next),
            few.eq(self._at_most(self.fill + 1, left, load, send)), full.eq(full_next),
            unseen.eq(unseen_next), shown.eq(unseen_next == 0),
            en.eq(~(at_ring_next & full_next) | empty_next & room_next),
            hold.eq(at_ring_next & full_next & ~(empty_next & room_next)),
        ]
        with m.If(room & (full | ~empty)):
            shifted = Cat(out[j] for j in range(G, H))
            m.d.sync += out.as_value()[:-G * acc.width or None].eq(
                Mux(empty, ring.as_value()[G * acc.width:], shifted))
        with m.If(given):
            m.d.sync += place.eq(Mux(place == geo.words - 1, 0, place + 1))
        with m.If(taken & self.i.payload.end):
            m.d.sync += coming.eq(1)
        with m.If(load):
            m.d.sync += [last_step.eq(step), coming.eq(0)]
        return m

    def _at_most(self, limit: int, left, load, send):
        """Whether ``left`` will be at most ``limit`` in the next cycle."""
        return Mux(load, self.geo.words - 1 <= limit, Mux(send, left <= limit + 1, left <= limit))

    def _buffer(self, m: Module, send, word, o, room_next) -> Signal:
        """Two words before ``o``; returns a register: there is room for one more."""
        room, valid_next = Signal(init=1), Signal()
        spare = Signal.like(word)
        stay = o.valid & ~o.ready
        m.d.comb += [room_next.eq(~stay | room & ~send),
                     valid_next.eq(stay | send | ~room)]
        m.d.sync += [room.eq(room_next), o.valid.eq(valid_next)]
        with m.If(~stay):
            m.d.sync += o.payload.eq(Mux(room, word, spare))
        with m.If(room):
            m.d.sync += spare.eq(word)
        return room
