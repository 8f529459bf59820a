"""All layers of a network on the hardware of one: a ring in which every step goes round."""

from dataclasses import dataclass, replace

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.layer import fuse
from rtl.layer.layer import Layer, tap_layout, timing
from rtl.parts.config import Geometry
from rtl.parts.streams import ConfigBus, copied, x_word
from rtl.spec import LayerSpec


@dataclass(frozen=True)
class View:
    """What a core shows of one layer, as of :class:`rtl.layer.layer.Layer`."""

    tap: data.View
    busy: object
    counts: tuple[data.View, ...]       # that are added
    stream_count: data.View | None


def alone(geo: Geometry) -> Geometry:
    """Of a layer that shares nothing: that of the words outside."""
    return replace(geo, layers=1)


def views_of(spec: LayerSpec) -> list[LayerSpec]:
    """A layer each, for the shape of its tap: those of a core that is not folded."""
    return [replace(spec, number=j, geo=alone(spec.geo)) for j in range(spec.geo.layers)]


class Ring(wiring.Component):
    """Steps of x to those behind the last layer, every layer on the same engine and mixer.

    .. code-block:: text

        i ──►(merge)──►[XBuffer]──►[StateEngine]──► spikes ──►[Mixer]──►(split)──► o
                ▲       └──────────────────── one Layer ─────────────┘     │
                └──────────────────── x of the next layer ◄───────────────┘

    A step enters as one of layer 0 and comes back until it has been through the last one. Several
    steps go round, one behind the other, and none overtakes another, so each layer sees its steps
    in their order. What comes back is taken before what is new, a whole step at a time; a new one
    waits while ``tokens`` steps are inside, for which the buffer has room whatever happens.

    Parameters
    ----------
    spec : LayerSpec
        With the tensors of all layers, :func:`rtl.folded.stack.stacked`.

    Members
    -------
    i, o : streams of ``x_word(x_format, alone(geo))``
    tap0, tap1, ... : ``Out(tap_layout)`` of each layer
    busy : ``Out(layers)``
    cfg : ``In(ConfigBus())``

    Timing
    ------
    ``layers * H n / lanes`` cycles per step, as long as steps come: :class:`rtl.folded.times`.

    Resources
    ---------
    Those of a :class:`rtl.layer.layer.Layer` with memories as deep as all layers together.
    """

    def __init__(self, spec: LayerSpec):
        self.spec, self.geo, self.timing = spec, spec.geo, timing(spec)
        self.layer = Layer(spec)
        word, count = x_word(spec.x_format, alone(spec.geo)), fuse.count_layout(alone(spec.geo))
        each = views_of(spec)
        members = {"i": In(stream.Signature(word)), "o": Out(stream.Signature(word)),
                   "busy": Out(spec.geo.layers), "cfg": In(ConfigBus())}
        members |= {f"tap{j}": Out(tap_layout(one)) for j, one in enumerate(each)}
        members |= {f"count{j}": Out(count) for j in range(spec.geo.layers)}
        if spec.saturates:
            members |= {f"stream_count{j}": Out(count) for j in range(spec.geo.layers)}
        super().__init__(members)

    @property
    def views(self) -> list[View]:
        """What there is to see of each layer."""
        return [View(getattr(self, f"tap{j}"), self.busy[j], (getattr(self, f"count{j}"),),
                     getattr(self, f"stream_count{j}", None)) for j in range(self.geo.layers)]

    def elaborate(self, platform):
        m = Module()
        geo = self.geo
        m.submodules.layer = layer = self.layer
        wiring.connect(m, wiring.flipped(self.cfg), layer.cfg)
        last = Signal()             # what leaves the layer leaves the ring
        m.d.comb += last.eq(layer.o.payload.layer == geo.layers - 1)
        entered, back = self._merge(m, last)
        m.d.comb += [self.o.valid.eq(layer.o.valid & last),
                     layer.o.ready.eq(Mux(last, self.o.ready, back)),
                     self.o.payload.x.eq(layer.o.payload.x),
                     *copied(self.o.payload, layer.o.payload, alone(geo))]

        word, left, tokens = Signal(range(max(2, geo.words))), Signal(), self.timing.tokens
        inside, room = Signal(range(tokens + 1)), self.room
        out = self.o.valid & self.o.ready
        m.d.comb += left.eq(out & (word == geo.words - 1))
        with m.If(out):
            m.d.sync += word.eq(Mux(word == geo.words - 1, 0, word + 1))
        m.d.sync += inside.eq(inside + entered - left)
        m.d.comb += room.eq(inside != tokens)
        self._show(m)
        return m

    def _merge(self, m: Module, last):
        """Whole steps into the layer, those from the ring first.

        Returns: a new step's first word is taken; a word from the ring can be.
        """
        layer, geo, end = self.layer, self.geo, self.geo.words - 1
        word, kept, chosen = Signal(range(max(2, geo.words))), Signal(), Signal()
        again, entered, back = Signal(), Signal(), Signal()
        self.room = Signal()        # for one more step inside
        into = layer.i
        m.d.comb += [
            again.eq(layer.o.valid & ~last),
            chosen.eq(Mux(word == 0, again, kept)),     # the ring's
            into.valid.eq(Mux(chosen, again, self.i.valid & ((word != 0) | self.room))),
            back.eq(chosen & into.ready),
            self.i.ready.eq(~chosen & into.ready & ((word != 0) | self.room)),
            entered.eq(self.i.valid & self.i.ready & (word == 0)),
            into.payload.eq(layer.o.payload),
            into.payload.layer.eq(layer.o.payload.layer + 1),
        ]
        with m.If(~chosen):
            m.d.comb += [into.payload.x.eq(self.i.payload.x), into.payload.layer.eq(0),
                         *copied(into.payload, self.i.payload, alone(geo))]
        with m.If(into.valid & into.ready):
            m.d.sync += [kept.eq(chosen), word.eq(Mux(word == end, 0, word + 1))]
        return entered, back

    def _show(self, m: Module) -> None:
        """Each layer's part of what the one layer shows."""
        layer = self.layer
        m.d.comb += self.busy.eq(layer.busy)
        for j, view in enumerate(self.views):
            for to, shown in ((view.tap, layer.tap), (*view.counts, layer.count),
                              (view.stream_count, getattr(layer, "stream_count", None))):
                if to is not None:
                    m.d.comb += [to[name].eq(shown[name]) for name in to.shape().members
                                 if name != "valid"]
                    m.d.comb += to.valid.eq(shown.valid & (shown.layer == j))
