"""Decoder: the sum over time of every neuron, then logits and the class."""

from dataclasses import dataclass

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.integer import reference
from golden.base.qformat import UQ, QFormat
from rtl.parts.memory import ConfigMemory, Region, pack_rows
from rtl.parts.multiplier import Products
from rtl.spec import EndSpec, Timing
from rtl.parts.streams import ConfigBus, logit_ports, result_word, shape_of, x_word

LOW_BITS = 17       # unsigned, so that a signed multiplier of 18 bits takes them
FILL = 2            # cycles from the transfer of the last word to the first product's address
DRAIN = 9           # cycles from the last product's address to the result on `o`
TURNAROUND = 3      # cycles from a total's read to the next read that sees what was written


def length_format(spec: EndSpec) -> QFormat:
    """Of a sequence's length."""
    return UQ(spec.art.length.bit_length(), 0)


def total_format(spec: EndSpec) -> QFormat:
    """Of a neuron's sum over a sequence."""
    return spec.x_format.total(spec.art.length)


def logit_format(spec: EndSpec) -> QFormat:
    """Of ``W total + length b``, exact."""
    w, b = spec.art.decoder_w.fmt, spec.art.decoder_b.fmt
    return (w * total_format(spec)).total(spec.geo.H) + b * length_format(spec)


def regions(spec: EndSpec) -> list[Region]:
    """``decoder.w``: a weight per row; ``decoder.b``: a bias per row."""
    w, b = spec.art.decoder_w, spec.art.decoder_b
    return [Region("decoder.w", w.fmt.width, pack_rows([(w.raw.reshape(-1), w.fmt.width)]),
                   "one weight, classes outermost"),
            Region("decoder.b", b.fmt.width, pack_rows([(b.raw, b.fmt.width)]),
                   "one bias, added every step")]


@dataclass(frozen=True)
class DecoderTiming(Timing):
    """Cycles of a decoder.

    latency : from the transfer of a sequence's last word to its result; interval : least cycles
    per block of steps.
    """

    decode_cycles: int      # that issue one sequence's products


def timing(spec: EndSpec) -> DecoderTiming:
    """Timing of a decoder."""
    cycles = spec.art.outputs * (length_format(spec).width + spec.geo.H)
    return DecoderTiming(FILL + cycles - 1 + DRAIN, max(spec.geo.words, TURNAROUND), cycles)


class Decoder(wiring.Component):
    """``logits = W sum_t x_t + length b``, the class, and the sequence's saturations.

    .. code-block:: text

        i ──►(+)──► totals, 2 banks of H ──►(select)──►(×)──►[logit]──►arg max──►[result]──► o
              └─────── write back              W RAM ───┘       └── 2 logit + (length bit ? b : 0)

    One bank is summed while the other is decoded. Of a word's P steps those are summed that exist.
    ``length b`` is made first, bit by bit of the
    length from the highest down, by doubling the logit; then one product per cycle.
    Bit-exact model: :func:`quant.integer.reference.decode`, then arg max, the lowest on a tie.

    Parameters
    ----------
    spec : EndSpec

    Members
    -------
    i : ``In(stream.Signature(x_word(x_format, geo)))``
    o : ``Out(stream.Signature(result_word(art, apart)))``
    logit, logit_valid : :func:`rtl.parts.streams.logit_ports`
    saturations : ``In(ArrayLayout(32, N + 1))``
        Counts of the sequence that is decoded next, read when ``taken`` is 1.
    taken : ``Out(1)``
        The result has its saturations: show the next sequence's.
    cfg : ``In(ConfigBus())``

    Timing
    ------
    ``latency`` cycles from the transfer of a sequence's last word to its result. A block takes
    ``interval`` cycles and is accepted as a whole; a sequence's first one waits while both banks
    are taken; a sequence is decoded in ``decode_cycles``, from when the result before it was taken.

    Resources
    ---------
    One multiplier (two, if the totals are wider than 18 bits), a RAM of 2 H totals, a RAM of
    outputs H weights.
    """

    def __init__(self, spec: EndSpec):
        self.spec, self.art, self.geo = spec, spec.art, spec.geo
        found = timing(spec)
        self.latency, self.interval = found.latency, found.interval
        self.decode_cycles = found.decode_cycles
        self.length, self.total = length_format(spec), total_format(spec)
        self.format = logit_format(spec)
        self.w = ConfigMemory(spec.regions["decoder.w"], spec.hw)
        self.b = ConfigMemory(spec.regions["decoder.b"], spec.hw)
        super().__init__({
            "i": In(stream.Signature(x_word(spec.x_format, spec.geo))),
            "o": Out(stream.Signature(result_word(spec.art, spec.hw.logits_apart))),
            "saturations": In(data.ArrayLayout(32, len(spec.art.blocks) + 1)),
            "taken": Out(1), "cfg": In(ConfigBus())} | logit_ports(spec.hw.logits_apart))

    def model(self, total, length: int):
        """(logits, label) of totals (H,) over ``length`` steps."""
        logits = reference.decode(total, length, self.art)
        return logits, int(logits.argmax())

    def elaborate(self, platform):
        m = Module()
        geo = self.geo
        word_bits = (geo.words - 1).bit_length()
        m.submodules.totals = totals = memory.Memory(
            shape=data.ArrayLayout(shape_of(self.total), geo.G), depth=2 << word_bits, init=[])
        pending = Signal(range(3))      # sequences summed and not yet answered
        bank, decoded = Signal(), Signal()      # being summed; being decoded, the older one
        lengths = Signal(data.ArrayLayout(self.length.width, 2))
        summed = self._sum(m, totals, pending, bank, lengths)
        answered = self._decode(m, totals, pending, decoded, lengths)
        m.d.sync += pending.eq(pending + summed - answered)
        with m.If(summed):
            m.d.sync += bank.eq(~bank)
        with m.If(answered):
            m.d.sync += decoded.eq(~decoded)
        return m

    def _sum(self, m: Module, totals: memory.Memory, pending, bank, lengths):
        """Add the words to the bank's totals; returns 1 when a sequence's last word is taken."""
        words = self.geo.words
        word_bits = (words - 1).bit_length()
        taken, step_end, summed = Signal(), Signal(), Signal()
        word, steps = Signal(range(max(2, words))), Signal(self.length.width)
        rest = Signal(range(max(2, TURNAROUND)))
        m.d.comb += [self.i.ready.eq((pending != 2) & (rest == 0)),
                     taken.eq(self.i.valid & self.i.ready), step_end.eq(word == words - 1),
                     summed.eq(taken & step_end & self.i.payload.last)]
        with m.If(rest != 0):
            m.d.sync += rest.eq(rest - 1)
        with m.If(taken):
            m.d.sync += word.eq(Mux(step_end, 0, word + 1))
            with m.If(step_end):
                m.d.sync += [steps.eq(Mux(summed, 0, steps + self.geo.P)),
                             rest.eq(max(0, TURNAROUND - words))]
        with m.If(summed):
            length = steps + self.geo.P
            m.d.sync += lengths[bank].eq(length - self.i.payload.half if self.geo.P > 1 else length)

        read, write = totals.read_port(), totals.write_port()
        m.d.comb += [read.en.eq(1), read.addr.eq(Cat(word[:word_bits], bank))]
        valid, addr, word_in = self.i.valid & self.i.ready, read.addr, self.i.payload
        for k in range(2):              # the RAM's cycle, and a register behind it
            stage = [Signal(name=f"sum_valid{k}"), Signal.like(read.addr, name=f"sum_addr{k}"),
                     Signal(self.i.payload.shape(), name=f"sum_word{k}")]
            m.d.sync += [s.eq(v) for s, v in zip(stage, (valid, addr, word_in))]
            before, (valid, addr, word_in) = word_in, stage
        old = Signal.like(read.data)
        fresh = self._fresh(m, before, word_in)
        m.d.sync += old.eq(read.data)
        m.d.comb += [write.en.eq(valid), write.addr.eq(addr)]
        m.d.comb += [write.data[g].eq(Mux(word_in.first, 0, old[g]) + fresh[g])
                     for g in range(self.geo.G)]
        return summed

    def _fresh(self, m: Module, before, word) -> list:
        """The sums over a word's steps that exist, beside ``word``, which is ``before`` later."""
        G = self.geo.G
        if self.geo.P == 1:
            return list(word.x)
        sums = []
        for g in range(G):
            exact = before.x[g] + Mux(before.half, 0, before.x[G + g])
            sums.append(Signal(exact.shape(), name=f"fresh{g}", reset_less=True))
            m.d.sync += sums[-1].eq(exact)
        return sums

    def _decode(self, m: Module, totals: memory.Memory, pending, decoded, lengths):
        """Logits, class and result of the oldest bank; returns 1 when the result moves to ``o``."""
        m.submodules.w, m.submodules.b = self.w, self.b
        wiring.connect(m, wiring.flipped(self.cfg), self.w.cfg)
        wiring.connect(m, wiring.flipped(self.cfg), self.b.cfg)
        busy, issuing = Signal(), Signal()
        with m.If(~busy & (pending != 0) & (~self.o.valid | self.o.ready)):
            m.d.sync += [busy.eq(1), issuing.eq(1)]     # the logits shift into the result itself
        tags, row = self._issue(m, totals, issuing, decoded, lengths)
        return self._answer(m, tags, self._logit(m, tags, row), busy)

    def _issue(self, m: Module, totals: memory.Memory, issuing, decoded, lengths):
        """Per class the bits of the length, then H products.

        Returns tags, tags[k] those of k + 1 cycles ago, and the totals that were read for tags[0].
        """
        art, geo, bits = self.art, self.geo, self.length.width
        label = Signal(range(max(2, art.outputs)))
        bit, adding = Signal(range(max(2, bits)), init=bits - 1), Signal(init=1)
        word, slot = Signal(range(max(2, geo.words))), Signal(range(max(2, geo.G)))
        weight = Signal(range(max(2, self.w.region.depth)))
        class_end, end = Signal(), Signal()
        m.d.comb += [class_end.eq(~adding & (word == geo.words - 1) & (slot == geo.G - 1)),
                     end.eq(class_end & (label == art.outputs - 1))]
        with m.If(issuing):
            with m.If(adding):
                m.d.sync += [bit.eq(Mux(bit == 0, bits - 1, bit - 1)), adding.eq(bit != 0)]
            with m.Else():
                m.d.sync += [slot.eq(Mux(slot == geo.G - 1, 0, slot + 1)),
                             weight.eq(Mux(end, 0, weight + 1))]
                with m.If(slot == geo.G - 1):
                    m.d.sync += word.eq(Mux(word == geo.words - 1, 0, word + 1))
            with m.If(class_end):
                m.d.sync += [adding.eq(1), label.eq(Mux(end, 0, label + 1)), issuing.eq(~end)]

        read = totals.read_port()
        word_bits = (geo.words - 1).bit_length()
        m.d.comb += [read.en.eq(1), read.addr.eq(Cat(word[:word_bits], decoded)),
                     self.w.addr.eq(weight), self.w.en.eq(1)]

        tag = data.StructLayout({"valid": 1, "adding": 1, "top": 1, "one": 1, "slot": slot.shape(),
                                 "label": label.shape(), "class_end": 1, "end": 1})
        tags = [Signal(tag, name=f"tag{k}") for k in range(7)]
        m.d.sync += [tag.eq(before) for tag, before in zip(tags[1:], tags)]
        m.d.sync += [tags[0].valid.eq(issuing), tags[0].adding.eq(adding),
                     tags[0].top.eq(bit == bits - 1),
                     tags[0].one.eq(lengths[decoded].bit_select(bit, 1)), tags[0].slot.eq(slot),
                     tags[0].label.eq(label), tags[0].class_end.eq(class_end), tags[0].end.eq(end)]
        return tags, read.data

    def _logit(self, m: Module, tags, row):
        """The sum of a class, up to the product or bit that was issued with tags[4]."""
        art, geo = self.art, self.geo
        w_shape, b_shape = shape_of(art.decoder_w.fmt), shape_of(art.decoder_b.fmt)
        w, total = Signal(w_shape), Signal(shape_of(self.total))    # registers behind the RAMs
        m.d.sync += [w.eq(self.w.data),
                     total.eq(Array(row[g] for g in range(geo.G))[tags[0].slot])]
        # A total is wider than a multiplier: two partial products, then their sum.
        product = Signal(shape_of(art.decoder_w.fmt * self.total))
        parts = {"low": total}
        if len(total) > LOW_BITS + 1:
            high = total[LOW_BITS:].as_signed() if self.total.signed else total[LOW_BITS:]
            parts = {"low": total[:LOW_BITS], "high": high}
        m.submodules.products = products = Products(
            {"w": w_shape} | {f"total_{name}": part.shape() for name, part in parts.items()},
            {name: (f"total_{name}", "w") for name in parts}, self.spec.hw.multiplier,
            self.spec.logic)
        m.d.comb += [products.en.eq(1), products.w.eq(w),
                     *(getattr(products, f"total_{name}").eq(part)
                       for name, part in parts.items())]
        exact = products.low
        if "high" in parts:
            exact = exact + (products.high << LOW_BITS)
        logit, b, b_data = Signal(shape_of(self.format)), Signal(b_shape), Signal(b_shape)
        m.d.comb += [self.b.addr.eq(tags[2].label), self.b.en.eq(1), b_data.eq(self.b.data)]
        m.d.sync += [product.eq(exact), b.eq(Mux(tags[3].one, b_data, 0))]
        with m.If(tags[4].valid):
            m.d.sync += logit.eq(Mux(tags[4].adding, Mux(tags[4].top, 0, logit << 1) + b,
                                     logit + product))
        return logit

    def _answer(self, m: Module, tags, logit, busy):
        """Arg max and result; returns 1 when it moves to ``o``."""
        shape = logit.shape()
        label_out = Signal.like(self.o.payload.label, reset_less=True)
        done, best = Signal(), Signal(shape)
        whole, beats = Signal(shape), Signal()      # a cycle after the last product
        m.d.sync += [whole.eq(logit), beats.eq((tags[5].label == 0) | (logit > best)),
                     done.eq(tags[6].valid & tags[6].end)]
        made = tags[6].valid & tags[6].class_end
        with m.If(made & beats):
            m.d.sync += [best.eq(whole), label_out.eq(tags[6].label)]
        m.d.comb += [self.taken.eq(done), self.o.payload.label.eq(label_out)]
        if self.spec.hw.logits_apart:
            m.d.comb += [self.logit.eq(whole), self.logit_valid.eq(made)]
        else:
            answer = Signal(data.ArrayLayout(shape, self.art.outputs), reset_less=True)
            with m.If(made):
                m.d.sync += answer.as_value().eq(Cat(answer.as_value()[len(logit):], whole))
            m.d.comb += [to.eq(value) for to, value in zip(self.o.payload.logits, answer)]
        with m.If(done):
            m.d.sync += [self.o.payload.saturations.eq(self.saturations), self.o.valid.eq(1),
                         busy.eq(0)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return done
