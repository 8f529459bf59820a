"""Both sides of a two-sided kernel added: the future's sums wait for those of the past."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.layer import chains
from rtl.parts.memory import WideMemory
from rtl.parts.pipeline import Pipeline, buffer_output
from rtl.folded.sides import SUM
from rtl.spec import LayerSpec


def latency(spec: LayerSpec) -> int:
    """From a word's transfer on ``i`` to its ``o.valid``."""
    return 3 + spec.hw.spread


class Sums(wiring.Component):
    """A stack of steps: the future's sums are put there, from the last step on; the past's take
    them out again, from the first step on.

    The future's states have in a step what they leave to the step before, so a step gets what was
    put there second to last, and the last one gets nothing.

    Parameters
    ----------
    spec : LayerSpec
        The whole layer, with both sides.
    states, behind : LayerSpec
        Its parts, :mod:`rtl.folded.sides`.
    longest : int

    Members
    -------
    i : ``In(stream.Signature(chains.sent_word(states)))``
    o : ``Out(stream.Signature(chains.entering_word(behind)))``
        ``signed``: the signature's part of both sides, with a step's last word.

    Timing
    ------
    Latency of :func:`latency`, a word per cycle.

    Resources
    ---------
    A RAM of ``longest * words`` rows, G sums each; with signatures one of ``longest`` more.
    """

    def __init__(self, spec: LayerSpec, states: LayerSpec, behind: LayerSpec, longest: int):
        self.spec, self.geo, self.longest = spec, spec.geo, longest
        self.layers = behind.geo.layers
        self.names = {name for name, _ in behind.brings}
        self.past, self.made = spec.cut.states.made, spec.cut.added.made
        self.future = spec.cut.future.made
        hw, G = spec.hw, spec.geo.G
        self.ram = WideMemory(longest * spec.geo.words, G * self.future.width, [], hw, hw.spread)
        self.signed = WideMemory(longest, 32, [], hw, hw.spread) if hw.signature else None
        super().__init__({"i": In(stream.Signature(chains.sent_word(states))),
                          "o": Out(stream.Signature(chains.entering_word(behind)))})

    def elaborate(self, platform):
        m = Module()
        words, G, word, en = self.geo.words, self.geo.G, self.i.payload, Signal()
        m.submodules.ram, pipe = self.ram, Pipeline(m, en)
        taken, back = self.i.valid & en, ~word.layer[0]
        steps, base = Signal(range(self.longest + 1)), Signal(range(self.longest * words + 1))
        at = Signal(range(max(2, words)))
        m.d.comb += self.i.ready.eq(en)
        with m.If(taken):
            m.d.sync += at.eq(Mux(word.end, 0, at + 1))
            with m.If(word.end):
                m.d.sync += [steps.eq(Mux(back, steps + 1, steps - 1)),
                             base.eq(Mux(back, base + words, base - words))]
        ram, up = self.ram, self.past.f_bits - self.future.f_bits
        m.d.comb += [ram.w_addr.eq(base + at), ram.w_en.eq(
            (taken & back).replicate(len(ram.w_en))),
            ram.r_addr.eq(Mux(word.last, 0, base - 2 * words) + at), ram.r_en.eq(en)]
        width = self.future.width
        m.d.comb += [ram.w_data[g * width:(g + 1) * width].eq(word[SUM][g] >> up)
                     for g in range(G)]

        late, f = ram.latency, self.made.f_bits
        result = Signal(self.o.payload.shape())
        last = pipe.delay(word.last, late, "last")
        for g in range(G):
            past = pipe.delay(word[SUM][g], late, f"past{g}")
            future = Mux(last, 0, ram.r_data[g * width:(g + 1) * width].as_signed())
            total = (past << f - self.past.f_bits) + (future << f - self.future.f_bits)
            m.d.comb += result.x[g].eq(pipe.register(total, f"total{g}"))
        for name in ("first", "last", "s_in"):
            if name in result.shape().members:
                m.d.comb += result[name].eq(pipe.delay(word[name], late + 1, f"{name}_on"))
        if self.layers > 1:
            m.d.comb += result.layer.eq(pipe.delay(word.layer >> 1, late + 1, "layer"))
        if self.signed:
            self._sign(m, pipe, taken, back, steps, result)
        there = pipe.delay(self.i.valid & ~back, late + 1, "there", reset_less=False)
        buffer_output(m, en, there, result, self.o)
        return m

    def _sign(self, m: Module, pipe: Pipeline, taken, back, steps, result) -> None:
        """The future's part of a step's signature waits likewise, for the step itself."""
        m.submodules.signed, word = self.signed, self.i.payload
        signed, late = self.signed, self.signed.latency
        m.d.comb += [signed.w_addr.eq(steps), signed.w_data.eq(word.signature),
                     signed.w_en.eq((taken & back & word.end).replicate(len(signed.w_en))),
                     signed.r_addr.eq(steps - 1), signed.r_en.eq(pipe.en)]
        own = pipe.delay(word.signature, late, "signature")
        m.d.comb += result.signed.eq(pipe.register(own ^ signed.r_data, "signed"))
