"""All layers of a two-sided network on the hardware of one: whole sequences, back and onwards."""

from dataclasses import dataclass

from amaranth import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.integer.signature import crc32
from rtl.decoder import TURNAROUND
from rtl.folded import sides, sums
from rtl.folded.ring import View, alone, views_of
from rtl.folded.sequence import Kept, Sequence
from rtl.folded.sums import Sums
from rtl.layer import chains, coefficients, fuse, mixers, state_engine, ternary
from rtl.layer.layer import LayerTiming, tap_layout
from rtl.layer.state_engine import EngineTiming, StateEngine
from rtl.parts.memory import Region, delay_bus
from rtl.parts.streams import ConfigBus, copied, x_word
from rtl.spec import LayerSpec


@dataclass(frozen=True)
class PassTiming(LayerTiming):
    """Cycles of layers that a sequence goes through as a whole; ``engine`` is that of the states.

    latency : from a step's first word into the states to its first one on ``o``, onwards; interval
    : cycles per step and layer, both ways.
    """

    front: EngineTiming | None = None
    pace: int = 0       # cycles per step onwards; back it is the interval of the states

    @property
    def back(self) -> int:
        """Cycles per step from the end to the start."""
        return self.engine.interval


def parts(spec: LayerSpec) -> tuple[LayerSpec, LayerSpec, LayerSpec]:
    """In front of the states, the states of both sides, behind them."""
    return sides.in_front(spec), sides.of_states(spec), sides.behind(spec)


def regions(spec: LayerSpec) -> list[Region]:
    """The regions of all parts, in the order of the map."""
    before, states, behind = parts(spec)
    found = [region for part in (states, before, behind) for region in coefficients.regions(part)]
    return found + ternary.regions(behind) + mixers.regions(spec) + fuse.regions(spec)


def timing(spec: LayerSpec) -> PassTiming:
    """Timing of the layers."""
    before, states, behind = parts(spec)
    front, engine, rest = map(state_engine.timing, (before, states, behind))
    geo, mix = spec.geo, mixers.timing(spec)
    limit = ternary.timing(behind) if spec.cut.ternary else None
    pace = max(TURNAROUND, *(part.interval for part in (front, engine, rest, mix, limit) if part))
    latency = (geo.words - 1) * geo.F + engine.latency + sums.latency(spec) + rest.latency
    if limit:
        latency += limit.latency + (geo.words - 1) * mix.word
    return PassTiming(latency + mix.latency, engine.interval + pace, engine, limit, mix,
                      fuse.latency(spec), 0, 0, front, pace)


class TwoSided(wiring.Component):
    """Steps of x to those behind the last layer; a whole sequence through each layer.

    .. code-block:: text

        i ─►(or)─►[front]─► u ─►[Sequence]─►[states]─►[Sums]─►[behind]─►[ternary]─►[Mixer]─┬─► o
             ▲ └──────────────────── x ─────[Kept]────────────────────────────────────►┘   │
             └────────────────────────────── x of the next layer ◄──────────────────────────┘

    What enters the states of a layer is kept until the sequence's last step is there. Then the
    states of the future go through it from the end, and their sums are kept; then those of the past
    from the start, and step after step leaves as the next layer's, which takes its place. While the
    last layer's leave, a next sequence comes in, a step where one has left.

    Parameters
    ----------
    spec : LayerSpec
        With the tensors of all layers, :func:`rtl.folded.stack.stacked`.

    Members
    -------
    i, o : streams of ``x_word(x_format, alone(geo))``
    tap0, tap1, ... : ``Out(tap_layout)`` of each layer
        Onwards; the signature has the way back too.
    busy : ``Out(layers)``
    cfg : ``In(ConfigBus())``

    Timing
    ------
    :class:`rtl.folded.pass_times.PassTimes`. Nothing waits on its way, in the middle of a sequence.

    Resources
    ---------
    Those of a :class:`rtl.layer.layer.Layer` with memories as deep as all layers together, twice
    for the states; what a sequence of ``spec.longest`` steps has of u, of sums and, where it is
    added again, of x.
    """

    def __init__(self, spec: LayerSpec):
        self.spec, self.geo, self.timing = spec, spec.geo, timing(spec)
        before, states, behind = parts(spec)
        self.before, self.states, self.behind = map(StateEngine, (before, states, behind))
        pace = self.timing.pace
        self.sequence = Sequence(states, before, spec.longest,
                                 pace if pace > self.timing.back else 0)
        self.sums, self.mixer = Sums(spec, states, behind, spec.longest), mixers.make(spec)
        word, count = x_word(spec.x_format, alone(spec.geo)), fuse.count_layout(alone(spec.geo))
        members = {"i": In(stream.Signature(word)), "o": Out(stream.Signature(word)),
                   "busy": Out(spec.geo.layers), "cfg": In(ConfigBus())}
        members |= {f"tap{j}": Out(tap_layout(one)) for j, one in enumerate(views_of(spec))}
        self.counted = ["future", "past"]
        self.counted += ["front"] * bool(chains.front(before).flow.over)
        self.counted += ["behind"] * bool(chains.middle(behind, 1).flow.over)
        self.counted += ["stream"] * spec.saturates
        members |= {f"{name}_count{j}": Out(count) for name in self.counted
                    for j in range(spec.geo.layers)}
        super().__init__(members)

    @property
    def views(self) -> list[View]:
        """What there is to see of each layer."""
        def counts(j, names):
            return tuple(getattr(self, f"{name}_count{j}") for name in self.counted
                         if name in names)
        return [View(getattr(self, f"tap{j}"), self.busy[j],
                     counts(j, ("future", "past", "front", "behind")),
                     next(iter(counts(j, ("stream",))), None)) for j in range(self.geo.layers)]

    def elaborate(self, platform):
        m = Module()
        before, states, behind, mixer = self.before, self.states, self.behind, self.mixer
        m.submodules.front, m.submodules.states, m.submodules.behind = before, states, behind
        m.submodules.sequence, m.submodules.sums = sequence, total = self.sequence, self.sums
        m.submodules.mixer = mixer
        connected = [before, states, behind, mixer]
        spikes = behind.o
        if self.spec.cut.ternary:
            m.submodules.ternary = limit = ternary.Ternary(behind.spec)
            wiring.connect(m, spikes, limit.i)
            spikes, connected = limit.o, [*connected, limit]
        for name, part in zip("abcde", connected):
            bus = wiring.flipped(self.cfg)
            if self.spec.hw.spread:
                bus = delay_bus(m, bus, f"cfg_{name}")
            wiring.connect(m, bus, part.cfg)

        u, into = before.o, sequence.i
        m.d.comb += [into.valid.eq(u.valid), u.ready.eq(1), states.coming.eq(sequence.coming),
                     into.payload.x.eq(u.payload[before.spec.cut.u]),
                     *copied(into.payload, u.payload, before.spec.geo)]
        wiring.connect(m, sequence.o, states.i)
        wiring.connect(m, states.o, total.i)
        wiring.connect(m, total.o, behind.i)
        m.d.comb += [mixer.i.valid.eq(spikes.valid), spikes.ready.eq(mixer.i.ready),
                     *(mixer.i.payload[name].eq(spikes.payload[name])
                       for name in mixer.i.payload.shape().members)]
        self._enter(m)
        self._show(m, spikes)
        return m

    def _enter(self, m: Module) -> None:
        """What goes in in front, the next layer's steps or new ones; and what leaves."""
        geo, into, out, i = self.geo, self.before.i, self.mixer.o, self.i
        again, new, leaves = Signal(), Signal(), Signal()
        last = out.payload.layer == geo.layers - 1 if geo.layers > 1 else 1
        m.d.comb += [
            again.eq(out.valid & ~last if geo.layers > 1 else 0), self.o.valid.eq(out.valid & last),
            out.ready.eq(Mux(again, into.ready, self.o.ready)),
            self.o.payload.x.eq(out.payload.x), *copied(self.o.payload, out.payload, alone(geo)),
            into.valid.eq(again | new), i.ready.eq(into.ready & ~again & self._open(m, leaves)),
            new.eq(i.valid & ~again & self.opened), leaves.eq(self.o.valid & self.o.ready),
            into.payload.x.eq(Mux(again, out.payload.x, i.payload.x)),
            *(into.payload[name].eq(Mux(again, out.payload[name], i.payload[name]))
              for name in i.payload.shape().members if name != "x")]
        if geo.layers > 1:
            m.d.comb += into.payload.layer.eq(Mux(again, out.payload.layer + 1, 0))
        if self.spec.fused:
            m.submodules.kept = kept = Kept(self.spec, self.spec.longest)
            wiring.connect(m, kept.o, self.mixer.x)
            m.d.comb += [kept.i.valid.eq(into.valid & into.ready), kept.more.eq(self.sequence.more),
                         kept.i.payload.eq(into.payload)]

    def _open(self, m: Module, leaves):
        """A new word may come in: there is no sequence inside, or of the last layer's steps that
        one has left whose place it takes.

        leaves : a word leaves.
        """
        words, longest, i = self.geo.words, self.spec.longest, self.i
        self.opened = opened = Signal()
        comes, word, gone = Signal(), Signal(range(max(2, words))), Signal(range(max(2, words)))
        new, left = (Signal(range(longest + 1), name=name) for name in ("new", "left"))
        closed, leaving = Signal(), Signal()
        m.d.comb += [comes.eq(i.valid & i.ready),
                     opened.eq((word != 0) | ~closed & (~leaving | (new < left)))]
        end = word == words - 1
        with m.If(comes):
            m.d.sync += word.eq(Mux(end, 0, word + 1))
            with m.If(end):
                m.d.sync += new.eq(Mux(i.payload.last, 0, Mux(new == longest, new, new + 1)))
        with m.If(leaves):
            m.d.sync += gone.eq(Mux(gone == words - 1, 0, gone + 1))
            with m.If(gone == words - 1):
                m.d.sync += left.eq(left + 1)
                with m.If(self.o.payload.last):
                    m.d.sync += leaving.eq(0)
        with m.If(self.sequence.begins):
            m.d.sync += [closed.eq(0), leaving.eq(1), left.eq(0)]
        with m.Elif(comes & end & i.payload.last):
            m.d.sync += closed.eq(1)
        return opened

    def _show(self, m: Module, spikes) -> None:
        """Each layer's part of what there is to see."""
        geo, u, both = self.geo, self.before.o, self.states.o
        moved = spikes.valid & spikes.ready
        signature = spikes.payload.signature
        if self.spec.hw.signature:
            signature = signature ^ spikes.payload.signed ^ self._signed_in_front(m, spikes)

        def of(payload, j):
            return payload.layer == j if geo.layers > 1 else 1
        for j in range(geo.layers):
            tap = getattr(self, f"tap{j}")
            m.d.comb += [tap.valid.eq(moved & of(spikes.payload, j)), tap.signature.eq(signature),
                         self.busy[j].eq(self.states.busy[2 * j:2 * j + 2].any()),
                         *(tap[name].eq(spikes.payload[name]) for name in tap.shape().members
                           if name not in ("valid", "signature"))]
            ended = {"front": (u.valid & of(u.payload, j), u.payload),
                     "behind": (moved & of(spikes.payload, j), spikes.payload)}
            for k, name in enumerate(("future", "past")):
                ended[name] = both.valid & both.ready & (both.payload.layer == 2 * j + k), \
                    both.payload
            for name, (valid, word) in ended.items():
                if name in self.counted:
                    count = getattr(self, f"{name}_count{j}")
                    m.d.sync += [count.valid.eq(valid & word.end & word.last),
                                 count.value.eq(word.saturations)]
            if self.spec.saturates:
                count, shown = getattr(self, f"stream_count{j}"), self.mixer.count
                m.d.comb += [count.valid.eq(shown.valid & of(shown, j)),
                             count.value.eq(shown.value)]

    def _signed_in_front(self, m: Module, spikes):
        """The signature's part of what stands in front, of the step whose spikes come; and what
        parts have too much, of words that are 0 in the other ones."""
        longest, u = self.spec.longest, self.before.o
        m.submodules.signed = ram = memory.Memory(shape=32, depth=max(2, longest), init=[])
        write, read = ram.write_port(), ram.read_port()
        step = Signal(range(max(2, longest)))
        with m.If(spikes.valid & spikes.ready & spikes.payload.end):
            m.d.sync += step.eq(Mux(spikes.payload.last, 0, step + 1))
        m.d.comb += [write.en.eq(u.valid & u.payload.end), write.addr.eq(self.sequence.step),
                     write.data.eq(u.payload.signature), read.en.eq(1), read.addr.eq(step)]
        return read.data ^ crc32([0] * self.geo.H)
