"""One block of the network: input buffer, state engine, mixer."""

from dataclasses import dataclass

from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.layer import coefficients, fuse, mixers, state_engine, ternary
from rtl.layer.chains import sent_word
from rtl.parts.memory import Region, delay_bus
from rtl.layer.mixing import MixerTiming
from rtl.spec import LayerSpec, Timing
from rtl.layer.state_engine import EngineTiming, StateEngine
from rtl.parts.streams import ConfigBus, x_word
from rtl.layer.x_buffer import FUSE_BANKS, NO_FUSE_BANKS, XBuffer


MOST_TOKENS = 12    # fewer than sequences may be inside a core


def tap_layout(spec: LayerSpec) -> data.StructLayout:
    """What the mixers take as the verification sees it, in the cycle of its transfer (``valid``).

    ``s_in``: what entered the states, where that are spikes; ``s_out``: spikes, or -1, 0 and 1.
    """
    word, seen = mixing_word(spec), {"valid": 1}
    seen |= {name: word.members[name] for name in ("s_in", "s_out") if name in word.members}
    seen |= {name: shape for name, shape in word.members.items() if name == "layer"}
    return data.StructLayout(seen | {"end": 1, "signature": 32})


def mixing_word(spec: LayerSpec) -> data.StructLayout:
    """What arrives in front of the mixers."""
    return ternary.word(spec) if spec.cut.ternary else sent_word(spec)


def regions(spec: LayerSpec) -> list[Region]:
    """The regions of a layer's parts, in the order of the map."""
    return coefficients.regions(spec) + ternary.regions(spec) + mixers.regions(spec) + \
        fuse.regions(spec)


@dataclass(frozen=True)
class LayerTiming(Timing):
    """Cycles of a layer.

    latency : from a step's last word on ``i`` to its first on ``o``, nothing else going on;
    interval : cycles per step.
    """

    engine: EngineTiming
    ternary: Timing | None      # of the threshold between them
    mixer: MixerTiming
    fuse: int                   # latency of what stands behind the mixer's sums
    banks: int          # steps that the input buffer has room for
    tokens: int = 0     # steps inside, at most, where layers share the hardware


def tokens(latency: int, interval: int, words: int) -> int:
    """Steps that layers with the same hardware need to keep it busy: as many as fit the time until
    a step of a layer has come back for the next one, and one more that waits."""
    return min(MOST_TOKENS, -(-(latency + words) // interval) + 1)


def timing(spec: LayerSpec) -> LayerTiming:
    """Timing of a layer, from its parts'."""
    geo, engine, mix = spec.geo, state_engine.timing(spec), mixers.timing(spec)
    limit = ternary.timing(spec) if spec.cut.ternary else None
    interval, banks = max(engine.interval, mix.interval), NO_FUSE_BANKS
    spikes = (geo.words - 1) * geo.F + engine.latency
    if limit:
        interval = max(interval, limit.interval)
        spikes += limit.latency + (geo.words - 1) * mix.word
    if spec.fused:      # the residual addition comes late, and holds nothing up
        fill, drain = geo.words + XBuffer.latency, geo.words + mix.begin + mix.delay + 1
        banks = max(FUSE_BANKS, -(-(fill + spikes + drain) // interval))
    latency, inside = XBuffer.latency + spikes + mix.latency, 0
    if geo.layers > 1:      # each step is in one bank, but for one that moves on
        inside = tokens(latency, interval, geo.words)
        banks = inside + 1
    return LayerTiming(latency, interval, engine, limit, mix, fuse.latency(spec), banks, inside)


class Layer(wiring.Component):
    """A block's input words to the next block's input words.

    .. code-block:: text

        i ──►[XBuffer]──►[StateEngine]──► spikes ──►[Mixer]──► o
                  │                         └──► tap  ▲
                  └── x again, for the residual ──────┘

    Parameters
    ----------
    spec : LayerSpec

    Members
    -------
    i : ``In(stream.Signature(x_word(x_format, geo)))``
    o : ``Out(stream.Signature(x_word(x_format, geo)))``
    tap : ``Out(tap_layout(spec))``
    busy : ``Out(layers)``
        Bit j, for layer j: every multiplier of the engine's lanes takes operands in this cycle.
    count : ``Out(fuse.count_layout(geo))``
        Saturated states of a sequence, one pulse in the cycle after its last spike word.
    stream_count : same
        Saturated elements of this layer's output; only where they saturate.
    cfg : ``In(ConfigBus())``

    Timing
    ------
    :func:`timing`.

    Resources
    ---------
    The sum of its parts.
    """

    def __init__(self, spec: LayerSpec):
        self.spec, found = spec, timing(spec)
        self.latency, self.interval = found.latency, found.interval
        self.engine, self.mixer = StateEngine(spec), mixers.make(spec)
        self.buffer = XBuffer(spec, found.banks)
        word = x_word(spec.x_format, spec.geo)
        count = fuse.count_layout(spec.geo)
        members = {"i": In(stream.Signature(word)), "o": Out(stream.Signature(word)),
                   "tap": Out(tap_layout(spec)), "busy": Out(spec.geo.layers),
                   "count": Out(count), "cfg": In(ConfigBus())}
        if spec.saturates:
            members["stream_count"] = Out(count)
        super().__init__(members)

    @property
    def counts(self) -> tuple:
        """Of saturated states, to be added."""
        return self.count,

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer, m.submodules.engine = self.buffer, self.engine
        m.submodules.mixer = self.mixer
        spikes = self.engine.o
        wiring.connect(m, wiring.flipped(self.i), self.buffer.i)
        wiring.connect(m, self.buffer.o, self.engine.i)
        if self.spec.cut.ternary:
            m.submodules.ternary = limit = ternary.Ternary(self.spec)
            wiring.connect(m, spikes, limit.i)
            wiring.connect(m, wiring.flipped(self.cfg), limit.cfg)
            spikes = limit.o
        word, into = spikes.payload, self.mixer.i
        m.d.comb += [into.valid.eq(spikes.valid), spikes.ready.eq(into.ready),
                     *(into.payload[name].eq(word[name])
                       for name in into.payload.shape().members)]
        wiring.connect(m, self.mixer.o, wiring.flipped(self.o))
        bus = wiring.flipped(self.cfg)
        for name in ("engine", "mixer"):    # where they are far, one behind the other: of equal
            if self.spec.hw.spread:         # registers side by side yosys would make one
                bus = delay_bus(m, bus, f"cfg_{name}")
            wiring.connect(m, bus, getattr(self, name).cfg)
        if self.spec.fused:
            wiring.connect(m, self.buffer.fuse, self.mixer.x)
        if self.spec.saturates:
            m.d.comb += self.stream_count.eq(self.mixer.count)
        m.d.comb += [self.tap.valid.eq(spikes.valid & spikes.ready), self.busy.eq(self.engine.busy),
                     *(self.tap[name].eq(word[name])
                       for name in self.tap.shape().members if name != "valid")]
        m.d.sync += [self.count.valid.eq(self.tap.valid & word.end & word.last),
                     self.count.value.eq(word.saturations)]
        if self.spec.geo.layers > 1:
            m.d.sync += self.count.layer.eq(word.layer)
        return m
