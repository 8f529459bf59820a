# amaranth: UnusedElaboratable=no
"""What a layer's samplers hold against p: random words, Sobol points or phases."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from quant.integer import lfsr, sampling
from quant.integer.artifact import Artifact
from rtl.config import Geometry, HardwareConfig
from rtl.lfsr import WordSource
from rtl.memory import AddressMap, ConfigMemory, WideMemory
from rtl.phase_sampler import start_phase
from rtl.pipeline import Pipeline
from rtl.streams import ConfigBus

STREAM = "state of the random stream at a sequence's start, never 0"


class SamplerWords(wiring.Component):
    """The words of one sampler of a layer, for G neurons at a time, in the artifact's form.

    * ``bernoulli``: new draws for every word of neurons.
    * ``sobol``: every step has the stream's first H draws again, the masks, XOR the step's point.
      So there is no memory of masks.
    * ``systematic``: a memory of phases; in a sequence's first step the stream's draws in their
      place. So nothing is cleared.

    Parameters
    ----------
    art : Artifact
    number : int
        Layer.
    kind : int
        ``lfsr.SAMPLER_IN`` or ``SAMPLER_OUT``.
    geo : Geometry
    amap : AddressMap
        Gets ``layer<number>.start_in`` (or ``_out``) and with ``sobol`` ``directions_in``.
    hw : HardwareConfig
        Of the memories.

    Members
    -------
    cfg : ``In(ConfigBus())``
    en : ``In(1)``
        Clock enable of the pipeline that this is part of.
    take : ``In(1)``
        The words of G neurons are asked for; only with ``en``.
    first, last : ``In(1)``
        With ``take``: of the sequence's first step; of its last.
    word : ``In(range(words))``
        With ``take``: which ones.
    words : ``Out(ArrayLayout(bits, G))``
        ``latency`` enabled cycles after ``take``. ``systematic``: p's fraction bits, else k.
    back : ``In(StructLayout({"valid", "word", "phases"}))``
        ``systematic`` only: new phases, written in this cycle. Those of a word must be back before
        it is asked for again.

    Timing
    ------
    Latency 1 enabled cycle, 2 with ``systematic``; G words per cycle. ``sobol``: two steps'
    last takes are at least 2 cycles apart.

    Resources
    ---------
    A :class:`WordSource`; ``sobol``: a memory of ``log2(length)`` rows of k bits; ``systematic``: a
    memory of H phases.
    """

    def __init__(self, art: Artifact, number: int, kind: int, geo: Geometry, amap: AddressMap,
                 hw: HardwareConfig = HardwareConfig()):
        self.art, self.number, self.kind, self.geo = art, number, kind, geo
        random, text = art.random, "in" if kind == lfsr.SAMPLER_IN else "out"
        start = lfsr.stream_start(random, art.seed, lfsr.stream_index(number, kind))
        region = amap.allocate(f"layer{number}.start_{text}", 1, random.width, STREAM)
        self.source = WordSource(random, random.k, geo.G, region, start)
        self.f_bits = sampling.sampler_bits(art, number, kind)
        word = range(max(2, geo.words))
        members = {"cfg": In(ConfigBus()), "en": In(1), "take": In(1), "first": In(1),
                   "last": In(1), "word": In(word)}
        self.latency, bits = 1, random.k
        if art.sampling == "sobol":
            rows = art.directions[sampling.sampler_number(number, kind)]
            region = amap.allocate(f"layer{number}.directions_{text}", len(rows), random.k,
                                   "Sobol direction number of column r in row r")
            self.directions = ConfigMemory(region, [int(row) for row in rows], hw)
        elif art.sampling == "systematic":
            self.latency, bits = 2, self.f_bits
            self.phases = WideMemory(geo.words, geo.G * bits, [], hw)
            members["back"] = In(data.StructLayout(
                {"valid": 1, "word": word, "phases": data.ArrayLayout(bits, geo.G)}))
        members["words"] = Out(data.ArrayLayout(bits, geo.G))
        super().__init__(members)

    def model(self, steps: int, seed: int | None = None):
        """Words (steps, words of a step, G); with ``systematic`` those of the first step only."""
        seed = self.art.seed if seed is None else seed
        words = sampling.sampler_words(self.art, self.number, self.kind, seed, steps)
        return words.reshape(-1, self.geo.words, self.geo.G)

    def elaborate(self, platform):
        m = Module()
        m.submodules.source = source = self.source
        wiring.connect(m, wiring.flipped(self.cfg), source.cfg)
        pipe = Pipeline(m, self.en)
        end = self.word == self.geo.words - 1
        m.d.comb += source.advance.eq(self.take)
        if self.art.sampling == "bernoulli":
            m.d.comb += [source.rewind.eq(end & self.last),
                         self.words.eq(pipe.register(source.words, "drawn"))]
        elif self.art.sampling == "sobol":
            point = self._point(m)
            m.d.comb += source.rewind.eq(end)
            for g, mask in enumerate(source.words):
                m.d.comb += self.words[g].eq(pipe.register(mask ^ point, f"drawn{g}"))
        else:
            m.d.comb += [source.advance.eq(self.take & self.first), source.rewind.eq(end)]
            self._phases(m, pipe)
        return m

    def _point(self, m) -> Signal:
        """The step's point.

        The first column is the highest bit in every dimension, so only every other step needs the
        memory: its row is there in time, for a step of one word is longer than 2 cycles.
        """
        m.submodules.directions = directions = self.directions
        wiring.connect(m, wiring.flipped(self.cfg), directions.cfg)
        columns = directions.region.depth
        k = self.art.random.k
        point, t = Signal(k), Signal(columns)
        m.d.comb += directions.en.eq(1)
        for c in reversed(range(columns)):          # trailing zeros of t + 1
            with m.If(~t[c]):
                m.d.comb += directions.addr.eq(c)
        following = point ^ Mux(t[0], directions.data, 1 << k - 1)
        with m.If(self.take & (self.word == self.geo.words - 1)):
            m.d.sync += [point.eq(Mux(self.last, 0, following)), t.eq(Mux(self.last, 0, t + 1))]
        return point

    def _phases(self, m, pipe) -> None:
        m.submodules.phases = phases = self.phases
        m.d.comb += [phases.r_addr.eq(self.word), phases.r_en.eq(self.en),
                     phases.w_addr.eq(self.back.word), phases.w_data.eq(self.back.phases),
                     phases.w_en.eq(self.back.valid.replicate(len(phases.w_en)))]
        first = pipe.register(self.first, "first")
        drawn = pipe.register(self.source.words, "drawn")
        starts = Cat(start_phase(drawn[g], self.f_bits, self.art.random)
                     for g in range(self.geo.G))
        m.d.comb += self.words.eq(pipe.register(Mux(first, starts, phases.r_data), "phases"))
