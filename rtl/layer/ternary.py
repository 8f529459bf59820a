"""The ternary threshold: every neuron's value against the largest of the whole step."""

from amaranth import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.formats import TERNARY, THRESHOLD
from rtl.layer.chains import member, sent_word
from rtl.layer.flow import of
from rtl.parts.memory import ConfigRegister, Region
from rtl.parts.multiplier import Products
from rtl.parts.pipeline import Pipeline, buffer_output
from rtl.parts.streams import ConfigBus, each_layer, layer_mark, marks
from rtl.spec import LayerSpec, Timing, starts

# One is written and one read; the third has its last word, and its limit is on the way.
BANKS = 3
BEHIND_MAXIMUM = 3      # cycles from the last word's maximum to the bank's limit
READ = 3            # cycles from a read to the word on `o`
PER_STEP = ("signature", "saturations")     # of the last word of a block of steps


def regions(spec: LayerSpec) -> list[Region]:
    """``threshold``: the factor of the largest magnitude."""
    if not spec.cut.ternary:
        return []
    raws = spec.cut.ternary.op.threshold.raw.reshape(-1)        # of each layer
    return [Region("threshold" if len(raws) == 1 else f"threshold.{j}", THRESHOLD.width,
                   (int(raw),), f"{THRESHOLD}, of the step's largest magnitude", register=True)
            for j, raw in enumerate(raws)]


def word(spec: LayerSpec) -> data.StructLayout:
    """The engine's word with what the threshold makes."""
    members = dict(sent_word(spec).members)
    return data.StructLayout({spec.cut.ternary.op.makes: member(of(TERNARY, 0), spec.geo)}
                             | members)


def kept(spec: LayerSpec) -> data.StructLayout:
    """What the banks have of a word."""
    return data.StructLayout({name: shape for name, shape in sent_word(spec).members.items()
                              if name not in (*PER_STEP, *marks(spec.geo), "end")})


def levels(spec: LayerSpec) -> int:
    """Of the tree of maxima over a word's neurons, a register behind each."""
    return (spec.geo.G - 1).bit_length()


def timing(spec: LayerSpec) -> Timing:
    """latency: from the transfer of a block's last word on ``i`` to its first word on ``o``."""
    return Timing(2 + levels(spec) + BEHIND_MAXIMUM + READ, spec.geo.words)


def after(bank: Signal, end: Signal):
    """The bank of the next word: behind a step's end the next one."""
    return Mux(end, Mux(bank == BANKS - 1, 0, bank + 1), bank)


class Ternary(wiring.Component):
    """``sign(z)`` where ``|z| > c max |z|`` over the step, else 0.

    .. code-block:: text

        i ──┬─► bank w │ bank r ─► words ─►(|z| > limit)──► o
            └─►|z|─►max over a word─►max over the step─►(× c)─► limit of the bank

    Banks of whole blocks of steps: one is written while another one is read, so a block waits until
    all of it is known. Each of its P steps has a limit of its own. ``i`` takes a whole block or
    none of it. Bit-exact model of a step: :class:`quant.integer.ops.Ternary`.

    Parameters
    ----------
    spec : LayerSpec

    Members
    -------
    i : ``In(stream.Signature(sent_word(spec)))``
    o : ``Out(stream.Signature(word(spec)))``
    cfg : ``In(ConfigBus())``

    Timing
    ------
    ``latency`` from the transfer of a block's last word on ``i`` to its first on ``o``, then a word
    per cycle. A bank is free again in the cycle after its last word has left on ``o``.

    Resources
    ---------
    P multipliers, a RAM of ``BANKS words`` rows.
    """

    def __init__(self, spec: LayerSpec):
        self.spec, self.geo, self.latency = spec, spec.geo, timing(spec).latency
        self.wire, self.into, self.out = spec.cut.ternary, sent_word(spec), word(spec)
        self.thresholds = [ConfigRegister(region, spec.hw.spread)
                           for region in starts(spec, "threshold")]
        super().__init__({"i": In(stream.Signature(self.into)),
                          "o": Out(stream.Signature(self.out)), "cfg": In(ConfigBus())})

    def model(self, z):
        """(H,) of one step's values (H,)."""
        return self.wire.op.apply(self.wire.formats, z)

    def elaborate(self, platform):
        m = Module()
        words, values = self.geo.words, range(self.geo.values)
        for j, threshold in enumerate(self.thresholds):
            m.submodules[f"threshold{j}"] = threshold
            wiring.connect(m, wiring.flipped(self.cfg), threshold.cfg)
        row_layout = kept(self.spec)
        step = data.StructLayout(marks(self.geo) | {name: self.into.members[name]
                                                    for name in PER_STEP})
        m.submodules.ram = ram = memory.Memory(shape=row_layout.size, depth=max(2, BANKS * words),
                                               init=[])
        steps = Array(Signal(step, name=f"step{bank}") for bank in range(BANKS))

        # --- writing ---------------------------------------------------------------------------
        taken, end = Signal(), Signal()
        bank, word = Signal(range(BANKS)), Signal(range(max(2, words)))
        write, payload = ram.write_port(), self.i.payload
        m.d.comb += [taken.eq(self.i.valid & self.i.ready), end.eq(word == words - 1),
                     write.en.eq(taken), write.addr.eq(bank * words + word),
                     write.data.eq(Cat(payload[name] for name in row_layout.members))]
        with m.If(taken):
            m.d.sync += [word.eq(Mux(end, 0, word + 1)), bank.eq(after(bank, end)),
                         steps[bank].eq(Cat(payload[name] for name in step.members))]
        known, limits = self._limits(m, taken, word == 0, end, bank)
        filled = taken & end

        # --- reading ---------------------------------------------------------------------------
        en, gone = Signal(), Signal()
        pipe = Pipeline(m, en)
        ready = Signal(range(BANKS + 1))        # steps whose limit is known, not read yet
        bank, word, end = Signal(range(BANKS)), Signal(range(max(2, words))), Signal()
        read, advance = ram.read_port(), Signal()
        m.d.comb += [advance.eq(en & (ready != 0)), end.eq(word == words - 1), read.en.eq(en),
                     read.addr.eq(bank * words + word)]
        with m.If(advance):
            m.d.sync += [word.eq(Mux(end, 0, word + 1)), bank.eq(after(bank, end))]
        m.d.sync += ready.eq(ready + known - (advance & end))
        valid = [pipe.register(advance, "valid1", reset_less=False)]
        valid.append(pipe.register(valid[0], "valid2", reset_less=False))
        about = data.StructLayout({"step": step, "limit": limits[0].shape(), "end": 1})
        now = Signal(about)
        m.d.comb += [now.step.eq(steps[bank]), now.limit.eq(limits[bank]), now.end.eq(end)]
        now = pipe.delay(now, 2, "about")
        row = data.View(row_layout, pipe.register(read.data, "row"))
        result = Signal(self.out)
        z = row[self.wire.op.reads[0]]
        raws = data.View(row_layout, read.data)[self.wire.op.reads[0]]
        sizes = [pipe.register(self._size(raws[g]), f"size{g}") for g in values]
        for g, size in enumerate(sizes):
            over = (size << THRESHOLD.f_bits) > now.limit[g // self.geo.G]
            m.d.comb += result[self.wire.op.makes][g].eq(
                Mux(over, Mux(z[g] < 0, -1, 1), 0))
        m.d.comb += [*(result[name].eq(row[name]) for name in row_layout.members),
                     *(result[name].eq(now.step[name]) for name in step.members),
                     result.end.eq(now.end)]
        buffer_output(m, en, valid[1], result, self.o)

        # --- banks -----------------------------------------------------------------------------
        free, left, open_ = Signal(range(BANKS + 1), init=BANKS), Signal(range(BANKS + 1)), \
            Signal(init=1)
        m.d.comb += [gone.eq(self.o.valid & self.o.ready & self.o.payload.end),
                     left.eq(free - filled + gone), self.i.ready.eq(open_)]
        m.d.sync += [free.eq(left), open_.eq(left != 0)]
        return m

    @staticmethod
    def _size(z):
        """``|z|``, unsigned."""
        return Mux(z < 0, -z, z)[:len(z)] if z.shape().signed else z

    def _limits(self, m: Module, taken, start, end, bank):
        """``c max |z|`` of each bank, step by step; also 1 in the cycle before they are there."""
        pipe, G = Pipeline(m, Const(1)), self.geo.G
        shared = layer_mark(self.geo)
        tags = Signal(data.StructLayout({"valid": 1, "start": 1, "end": 1, "bank": len(bank)}
                                        | shared))
        m.d.comb += tags.eq(Cat(taken, start, taken & end, bank,
                                *(self.i.payload[name] for name in shared)))
        # a reset ends what is on its way, else a step would be read that is not there
        tags = pipe.delay(tags, 1 + levels(self.spec), "tags", reset_less=False)
        z = self.i.payload[self.wire.op.reads[0]]
        sizes = [pipe.register(self._size(z[g]), f"into{g}") for g in range(self.geo.values)]
        mosts = [self._most(pipe, sizes[p * G:][:G], tags, p or "") for p in range(self.geo.P)]
        shape = mosts[0].shape()
        m.submodules.product = product = Products(
            {f"most{p or ''}": shape for p in range(self.geo.P)} | {"threshold": THRESHOLD.width},
            {f"limit{p or ''}": (f"most{p or ''}", "threshold") for p in range(self.geo.P)},
            self.spec.hw.multiplier)
        m.d.comb += [product.en.eq(1), product.threshold.eq(each_layer(
            self.geo, pipe.delay(tags, 1, "measured") if shared else tags,
            [one.data for one in self.thresholds])),
                     *(getattr(product, f"most{p or ''}").eq(most)
                       for p, most in enumerate(mosts))]
        found = [getattr(product, f"limit{p or ''}") for p in range(self.geo.P)]
        kept = data.ArrayLayout(found[0].shape(), self.geo.P)
        limits = Array(Signal(kept, name=f"limit{k}", reset_less=True) for k in range(BANKS))
        bank = pipe.delay(tags.bank, BEHIND_MAXIMUM, "bank")
        known = tags.end
        for k in range(BEHIND_MAXIMUM):
            known = pipe.register(known, f"known{k}", reset_less=False)
        with m.If(known):
            m.d.sync += limits[bank].eq(Cat(found))
        return known, limits

    @staticmethod
    def _most(pipe: Pipeline, sizes: list, tags, name) -> Signal:
        """The largest of a step so far, of a word's ``sizes`` and those before."""
        level = 0
        while len(sizes) > 1:
            pairs = [sizes[k:k + 2] for k in range(0, len(sizes), 2)]
            sizes = [pipe.register(Mux(two[0] > two[-1], two[0], two[-1]), f"most{name}{level}_{k}")
                     for k, two in enumerate(pairs)]
            level += 1
        most = Signal.like(sizes[0], name=f"most{name}", reset_less=True)
        with pipe.m.If(tags.valid):
            pipe.m.d.sync += most.eq(Mux(tags.start | (sizes[0] > most), sizes[0], most))
        return most
