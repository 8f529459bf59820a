"""From a step's spike sums to the next layer's input: bias, activation, norm, residual, clamp."""

from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.formats import BIT
from quant.integer.ops import Mix
from quant.integer.reference import Running
from rtl.parts.arith import saturate
from rtl.parts.memory import ConfigMemory, Region, pack_rows
from rtl.parts.pipeline import Pipeline, buffer_output
from rtl.spec import LayerSpec
from rtl.parts.streams import ConfigBus, shape_of, x_word


def clamp_to_one(raw: Value, f_bits: int) -> Value:
    """``raw`` limited to [0, 2**f_bits], the probabilities 0 and 1: only high bits decide."""
    if not raw.shape().signed:
        raw = Cat(raw, Const(0, 1)).as_signed()
    return Mux(raw < 0, 0, Mux(raw[f_bits:-1].any(), 1 << f_bits, raw[:f_bits]))


def _signed_sum(negate: Value, y: Value, addend: Value) -> Value:
    """``addend - y`` or ``addend + y`` in one adder: -y is ~y + 1, the 1 carried from below."""
    bits = Cat(y, y[-1] if y.shape().signed else Const(0, 1))
    flipped = Cat(negate, bits ^ negate.replicate(len(bits))).as_signed()
    return (flipped + Cat(negate, addend).as_signed()) >> 1


def sum_word(spec: LayerSpec) -> data.StructLayout:
    """G neurons' sums of the weights of the neurons that fired."""
    total = spec.fmt.w.total(spec.geo.H)
    return data.StructLayout({"total": data.ArrayLayout(shape_of(total), spec.geo.G),
                              "first": 1, "last": 1})


def row_layout(spec: LayerSpec) -> data.StructLayout:
    """One neuron's parameters."""
    fmt = spec.fmt
    return data.StructLayout({"shift": shape_of(fmt.shift), "negate": 1,
                              "bias": shape_of(fmt.bias), "addend": shape_of(fmt.addend)})


def regions(spec: LayerSpec) -> list[Region]:
    """``fuse``: the parameters of G neurons per row, a row per word."""
    G, layout = spec.geo.G, row_layout(spec)
    columns = [(getattr(spec.tensors, name)[g::G], Shape.cast(shape).width)
               for g in range(G) for name, shape in layout.members.items()]
    return [Region("fuse", layout.size * G, pack_rows(columns),
                   f"{G} x (shift, negate, bias, addend)")]


class Fuse(wiring.Component):
    """``x_next = fuse(+-act(total << shift + bias) + addend, x)``, a word of G neurons per cycle.

    .. code-block:: text

        i.total ─►[ ]─►[ ]─►(<<)─►[z]─►(+ bias, act)─►[y]─►(+-, + addend)─►[s]─►(+ x)─►[t]─►clamp
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
    Latency 7 cycles, a word per cycle; a word of ``x`` is taken with its word of ``i``. A stalled
    output stalls the whole pipeline one word later.

    Resources
    ---------
    A RAM of ``words`` rows, a barrel shifter and three adders per neuron of a word; no multiplier.
    """

    latency = 7

    def __init__(self, spec: LayerSpec):
        self.spec, self.geo = spec, spec.geo
        self.rows = ConfigMemory(spec.regions["fuse"], spec.hw)
        word = x_word(spec.x_format, spec.geo)
        members = {"i": In(stream.Signature(sum_word(spec))),
                   "o": Out(stream.Signature(word)), "cfg": In(ConfigBus())}
        if spec.fused:
            members["x"] = In(stream.Signature(word))
        if spec.saturates:
            members["count"] = Out(data.StructLayout({"valid": 1, "value": 32}))
        super().__init__(members)

    def model(self, s_out, x):
        """(x_next (H,), saturated elements) from one step's spikes and input."""
        art = self.spec.art
        ops = art.blocks[self.spec.number]
        start = next(i for i, op in enumerate(ops) if isinstance(op, Mix))
        run = Running(ops[start:], {"s_out": BIT, "x": art.x_format}, None)
        return run(s_out=s_out, x=x), sum(run.over.values())

    def elaborate(self, platform):
        m = Module()
        spec, geo, fmt = self.spec, self.geo, self.spec.fmt
        m.submodules.rows = rows = self.rows
        wiring.connect(m, wiring.flipped(self.cfg), rows.cfg)

        # tags[k] belongs to cycle k + 1 after the transfer on i
        tags = [Signal(data.StructLayout({"valid": 1, "first": 1, "last": 1, "end": 1}),
                       name=f"tag{k}") for k in range(self.latency - 1)]
        en, taken = Signal(), Signal()
        pipe = Pipeline(m, en)
        x_in = None
        if not spec.fused:
            m.d.comb += self.i.ready.eq(en)
        else:
            m.d.comb += [self.i.ready.eq(en & self.x.valid), self.x.ready.eq(en & self.i.valid)]
            x_in = pipe.delay(self.x.payload.x, self.latency - 2, "x")
        m.d.comb += taken.eq(self.i.valid & self.i.ready)

        word, end = Signal(range(max(2, geo.words))), Signal()
        m.d.comb += [rows.addr.eq(word), rows.en.eq(en), end.eq(word == geo.words - 1)]
        with m.If(taken):
            m.d.sync += word.eq(Mux(end, 0, word + 1))
        with m.If(en):
            m.d.sync += [tags[0].valid.eq(taken), tags[0].first.eq(self.i.payload.first),
                         tags[0].last.eq(self.i.payload.last), tags[0].end.eq(end)]
            m.d.sync += [tag.eq(before) for tag, before in zip(tags[1:], tags)]

        row = [Signal(data.ArrayLayout(row_layout(spec), geo.G), name=f"row{k}", reset_less=True)
               for k in range(3)]
        total = [Signal.like(self.i.payload.total, name=f"total{k}", reset_less=True)
                 for k in range(2)]
        with m.If(en):
            m.d.sync += [total[0].eq(self.i.payload.total), total[1].eq(total[0]),
                         row[0].eq(rows.data), row[1].eq(row[0]), row[2].eq(row[1])]
        result = Signal(x_word(spec.x_format, geo))
        overs = []
        for g in range(geo.G):
            z, y = (Signal(shape_of(fmt.z(geo.H)), name=f"{name}{g}", reset_less=True)
                    for name in "zy")
            s, t = (Signal(shape_of(fmt.fused(geo.H)), name=f"{name}{g}", reset_less=True)
                    for name in "st")
            biased = Signal(shape_of(fmt.z(geo.H)), name=f"biased{g}")
            x = x_in[g] if x_in is not None else 0
            m.d.comb += biased.eq(z + row[1][g].bias)
            out, over = (saturate(t, spec.x_format) if spec.saturates
                         else (clamp_to_one(t, spec.x_format.f_bits), None))
            overs.append(over)
            with m.If(en):
                m.d.sync += [
                    z.eq(total[1][g] << row[0][g].shift),
                    y.eq(Mux(biased < 0, 0, biased) if spec.relu else biased),
                    s.eq(_signed_sum(row[2][g].negate, y, row[2][g].addend)),
                    t.eq(s + x),
                ]
            m.d.comb += result.x[g].eq(out)
        m.d.comb += [result.first.eq(tags[-1].first), result.last.eq(tags[-1].last)]
        buffer_output(m, en, tags[-1].valid, result, self.o)
        if spec.saturates:
            counter = Signal(32)
            value = counter + sum(overs)
            closing = en & tags[-1].valid & tags[-1].last & tags[-1].end
            m.d.sync += self.count.valid.eq(closing)
            with m.If(en & tags[-1].valid):
                m.d.sync += [self.count.value.eq(value), counter.eq(Mux(closing, 0, value))]
        return m
