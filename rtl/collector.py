"""Collector: the samples of two steps to the one word that the encoder takes."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.parts.streams import sample_word, samples_word
from rtl.spec import EndSpec


class Collector(wiring.Component):
    """Samples to blocks of two; the last sample of an odd sequence comes alone, as ``half``.

    .. code-block:: text

        i ──┬─►[kept]──► value 0 ──► o
            └──────────► value 1

    Parameters
    ----------
    spec : EndSpec
        Of the encoder; its words have two steps.

    Members
    -------
    i : ``In(stream.Signature(sample_word(art)))``
    o : ``Out(stream.Signature(samples_word(art, geo)))``
        Value 1 of a ``half`` word has no meaning.

    Timing
    ------
    No latency: a word is offered in the cycle in which its last sample is. The first sample of a
    block is taken at once, also while ``o`` is not.

    Resources
    ---------
    A register for one sample.
    """

    latency = 0

    def __init__(self, spec: EndSpec):
        self.spec = spec
        super().__init__({"i": In(stream.Signature(sample_word(spec.art))),
                          "o": Out(stream.Signature(samples_word(spec.art, spec.geo)))})

    def model(self, samples: list[dict]) -> list[dict]:
        """The words of samples (``value``, ``last``); value 1 of a half word is that of value 0."""
        out, kept = [], []
        for sample in samples:
            kept.append(sample["value"])
            if sample["last"] or len(kept) == 2:
                out.append({"value": [kept[0], kept[-1]], "last": sample["last"],
                            "half": int(len(kept) == 1)})
                kept = []
        return out

    def elaborate(self, platform):
        m = Module()
        sample, block = self.i.payload, self.o.payload
        kept, holds, whole = Signal.like(sample.value, reset_less=True), Signal(), Signal()
        m.d.comb += [
            whole.eq(holds | sample.last), self.o.valid.eq(self.i.valid & whole),
            self.i.ready.eq(self.o.ready | ~whole),
            block.value[0].eq(Mux(holds, kept, sample.value)), block.value[1].eq(sample.value),
            block.last.eq(sample.last), block.half.eq(~holds),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += holds.eq(~whole)
        with m.If(~holds):
            m.d.sync += kept.eq(sample.value)
        return m
