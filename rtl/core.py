"""The network as one component: samples in, class and logits out, one configuration port.

Names in Verilog (``rtl.generate``), one packed vector per struct, lowest field first:

========================================  ======================================================
port                                      bits, from 0 upwards
========================================  ======================================================
``clk``, ``rst``                          synchronous reset, active high
``i__valid``, ``i__ready``                stream of samples
``i__payload``                            value (of the sample's format, or the token), last
``o__valid``, ``o__ready``                stream of results
``o__payload``                            label, logits 0..outputs-1 (48 bits each, signed),
                                          saturations of layers 0..N-1, of the stream (32 each)
``cfg__en``, ``cfg__addr``, ``cfg__data``  configuration writes, 24 bits of address, 32 of data
``tap0``, ``tap1``, ...                   valid, s_in (P G), s_out (P G; of -1, 0, 1: 2 P G), end,
                                          signature (32); no s_in where it is not spikes
``busy``                                  bit j: layer j's multipliers are in use in this cycle
========================================  ======================================================
"""

from functools import reduce
from operator import add

from amaranth import Module, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.integer import reference
from quant.integer.artifact import Artifact
from rtl.collector import Collector
from rtl.parts.config import HardwareConfig
from rtl.decoder import Decoder
from rtl.encoder import Encoder
from rtl.folded.passes import TwoSided
from rtl.folded.ring import Ring, views_of
from rtl.layer.layer import Layer, tap_layout
from rtl.parts.memory import delay_bus
from rtl.plan import plan
from rtl.parts.streams import ConfigBus, logit_ports, result_word, sample_word

HOP = 2         # registers of the configuration bus from one part to the next, where it is far


class Core(wiring.Component):
    """The streaming accelerator of one artifact; it knows no board.

    .. code-block:: text

        i ──►[Encoder]──►[Layer 0]──►[Layer 1]──► ... ──►[Decoder]──► o
                 │           │ tap0      │ tap1              ▲
                 └───────────┴─ saturation counts ─[FIFOs]───┘

    All parts work on different blocks of steps at once, also across sequences: the next may follow
    with no gap. Where a block has two steps, a collector in front of the encoder joins their
    samples. At most ``plan.max_in_flight`` sequences are inside, so that their counts fit the
    FIFOs. Bit-exact model: :func:`quant.integer.reference.run`.

    Parameters
    ----------
    art : Artifact
    hw : HardwareConfig

    Attributes
    ----------
    plan : Plan
        What it is made from; refuses what the RTL lacks.

    Members
    -------
    i : ``In(stream.Signature(sample_word(art)))``
        ``last`` with a sequence's last sample; 1 to ``art.length`` samples.
    o : ``Out(stream.Signature(result_word(art, hw.logits_apart)))``
    logit, logit_valid : :func:`rtl.parts.streams.logit_ports`, where logits leave apart.
    tap0, tap1, ... : ``Out(tap_layout(spec))``
        The spikes of each layer, a word of G neurons in P steps in each cycle with ``valid``; the
        block's signature with ``end``. For verification: nothing waits for them.
    busy : ``Out(n_layers)``
        Bit j: all multipliers of layer j's lanes take operands in this cycle, none otherwise.
    cfg : ``In(ConfigBus())``
        A row's words in rising order, with no other write between them; ``plan.apart`` cycles
        from one write to the next.

    Timing
    ------
    :func:`rtl.cycles.predict`, exact when samples are always offered and results always taken.

    Resources
    ---------
    The sum of its parts, and a FIFO of counts per layer (two where the stream saturates).
    """

    def __init__(self, art: Artifact, hw: HardwareConfig = HardwareConfig()):
        self.art, self.hw, self.plan = art, hw, plan(art, hw)
        self.geo, self.max_in_flight = self.plan.geo, self.plan.max_in_flight
        super().__init__({
            "i": In(stream.Signature(sample_word(art))),
            "o": Out(stream.Signature(result_word(art, hw.logits_apart))),
            "cfg": In(ConfigBus()), "busy": Out(len(art.blocks))} | logit_ports(hw.logits_apart)
            | {f"tap{spec.number}": Out(tap_layout(spec)) for spec in
               (views_of(self.plan.layers[0]) if self.plan.layers[0].cuts else self.plan.layers)})

    def model(self, values) -> reference.Trace:
        """Everything the core shows for one sequence of raw samples or tokens."""
        return reference.run(self.art, values)

    def elaborate(self, platform):
        m = Module()
        m.submodules.encoder = encoder = Encoder(self.plan.encoder)
        m.submodules.decoder = decoder = Decoder(self.plan.decoder)
        into = encoder.i
        if self.geo.P > 1:
            m.submodules.collector = collector = Collector(self.plan.encoder)
            wiring.connect(m, collector.o, encoder.i)
            into = collector.i
        if self.plan.layers[0].cuts:
            m.submodules.layers = ring = self._shared(self.plan.layers[0])
            stages, layers = [ring], ring.views
        else:
            stages = layers = [Layer(spec) for spec in self.plan.layers]
            for number, layer in enumerate(layers):
                m.submodules[f"layer{number}"] = layer
        parts = [encoder, *stages, decoder]
        for number, layer in enumerate(layers):
            m.d.comb += [getattr(self, f"tap{number}").eq(layer.tap),
                         self.busy[number].eq(layer.busy)]
        for part, following in zip(parts, parts[1:]):
            wiring.connect(m, part.o, following.i)
        # The configuration bus visits the parts one after the other, with a register half way.
        bus, hop = wiring.flipped(self.cfg), HOP * self.hw.spread
        for number, part in enumerate(parts):
            for stage in range(hop):
                bus = delay_bus(m, bus, f"cfg{number}_{stage}")
            wiring.connect(m, bus, part.cfg)
        wiring.connect(m, decoder.o, wiring.flipped(self.o))
        m.d.comb += [getattr(self, name).eq(getattr(decoder, name))
                     for name in logit_ports(self.hw.logits_apart)]

        # A sequence's first sample waits while max_in_flight sequences have no result yet, and
        # until the last write has arrived everywhere.
        inside, starts = Signal(range(self.max_in_flight + 1)), Signal(init=1)
        admit, taken = Signal(), Signal()
        # Cycles until a write is done: to its part, there, into the row, and what is made of it.
        arrival = len(parts) * hop + 7 + self.plan.spacing
        settling = Signal(range(arrival + 1), reset_less=True)
        settled = Signal(init=1, reset_less=True)
        m.d.sync += settled.eq(~self.cfg.en & (settling <= 1))      # settling is 0 then
        with m.If(self.cfg.en):
            m.d.sync += settling.eq(arrival)
        with m.Elif(settling != 0):
            m.d.sync += settling.eq(settling - 1)
        m.d.comb += [
            admit.eq(~starts | ((inside != self.max_in_flight) & settled)),
            into.payload.eq(self.i.payload), into.valid.eq(self.i.valid & admit),
            self.i.ready.eq(into.ready & admit),
            taken.eq(self.i.valid & self.i.ready),
        ]
        with m.If(taken):
            m.d.sync += starts.eq(self.i.payload.last)
        m.d.sync += inside.eq(inside + (taken & starts) - decoder.taken)

        counts = [(f"states{number}{f'_{k}' * (k > 0)}", count)
                  for number, layer in enumerate(layers) for k, count in enumerate(layer.counts)]
        stream_counts = []
        if self.plan.encoder.saturates:
            stream_counts = [("encoded", encoder.count)] + [
                (f"fused{number}", layer.stream_count) for number, layer in enumerate(layers)]
        # The next result is many cycles away, so its counts may come a cycle later.
        answered = Signal()
        m.d.sync += answered.eq(decoder.taken)
        heads = [self._queue(m, name, count, answered) for name, count in counts + stream_counts]
        rest, last = iter(heads), len(layers)
        for number, layer in enumerate(layers):
            m.d.comb += decoder.saturations[number].eq(
                reduce(add, [next(rest) for _ in layer.counts]))
        m.d.comb += decoder.saturations[last].eq(sum(rest))
        return m

    @staticmethod
    def _shared(spec):
        """All layers as one part."""
        return TwoSided(spec) if spec.cut.future else Ring(spec)

    def _queue(self, m: Module, name: str, count: data.View, answered: Signal):
        """Counts of the sequences inside, oldest first; returns the oldest not yet ``answered``."""
        m.submodules[name] = queue = fifo.SyncFIFOBuffered(width=self.plan.count_bits,
                                                           depth=self.max_in_flight + 1)
        m.d.comb += [queue.w_data.eq(count.value), queue.w_en.eq(count.valid),
                     queue.r_en.eq(answered)]
        return queue.r_data
