"""From a step's sums to the next layer's input: what stands behind the mixers."""

from types import SimpleNamespace

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.integer.reference import Running
from rtl.layer import chains
from rtl.layer.flow import Value
from rtl.parts.config import Geometry
from rtl.parts.memory import Region
from rtl.parts.pipeline import Pipeline, buffer_output
from rtl.parts.streams import (ConfigBus, copied, each_layer, existing, layer_mark, marks, row_of,
                               x_word)
from rtl.spec import LayerSpec


def totals(spec: LayerSpec) -> dict[str, Value]:
    """The mixers' sums, by what is made of them: H products, exact."""
    found, H = {}, spec.geo.H
    for wire in spec.cut.mixes:
        w, (v,) = wire.op.w.fmt, wire.formats
        ends = [a * b for a in (w.lo, w.hi) for b in (v.lo, v.hi)]
        found[wire.op.makes] = Value(H * min(ends), H * max(ends), w.f_bits + v.f_bits, 0)
    return found


def sum_word(spec: LayerSpec) -> data.StructLayout:
    """A word's sums of each mixer."""
    return data.StructLayout({name: data.ArrayLayout(value.shape, spec.geo.values)
                              for name, value in totals(spec).items()} | marks(spec.geo))


def count_layout(geo: Geometry) -> data.StructLayout:
    """A sequence's count, ``valid`` for one cycle; of a layer, where several share the hardware."""
    return data.StructLayout({"valid": 1, "value": 32} | layer_mark(geo))


def regions(spec: LayerSpec) -> list[Region]:
    """``fuse``: the parameters of G neurons per row, a row per word; and the cells' memories."""
    return chains.back(spec, totals(spec)).regions()


def latency(spec: LayerSpec) -> int:
    """Cycles of :class:`Fuse`: the chain, and a register behind it."""
    return chains.back(spec, totals(spec)).values["x"].time + 1


class Fuse(wiring.Component):
    """The operations behind the mixers, a word of G neurons in P steps per cycle.

    .. code-block:: text

        i.totals ─►[ ]─►[ ]─►(<< shift)─►(+ bias)─► ... ─►(+ x)─►clamp─►[o]
        parameter RAM ─►[row]─┘

    Bit-exact model: the operations of :mod:`quant.integer.ops` from ``Mix`` on.

    Parameters
    ----------
    spec : LayerSpec

    Members
    -------
    i : ``In(stream.Signature(sum_word(spec)))``
    x : ``In(stream.Signature(x_word(x_format, geo)))``
        This layer's input, the same words; only where it is added.
    o : ``Out(stream.Signature(x_word(x_format, geo)))``
    count : ``Out(StructLayout({"valid": 1, "value": 32}))``
        Saturated elements of a sequence, one pulse after its last word; only where they saturate.
    cfg : ``In(ConfigBus())``

    Timing
    ------
    Latency of :func:`latency`, a word per cycle; a word of ``x`` is taken with its word of ``i``. A
    stalled output stalls the whole pipeline one word later.

    Resources
    ---------
    A RAM of ``words`` rows, and those of the chain's cells.
    """

    def __init__(self, spec: LayerSpec):
        self.spec, self.geo, self.latency = spec, spec.geo, latency(spec)
        self.chain = chains.back(spec, totals(spec))
        word = x_word(spec.x_format, spec.geo)
        members = {"i": In(stream.Signature(sum_word(spec))),
                   "o": Out(stream.Signature(word)), "cfg": In(ConfigBus())}
        if spec.fused:
            members["x"] = In(stream.Signature(word))
        if spec.saturates:
            members["count"] = Out(count_layout(spec.geo))
        super().__init__(members)

    def model(self, values: dict, x):
        """(x_next (H,), saturated elements of x) of what the mixers read (H,), and the input."""
        cut = self.spec.cut
        ops = tuple(wire.op for wire in cut.mixes + cut.back)
        formats = {name: fmt for wire in cut.mixes for name, fmt in
                   zip(wire.op.reads, wire.formats)} | {"x": self.spec.x_format}
        run = Running(ops, formats, None)
        return run(**values, x=x), run.over.get("x", 0)

    def elaborate(self, platform):
        m = Module()
        spec, geo, chain = self.spec, self.geo, self.chain
        # tags[k] belongs to cycle k + 1 after the transfer on i
        tags = [Signal(data.StructLayout({"valid": 1} | marks(geo) | {"end": 1}), name=f"tag{k}")
                for k in range(self.latency - 1)]
        en, taken = Signal(), Signal()
        if not spec.fused:
            m.d.comb += self.i.ready.eq(en)
        else:
            m.d.comb += [self.i.ready.eq(en & self.x.valid), self.x.ready.eq(en & self.i.valid)]
        m.d.comb += taken.eq(self.i.valid & self.i.ready)

        word, end = Signal(range(max(2, geo.words))), Signal()
        row = Signal(range(max(2, geo.neuron_rows)))
        m.d.comb += [end.eq(word == geo.words - 1),
                     row.eq(row_of(geo, self.i.payload, geo.words, word))]
        with m.If(taken):
            m.d.sync += word.eq(Mux(end, 0, word + 1))
        with m.If(en):
            m.d.sync += [tags[0].valid.eq(taken), tags[0].end.eq(end),
                         *copied(tags[0], self.i.payload, geo)]
            m.d.sync += [tag.eq(before) for tag, before in zip(tags[1:], tags)]

        pipe = Pipeline(m, en)
        inputs = {name: [pipe.delay(value[g], chains.BACK, f"{name}_total{g}")
                         for g in range(geo.values)]
                  for name, value in ((name, self.i.payload[name]) for name in totals(spec))}
        if spec.fused:
            inputs["x"] = list(self.x.payload.x)
        values, flow = chain.build(Host(m, pipe, self, row), inputs, register=True)
        result = Signal(x_word(spec.x_format, geo))
        m.d.comb += [*copied(result, tags[-1], geo),
                     *(result.x[g].eq(bits) for g, bits in enumerate(values["x"].bits))]
        buffer_output(m, en, tags[-1].valid, result, self.o)
        if spec.saturates:
            counter = each_layer(geo, tags[-1], [Signal(32, name=f"counter{j}")
                                                 for j in range(geo.layers)])
            value = counter + sum(bit for over in flow.stream_over for bit in existing(
                flow.at(over, self.latency - 1).bits, tags[-1], geo))
            closing = en & tags[-1].valid & tags[-1].last & tags[-1].end
            m.d.sync += self.count.valid.eq(closing)
            with m.If(en & tags[-1].valid):
                m.d.sync += [self.count.value.eq(value), counter.eq(Mux(closing, 0, value))]
                if geo.layers > 1:
                    m.d.sync += self.count.layer.eq(tags[-1].layer)
        return m


class Host:
    """What the chain is built in."""

    def __init__(self, m, pipe: Pipeline, fuse: Fuse, word):
        self.m, self.pipe, self.spec = m, pipe, fuse.spec
        self._fuse, self._word = fuse, word

    def memory(self, name: str, part) -> None:
        """Add a part that the configuration bus writes."""
        self.m.submodules[name] = part
        wiring.connect(self.m, part.cfg, wiring.flipped(self._fuse.cfg))

    def slot(self, time: int):
        """Which word is there: known at its transfer alone."""
        if time:
            raise ValueError("behind the mixers no operation has a memory of its own")
        return SimpleNamespace(word=self._word)
