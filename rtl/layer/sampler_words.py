"""What a layer's samplers hold against p: random words, Sobol points or phases."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from quant.integer import lfsr
from quant.integer.memory import Draws, Fire
from rtl.parts.lfsr import start_regions
from rtl.parts.config import Geometry
from rtl.parts.memory import ConfigMemory, Region, WideMemory
from rtl.parts.shared_source import source
from rtl.layer.phase_sampler import start_phase
from rtl.parts.pipeline import Pipeline
from rtl.spec import LayerSpec, starts
from rtl.parts.streams import ConfigBus, marks, row_of

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


def point_interval(geo: Geometry) -> int:
    """``sobol``: least cycles between the last takes of two steps of a layer."""
    return 2 if geo.layers == 1 else 3


def latency(form: str) -> int:
    """Enabled cycles from ``take`` to the words."""
    return 2 if form == "systematic" else 1


def shared_point(m: Module, words: "SamplerWords", columns: int, end) -> Signal:
    """The point of the layer that is asked for; each has one, its step and what comes next.

    The row for a layer's next step is read behind its last word, so that it is there in time
    whichever layer follows.
    """
    layers, k, at = words.geo.layers, words.spec.random.k, words.layer
    points, steps, nexts = (
        Array(Signal(bits, name=f"{name}{j}") for j in range(layers))
        for name, bits in (("point", k), ("step", columns), ("next", k)))
    t, done, asked = Signal(columns), Signal(1 + len(at)), Signal(1 + len(at))
    column, directions = Signal(range(max(2, columns))), words.directions
    m.d.comb += [t.eq(steps[done[1:]]), directions.en.eq(1)]
    for c in reversed(range(columns)):          # trailing zeros of t + 1
        with m.If(~t[c]):
            m.d.comb += column.eq(c)
    m.d.comb += directions.addr.eq(column + Array(range(0, layers * columns, columns))[done[1:]])
    following = points[at] ^ Mux(steps[at][0], nexts[at], 1 << k - 1)
    m.d.sync += [done.eq(Cat(words.take & end, at)), asked.eq(done)]
    with m.If(words.take & end):
        m.d.sync += [points[at].eq(Mux(words.last, 0, following)),
                     steps[at].eq(Mux(words.last, 0, steps[at] + 1))]
    with m.If(asked[0]):
        m.d.sync += nexts[asked[1:]].eq(directions.data)
    return points[at]


class SamplerWords(wiring.Component):
    """The words of one sampler of a layer, for G neurons at a time, in the artifact's form.

    * ``bernoulli``: new draws for every word of neurons.
    * ``sobol``: every step has the stream's first H draws again, the masks, XOR the step's point.
      So there is no memory of masks.
    * ``systematic``: a memory of phases; in a sequence's first step the stream's draws in their
      place. So nothing is cleared.

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
        With ``take``: of the sequence's first step; of its last.
    word : ``In(range(neuron_rows))``
        With ``take``: which ones.
    layer : ``In(range(layers))``
        With ``take``: whose, where several share the hardware.
    words : ``Out(ArrayLayout(bits, G))``
        ``latency`` enabled cycles after ``take``. ``systematic``: p's fraction bits, else k.
    back : ``In(StructLayout({"valid", "word", "phases"}))``
        ``systematic`` only: new phases, written in this cycle. Those of a word must be back before
        it is asked for again.

    Timing
    ------
    Latency of :func:`latency`; G words per cycle. ``sobol``: two steps' last takes are at least
    :func:`point_interval` cycles apart.

    Resources
    ---------
    A :class:`WordSource`; ``sobol``: a memory of ``log2(length)`` rows of k bits; ``systematic``: a
    memory of H phases.
    """

    def __init__(self, spec: LayerSpec, op: Fire, f_bits: int):
        self.spec, self.op, self.f_bits, self.geo = spec, op, f_bits, spec.geo
        geo, random, text = spec.geo, spec.random, NAMES[op.number % 2]
        self.source = source(random, random.k, geo.G, starts(spec, f"start_{text}"))
        word = range(max(2, geo.neuron_rows))
        members = {"cfg": In(ConfigBus()), "en": In(1), "take": In(1), "word": In(word)}
        members |= {name: In(shape) for name, shape in marks(geo).items()}
        self.latency, bits = latency(op.form), random.k
        if op.form == "sobol":
            self.directions = ConfigMemory(spec.regions[f"directions_{text}"], spec.hw)
        elif op.form == "systematic":
            bits = self.f_bits
            self.phases = WideMemory(geo.neuron_rows, geo.G * bits, [], spec.hw)
            members["back"] = In(data.StructLayout(
                {"valid": 1, "word": word, "phases": data.ArrayLayout(bits, geo.G)}))
        members["words"] = Out(data.ArrayLayout(bits, geo.G))
        super().__init__(members)

    def model(self, steps: int, seed: int | None = None):
        """Words (steps, words of a step, G); with ``systematic`` those of the first step only."""
        seed = self.spec.seed if seed is None else seed
        art = self.spec.art
        words = self.op.words(self.f_bits, Draws(art.random, seed, art.H, art.n, steps))
        return words.reshape(-1, self.geo.words, self.geo.G)

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
            m.d.comb += [source.rewind.eq(end & self.last),
                         self.words.eq(pipe.register(source.words, "drawn"))]
        elif self.op.form == "sobol":
            point = self._point(m, end)
            m.d.comb += source.rewind.eq(end)
            for g, mask in enumerate(source.words):
                m.d.comb += self.words[g].eq(pipe.register(mask ^ point, f"drawn{g}"))
        else:
            m.d.comb += [source.advance.eq(self.take & self.first), source.rewind.eq(end)]
            self._phases(m, pipe)
        return m

    def _point(self, m, end) -> Signal:
        """The step's point.

        The first column is the highest bit in every dimension, so only every other step needs the
        memory: its row is there in time, for a step of one word is longer than 2 cycles.
        """
        m.submodules.directions = directions = self.directions
        wiring.connect(m, wiring.flipped(self.cfg), directions.cfg)
        columns = directions.region.depth // self.geo.layers
        k = self.spec.random.k
        if self.geo.layers > 1:
            return shared_point(m, self, columns, end)
        point, t = Signal(k), Signal(columns)
        m.d.comb += directions.en.eq(1)
        for c in reversed(range(columns)):          # trailing zeros of t + 1
            with m.If(~t[c]):
                m.d.comb += directions.addr.eq(c)
        following = point ^ Mux(t[0], directions.data, 1 << k - 1)
        with m.If(self.take & end):
            m.d.sync += [point.eq(Mux(self.last, 0, following)), t.eq(Mux(self.last, 0, t + 1))]
        return point

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
