# amaranth: UnusedElaboratable=no
"""One block of the network: input buffer, state engine, mixer."""

from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.integer.artifact import Artifact
from rtl.config import Geometry, HardwareConfig
from rtl.memory import AddressMap, delay_bus
from rtl.mixer import Mixer
from rtl.state_engine import StateEngine
from rtl.streams import ConfigBus, spike_word, x_word
from rtl.x_buffer import FUSE_BANKS, XBuffer


def tap_layout(geo: Geometry) -> data.StructLayout:
    """A spike word as the verification sees it, in the cycle of its transfer (``valid``)."""
    return data.StructLayout({"valid": 1, "s_in": geo.G, "s_out": geo.G, "end": 1,
                              "signature": 32})


class Layer(wiring.Component):
    """A block's input words to the next block's input words.

    .. code-block:: text

        i ──►[XBuffer]──►[StateEngine]──► spikes ──►[Mixer]──► o
                  │                         └──► tap  ▲
                  └── x again, for the residual ──────┘

    Parameters
    ----------
    art : Artifact
    number : int
        Which layer.
    hw : HardwareConfig
    amap : AddressMap

    Members
    -------
    i : ``In(stream.Signature(x_word(art, geo)))``
    o : ``Out(stream.Signature(x_word(art, geo)))``
    tap : ``Out(tap_layout(geo))``
    busy : ``Out(1)``
        Every multiplier of the engine's lanes takes operands in this cycle.
    count : ``Out(StructLayout({"valid": 1, "value": 32}))``
        Saturated states of a sequence, one pulse in the cycle after its last spike word.
    stream_count : same
        Saturated elements of this layer's output; only with ``residual = plain``.
    cfg : ``In(ConfigBus())``

    Timing
    ------
    As its parts; a step takes ``max(engine.interval, mixer.interval)`` cycles.

    Resources
    ---------
    The sum of its parts.
    """

    def __init__(self, art: Artifact, number: int, hw: HardwareConfig, amap: AddressMap):
        self.art, self.hw, geo = art, hw, Geometry.of(art, hw)
        self.engine = StateEngine(art, number, hw, amap)
        self.mixer = Mixer(art, number, hw, amap)
        self.buffer = XBuffer(art, hw, self._banks(geo))
        word, count = x_word(art, geo), data.StructLayout({"valid": 1, "value": 32})
        members = {"i": In(stream.Signature(word)), "o": Out(stream.Signature(word)),
                   "tap": Out(tap_layout(geo)), "busy": Out(1), "count": Out(count),
                   "cfg": In(ConfigBus())}
        if art.residual == "plain":
            members["stream_count"] = Out(count)
        super().__init__(members)

    def _banks(self, geo: Geometry) -> int | None:
        """Steps to buffer so that the residual addition, which comes late, holds nothing up."""
        if self.art.residual == "none":
            return None
        fill, drain = geo.words + XBuffer.latency, geo.words + self.mixer.fill + 2
        inside = fill + (geo.words - 1) * geo.F + self.engine.latency + drain
        return max(FUSE_BANKS, -(-inside // self.interval))

    @property
    def latency(self) -> int:
        """Cycles from a step's last word on ``i`` to its first on ``o``, nothing else going on."""
        spikes = (self.mixer.geo.words - 1) * self.mixer.geo.F
        return self.buffer.latency + spikes + self.engine.latency + self.mixer.latency

    @property
    def interval(self) -> int:
        """Cycles per step."""
        return max(self.engine.interval, self.mixer.interval)

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer, m.submodules.engine = self.buffer, self.engine
        m.submodules.mixer = self.mixer
        spikes = self.engine.o
        wiring.connect(m, wiring.flipped(self.i), self.buffer.i)
        wiring.connect(m, self.buffer.o, self.engine.i)
        wiring.connect(m, spikes, self.mixer.i)
        wiring.connect(m, self.mixer.o, wiring.flipped(self.o))
        wiring.connect(m, wiring.flipped(self.cfg), self.engine.cfg)
        mixer_cfg = delay_bus(m, self.cfg, "cfg_mixer") if self.hw.spread else \
            wiring.flipped(self.cfg)
        wiring.connect(m, mixer_cfg, self.mixer.cfg)
        if self.art.residual != "none":
            wiring.connect(m, self.buffer.fuse, self.mixer.x)
        if self.art.residual == "plain":
            m.d.comb += self.stream_count.eq(self.mixer.count)
        word = spikes.payload
        m.d.comb += [
            self.tap.valid.eq(spikes.valid & spikes.ready), self.tap.s_in.eq(word.s_in),
            self.tap.s_out.eq(word.s_out), self.tap.end.eq(word.end),
            self.tap.signature.eq(word.signature),
            self.busy.eq(self.engine.busy),
        ]
        m.d.sync += [self.count.valid.eq(self.tap.valid & word.end & word.last),
                     self.count.value.eq(word.saturations)]
        return m
