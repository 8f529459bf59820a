"""What a layer's samplers hold against p: random words, Sobol points or phases."""

from amaranth import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from quant.integer import lfsr
from quant.integer.memory import Draws, Fire
from rtl.parts.lfsr import start_regions
from rtl.parts.memory import ConfigMemory, Region, WideMemory
from rtl.parts.shared_source import source
from rtl.layer.phase_sampler import start_phase
from rtl.parts.pipeline import Pipeline
from rtl.spec import LayerSpec, starts
from rtl.parts.streams import ConfigBus, layer_mark, row_of

NAMES = {lfsr.SAMPLER_IN: "in", lfsr.SAMPLER_OUT: "out"}


def regions(spec: LayerSpec, op: Fire) -> list[Region]:
    """``start_in`` (or ``_out``), and with ``sobol`` ``directions_in``."""
    name = NAMES[op.number % 2]
    found = start_regions(f"start_{name}", spec.random, spec.seed,
                          [lfsr.stream_index(*divmod(number, 2)) for number in numbers(spec, op)])
    if op.form == "sobol":
        found.append(Region(f"directions_{name}", spec.random.k,
                            tuple(int(row) for row in op.directions.raw),
                            "Sobol direction number of column r in row r"))
    return found


def numbers(spec: LayerSpec, op: Fire) -> list[int]:
    """Numbers of the streams of a sampler, of each layer that shares it."""
    if spec.geo.layers == 1:
        return [op.number]
    place = next(k for k, wire in enumerate((*spec.cut.front, *spec.cut.middle)) if wire.op is op)
    return [(*cut.front, *cut.middle)[place].op.number for cut in spec.cuts]


def latency(form: str) -> int:
    """Enabled cycles from ``take`` to the words."""
    return 2 if form == "systematic" else 1


def shared_point(m: Module, words: "SamplerWords", columns: int, end) -> Value:
    """The point of the layer that is asked for, of its block's first step; each layer has one.

    The row for a layer's next block is read with every word, so it is there with a block's last
    one; of a block of one word it is there a cycle later.
    """
    geo, k, own, directions = words.geo, words.spec.random.k, words.geo.P - 1, words.directions
    points, blocks = (Array(Signal(bits, name=f"{name}{j}") for j in range(geo.layers))
                      for name, bits in (("point", k), ("block", columns)))
    column = Signal(range(max(2, columns)))
    for c in reversed(range(own, columns)):     # trailing zeros of the next step's number
        with m.If(~blocks[words.layer][c - own]):
            m.d.comb += column.eq(c)
    m.d.comb += [directions.en.eq(words.take), directions.addr.eq(
        column + Array(range(0, geo.layers * columns, columns))[words.layer])]
    ended, last, layer = words.take & end, words.last, words.layer
    if geo.words == 1:
        now, ended, last, layer = (ended, last, layer), Signal(), Signal(), Signal.like(layer)
        m.d.sync += [to.eq(value) for to, value in zip((ended, last, layer), now)]
    following = points[layer] ^ directions.data ^ (own and 1 << k - 1)
    with m.If(ended):
        m.d.sync += [points[layer].eq(Mux(last, 0, following)),
                     blocks[layer].eq(Mux(last, 0, blocks[layer] + 1))]
    return points[words.layer]


class SamplerWords(wiring.Component):
    """The words of one sampler of a layer, for a word of values at a time, in the artifact's form.

    * ``bernoulli``: new draws for every word; a neuron's P draws follow each other in the stream.
    * ``sobol``: every block has the stream's first H draws again, the masks, XOR each step's point.
      So there is no memory of masks.
    * ``systematic``: a memory of phases, those in front of a block's first step; in a sequence's
      first block the stream's draws in their place. So nothing is cleared.

    Parameters
    ----------
    spec : LayerSpec
    op : Fire
        The sampler, one of the layer's.
    f_bits : int
        Fraction bits of its p.

    Members
    -------
    cfg : ``In(ConfigBus())``
    en : ``In(1)``
        Clock enable of the pipeline that this is part of.
    take : ``In(1)``
        The words of G neurons are asked for; only with ``en``.
    first, last : ``In(1)``
        With ``take``: of the sequence's first block of steps; of its last.
    word : ``In(range(neuron_rows))``
        With ``take``: which ones.
    layer : ``In(range(layers))``
        With ``take``: whose, where several share the hardware.
    words : ``Out(ArrayLayout(bits, count))``
        ``latency`` enabled cycles after ``take``: k bits for each of the word's values, the first
        step's in front. ``systematic``: p's fraction bits for each of G neurons.
    back : ``In(StructLayout({"valid", "word", "phases"}))``
        ``systematic`` only: new phases, written in this cycle. Those of a word must be back before
        it is asked for again.

    Timing
    ------
    Latency of :func:`latency`; one word of values per cycle. ``sobol``: two blocks' last takes are
    at least 2 cycles apart.

    Resources
    ---------
    A :class:`WordSource`; ``sobol``: a memory of ``log2(length)`` rows of k bits; ``systematic``: a
    memory of H phases.
    """

    def __init__(self, spec: LayerSpec, op: Fire, f_bits: int):
        self.spec, self.op, self.f_bits, self.geo = spec, op, f_bits, spec.geo
        geo, random, text = spec.geo, spec.random, NAMES[op.number % 2]
        draws, self.count = (geo.values if op.form == "bernoulli" else geo.G,
                             geo.G if op.form == "systematic" else geo.values)
        anew = op.form != "bernoulli"       # and a step's words follow each other
        self.source = source(random, random.k, draws, starts(spec, f"start_{text}"),
                             spec.hw.spread, anew)
        word = range(max(2, geo.neuron_rows))
        members = {"cfg": In(ConfigBus()), "en": In(1), "take": In(1), "first": In(1),
                   "last": In(1), "word": In(word)}
        members |= {name: In(shape) for name, shape in layer_mark(geo).items()}
        self.latency, bits = latency(op.form), random.k
        if op.form == "sobol":
            self.directions = ConfigMemory(spec.regions[f"directions_{text}"], spec.hw)
        elif op.form == "systematic":
            bits = self.f_bits
            self.phases = WideMemory(geo.neuron_rows, geo.G * bits, [], spec.hw)
            members["back"] = In(data.StructLayout(
                {"valid": 1, "word": word, "phases": data.ArrayLayout(bits, geo.G)}))
        members["words"] = Out(data.ArrayLayout(bits, self.count))
        super().__init__(members)

    def model(self, steps: int, seed: int | None = None):
        """Words (blocks, words of a block, values) of an even number of steps if there are two in a
        block; with ``systematic`` (1, words, G), those of the first step only."""
        seed, geo, art = self.spec.seed if seed is None else seed, self.geo, self.spec.art
        draws = Draws(art.random, seed, art.H, art.n, steps, block=geo.P)
        words = self.op.words(self.f_bits, draws)
        if self.op.form == "systematic":
            return words.reshape(-1, geo.words, geo.G)
        return words.reshape(-1, geo.P, geo.words, geo.G).swapaxes(1, 2).reshape(
            -1, geo.words, geo.values)

    def elaborate(self, platform):
        m = Module()
        m.submodules.source = source = self.source
        wiring.connect(m, wiring.flipped(self.cfg), source.cfg)
        pipe = Pipeline(m, self.en)
        end = self.word == row_of(self.geo, self, self.geo.words, self.geo.words - 1)
        if self.geo.layers > 1:
            m.d.comb += source.layer.eq(self.layer)
        m.d.comb += source.advance.eq(self.take)
        if self.op.form == "bernoulli":
            drawn, P = pipe.register(source.words, "drawn"), self.geo.P
            m.d.comb += source.rewind.eq(end & self.last)
            m.d.comb += self.words.eq(drawn) if P == 1 else [
                self.words[p * self.geo.G + g].eq(drawn[g * P + p])
                for p in range(P) for g in range(self.geo.G)]
        elif self.op.form == "sobol":
            points = self._points(m, end)
            m.d.comb += source.rewind.eq(end)
            masked = [mask ^ point for point in points for mask in source.words]
            for j, word in enumerate(masked):
                m.d.comb += self.words[j].eq(pipe.register(word, f"drawn{j}"))
        else:
            m.d.comb += [source.advance.eq(self.take & self.first), source.rewind.eq(end)]
            self._phases(m, pipe)
        return m

    def _points(self, m, end) -> list:
        """The points of the block's steps.

        The first column is the highest bit in every dimension, so only every other step needs the
        memory: its row is there in time, for a step of one word is longer than 2 cycles. Of a block
        of two steps that is the step to the next block.
        """
        m.submodules.directions = directions = self.directions
        wiring.connect(m, wiring.flipped(self.cfg), directions.cfg)
        columns = directions.region.depth // self.geo.layers
        k, own = self.spec.random.k, self.geo.P - 1     # columns that stay inside a block
        if self.geo.layers > 1:
            point = shared_point(m, self, columns, end)
            return [point, point ^ 1 << k - 1] if own else [point]
        point, t = Signal(k), Signal(columns)       # of the block's first step; t counts blocks
        second = point ^ 1 << k - 1
        m.d.comb += directions.en.eq(1)
        for c in reversed(range(own, columns)):     # trailing zeros of the next step's number
            with m.If(~t[c - own]):
                m.d.comb += directions.addr.eq(c)
        following = second ^ directions.data if own else \
            point ^ Mux(t[0], directions.data, 1 << k - 1)
        with m.If(self.take & end):
            m.d.sync += [point.eq(Mux(self.last, 0, following)), t.eq(Mux(self.last, 0, t + 1))]
        return [point, second] if own else [point]

    def _phases(self, m, pipe) -> None:
        m.submodules.phases = phases = self.phases
        m.d.comb += [phases.r_addr.eq(self.word), phases.r_en.eq(self.en),
                     phases.w_addr.eq(self.back.word), phases.w_data.eq(self.back.phases),
                     phases.w_en.eq(self.back.valid.replicate(len(phases.w_en)))]
        first = pipe.register(self.first, "first")
        drawn = pipe.register(self.source.words, "drawn")
        starts = Cat(start_phase(drawn[g], self.f_bits, self.spec.random)
                     for g in range(self.geo.G))
        m.d.comb += self.words.eq(pipe.register(Mux(first, starts, phases.r_data), "phases"))
