"""Encoder: a sample or token to the first block's input."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.integer import reference
from quant.integer.ops import Clamp, Embed, Limit, Round, Scale
from rtl.parts.arith import clamp_to_one, round_half_even, saturate
from rtl.parts.config import HardwareError
from rtl.parts.memory import ConfigMemory, Region, pack_rows
from rtl.parts.multiplier import Products
from rtl.parts.pipeline import buffer_output
from rtl.spec import EndSpec, Timing
from rtl.parts.streams import ConfigBus, existing, marks, samples_word, shape_of, x_word


def row_layout(spec: EndSpec) -> data.StructLayout:
    """One neuron's parameters, or its x of a token."""
    if spec.art.vocab:
        return data.StructLayout({"x": shape_of(spec.x_format)})
    scale = spec.art.first[0]
    return data.StructLayout({"w": shape_of(scale.a.fmt), "b": shape_of(scale.b.fmt)})


def check(spec: EndSpec) -> None:
    """Raise :class:`HardwareError` for operations other than those of the RTL."""
    ops = spec.art.first
    wanted = (Embed,) if spec.art.vocab else \
        (Scale, Limit) if spec.saturates else (Scale, Round, Clamp)
    good = tuple(map(type, ops)) == wanted and all(op.wiring.endswith("-> x") for op in ops)
    if not good or isinstance(ops[0], Scale) and not (ops[0].a and ops[0].b):
        raise HardwareError(f"encoder: {', '.join(map(str, ops))} is not in the RTL, which has "
                            f"{', '.join(kind.__name__ for kind in wanted)} there; run the network "
                            f"with python -m quant.evaluate")


def regions(spec: EndSpec) -> list[Region]:
    """``encoder``: the parameters of G neurons per row, or G of a token's x."""
    art, geo, op = spec.art, spec.geo, spec.art.first[0]
    if art.vocab:
        columns = [(op.table.raw.reshape(art.vocab * geo.words, geo.G), spec.x_format.width)]
        text = f"{geo.G} x of one token, tokens outermost"
    else:
        columns = [column for g in range(geo.G)
                   for column in ((op.a.raw[g::geo.G], op.a.fmt.width),
                                  (op.b.raw[g::geo.G], op.b.fmt.width))]
        text = f"{geo.G} x (w, b)"
    return [Region("encoder", row_layout(spec).size * geo.G, pack_rows(columns), text)]


def timing(spec: EndSpec) -> Timing:
    """Cycles from the transfer of samples to their first word, and from block to block."""
    return Timing(latency=4 if spec.art.vocab else 7, interval=spec.geo.words)


class Encoder(wiring.Component):
    """``x = clamp(round(w v + b))`` for H neurons, or the token's row of an embedding; P at once.

    .. code-block:: text

        i ──►[v]───────────►(×)──►[product]──►(+ b)──►[sum]──►round──►[ ]──►clamp──►[o]
        parameter RAM ──►[w, b]┘                ┘
        token, word ──► embedding RAM ──►[row]───────────────────────────────►[o]

    Bit-exact model: :func:`quant.integer.reference.encode`.

    Parameters
    ----------
    spec : EndSpec

    Members
    -------
    i : ``In(stream.Signature(samples_word(art, geo)))``
    o : ``Out(stream.Signature(x_word(x_format, geo)))``
        H / G words per block of P samples.
    count : ``Out(StructLayout({"valid": 1, "value": 32}))``
        Saturated elements of a sequence, one pulse after its last word; only where they saturate.
    cfg : ``In(ConfigBus())``

    Timing
    ------
    ``latency`` cycles from a block to its first word, then a word per cycle, also from block to
    block. A stalled output stalls the whole pipeline one word later.

    Resources
    ---------
    Samples: P G multipliers and a RAM of H / G rows. Tokens: P RAMs of vocab H / G rows.
    """

    def __init__(self, spec: EndSpec):
        self.spec, self.art, self.geo = spec, spec.art, spec.geo
        found = timing(spec)
        self.latency, self.interval = found.latency, found.interval
        # Of every step's token there is a row of its own.
        self.rows = [ConfigMemory(spec.regions["encoder"], spec.hw)
                     for _ in range(spec.geo.P if spec.art.vocab else 1)]
        members = {"i": In(stream.Signature(samples_word(spec.art, spec.geo))),
                   "o": Out(stream.Signature(x_word(spec.x_format, spec.geo))),
                   "cfg": In(ConfigBus())}
        if spec.saturates:
            members["count"] = Out(data.StructLayout({"valid": 1, "value": 32}))
        super().__init__(members)

    def model(self, value: int):
        """(x (H,), saturated elements) of one sample or token."""
        return reference.encode(value, self.art)

    def elaborate(self, platform):
        m = Module()
        spec, art, geo = self.spec, self.art, self.geo
        for p, rows in enumerate(self.rows):
            m.submodules[f"rows{p or ''}"] = rows
            wiring.connect(m, wiring.flipped(self.cfg), rows.cfg)
        en, result = Signal(), Signal(x_word(spec.x_format, geo))

        # --- one word of the samples per cycle --------------------------------------------------
        busy, first, sample = Signal(), Signal(), Signal(samples_word(art, geo))
        after_last = Signal(init=1)
        word, end = Signal(range(max(2, geo.words))), Signal()
        bases = [Signal(range(max(2, rows.region.depth)), name=f"base{p or ''}")
                 for p, rows in enumerate(self.rows)]
        m.d.comb += [end.eq(word == geo.words - 1), self.i.ready.eq(en & (~busy | end))]
        for rows, base in zip(self.rows, bases):
            m.d.comb += [rows.en.eq(en), rows.addr.eq(base + word)]
        with m.If(en & busy):
            m.d.sync += word.eq(Mux(end, 0, word + 1))
        with m.If(self.i.ready):
            m.d.sync += busy.eq(self.i.valid)
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += [sample.eq(self.i.payload), first.eq(after_last),
                         after_last.eq(self.i.payload.last)]
            if art.vocab:
                m.d.sync += [base.eq(value * geo.words)
                             for base, value in zip(bases, self._values(self.i.payload))]

        # --- tags[k] belongs to cycle k + 2 after the samples' transfer -------------------------
        tags = [Signal(data.StructLayout({"valid": 1} | marks(geo) | {"end": 1}), name=f"tag{k}")
                for k in range(self.latency - 2)]
        row = [Signal(data.ArrayLayout(row_layout(spec), geo.G), name=f"row{p or ''}")
               for p in range(len(self.rows))]
        with m.If(en):
            m.d.sync += [tags[0].valid.eq(busy), tags[0].first.eq(first),
                         tags[0].last.eq(sample.last), tags[0].end.eq(end),
                         *(to.eq(rows.data) for to, rows in zip(row, self.rows))]
            m.d.sync += [tags[0].half.eq(sample.half)] if geo.P > 1 else []
            m.d.sync += [tag.eq(before) for tag, before in zip(tags[1:], tags)]
        overs = []
        if art.vocab:
            m.d.comb += [x.eq(one.x) for x, one in zip(result.x, (one for each in row
                                                                  for one in each))]
        else:
            ahead = data.View(row[0].shape(), self.rows[0].data)
            overs = self._affine(m, en, self._values(sample), ahead, row[0], result)
        m.d.comb += [result[name].eq(tags[-1][name]) for name in marks(geo)]
        buffer_output(m, en, tags[-1].valid, result, self.o)
        if spec.saturates:
            counter = Signal(32)
            value = counter + sum(existing(overs, tags[-1], geo))
            closing = en & tags[-1].valid & tags[-1].last & tags[-1].end
            m.d.sync += self.count.valid.eq(closing)
            with m.If(en & tags[-1].valid):
                m.d.sync += [self.count.value.eq(value), counter.eq(Mux(closing, 0, value))]
        return m

    def _values(self, block: data.View) -> list:
        """The samples of a block."""
        return [block.value] if self.geo.P == 1 else list(block.value)

    def _affine(self, m: Module, en: Signal, samples: list, ahead, row, result) -> list:
        """Multiply, add, round and clamp G neurons in P steps; returns where each one saturated.

        ``ahead`` is what ``row`` will be in the next cycle.
        """
        x_format, sample_format = self.spec.x_format, self.art.sample
        enc_w, enc_b = self.art.first[0].a.fmt, self.art.first[0].b.fmt
        f = enc_w.f_bits + sample_format.f_bits
        G, overs = self.geo.G, []
        vs = {f"v{p or ''}": sample for p, sample in enumerate(samples)}
        pairs = [(g, v) for v in vs for g in range(G)]
        m.submodules.products = products = Products(
            dict.fromkeys(vs, shape_of(sample_format)) |
            {f"w{g}": shape_of(enc_w) for g in range(G)},
            {f"product{j}": (f"w{g}", v) for j, (g, v) in enumerate(pairs)},
            self.spec.hw.multiplier)
        m.d.comb += products.en.eq(en)
        for name, sample in vs.items():
            v = Signal(shape_of(sample_format), name=name)
            m.d.comb += getattr(products, name).eq(v)
            with m.If(en):
                m.d.sync += v.eq(sample)
        bs = [Signal(shape_of(enc_b), name=f"b{g}") for g in range(G)]
        for g, b in enumerate(bs):
            m.d.comb += getattr(products, f"w{g}").eq(ahead[g].w)
            with m.If(en):
                m.d.sync += b.eq(row[g].b)
        for j, (g, _) in enumerate(pairs):
            exact = getattr(products, f"product{j}") + (bs[g] << f - enc_b.f_bits)
            total = Signal(exact.shape(), name=f"total{j}")
            whole = round_half_even(total, f - x_format.f_bits)
            rounded = Signal(whole.shape(), name=f"rounded{j}")
            if self.spec.saturates:
                x, over = saturate(rounded, x_format)
                overs.append(over)
            else:
                x = clamp_to_one(rounded, x_format.f_bits)
            with m.If(en):
                m.d.sync += [total.eq(exact), rounded.eq(whole)]
            m.d.comb += result.x[j].eq(x)
        return overs
