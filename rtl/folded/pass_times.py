"""Predicted clock cycles of layers that a sequence goes through as a whole, back and onwards.

Nothing waits in the middle of a sequence, so a pass is as many steps as the sequence has. Only the
steps that come in wait, for room.
"""

from rtl.folded.passes import PassTiming
from rtl.folded.sequence import Sequence
from rtl.spec import LayerSpec
from rtl.step_times import NEVER, DecoderTimes, EncoderTimes, Times


class PassTimes(Times):
    """Encoder, layers and decoder: what the last sequence left behind."""

    CYCLES = ("port", "onwards", "idle")

    def __init__(self, encoder: EncoderTimes, timing: PassTiming, spec: LayerSpec,
                 decoder: DecoderTimes):
        self.encoder, self.decoder, self.timing = encoder, decoder, timing
        self.geo, self.layers = spec.geo, spec.geo.layers
        self.port = NEVER           # what stands in front takes another step
        self.onwards = NEVER        # the last sequence's first step into the last layer's states
        self.idle = NEVER           # the states take another sequence's first step
        self.steps = 0              # of it

    @property
    def parts(self) -> list[Times]:
        return [self.encoder, self.encoder.source, self.decoder, self]

    def view(self, base: int, horizon: int) -> tuple:
        return super().view(base, horizon), self.steps

    def restore(self, view: tuple, base: int) -> None:
        super().restore(view[0], base)
        self.steps = view[1]

    def enter(self, own: int, t: int) -> int:
        """Step t comes in, whose first word the encoder has at its time ``own``."""
        words, timing, ready = self.geo.words, self.timing, self.port
        if self.steps:      # the step of the one before, in whose place it goes, has left
            left = self.onwards + min(t, self.steps - 1) * timing.pace + timing.latency
            ready = max(ready, left + words)
        first = self.encoder.source.give(own, ready)
        self.encoder.accepted_by_next(first)
        self.port = first + timing.front.interval
        return first

    def through(self, first: int, steps: int) -> int:
        """All layers, for a sequence whose last step came in in cycle ``first``; its result."""
        words, timing, geo = self.geo.words, self.timing, self.geo
        for _ in range(self.layers):
            there = first + words - 1 + timing.front.latency
            begin = max(there + Sequence.latency, self.idle)
            onwards = begin + steps * timing.back
            last = onwards + (steps - 1) * timing.pace
            self.idle = last + max(timing.back, (words - 1) * geo.F + 2)
            first = last + timing.latency
        self.onwards, self.steps = onwards, steps
        self.decoder.step(first, True)
        return self.decoder.results[-1]
