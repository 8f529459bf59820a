"""Predicted clock cycles of layers that share their hardware: steps that go round in a ring.

As :mod:`rtl.step_times`, of which it uses the parts: recurrences over whole steps, and beside them
the one choice that the ring has: whether what comes back or what is new goes in first. A *turn* is
a step's way through the hardware once, as one of some layer.
"""

from collections import deque
from dataclasses import astuple, dataclass

from rtl.layer.layer import LayerTiming
from rtl.spec import LayerSpec
from rtl.step_times import NEVER, DecoderTimes, EncoderTimes, LayerTimes, Times

UNKNOWN = 1 << 60       # a time that something later decides


@dataclass(frozen=True)
class Turn:
    """Words of a step that go into the hardware from cycle ``first`` on."""

    first: int
    layer: int
    starts: bool        # the sequence's first step, and its last one
    ends: bool


class RingTimes(Times):
    """Encoder, ring and decoder: what is inside, and when there is room for more."""

    CYCLES = ("port",)

    def __init__(self, encoder: EncoderTimes, timing: LayerTiming, spec: LayerSpec,
                 decoder: DecoderTimes):
        self.encoder, self.decoder, self.timing = encoder, decoder, timing
        self.layers, self.words = spec.geo.layers, spec.geo.words
        self.layer = LayerTimes(timing, spec)
        self.port = NEVER                   # the buffer's input is free for another step
        self.turns = deque()                # in the buffer, oldest first
        self.now: tuple[Turn, int] | None = None    # a turn whose results come next, and when:
        #                                             the fuse's own time
        self.inside = self.sequences = 0    # steps; sequences that have begun and not ended
        self.ended = []                     # cycles of results
        self.left = deque([NEVER] * timing.tokens, timing.tokens)   # steps that left, oldest first

    def taken(self) -> list[int]:
        """Results since this was asked last."""
        found, self.ended = self.ended, []
        return found

    @property
    def parts(self) -> list[Times]:
        return [self.encoder, self.encoder.source, self.layer, self.layer.source, self.decoder,
                self]

    def view(self, base: int, horizon: int) -> tuple:
        turns = tuple((turn.first - base, *astuple(turn)[1:]) for turn in self.turns)
        now = self.now and (*astuple(self.now[0])[1:],
                            self.now[1] + self.layer.fuse.lost - base)
        return (super().view(base, horizon), turns, now, self.inside, self.sequences,
                tuple(max(at - base, -horizon) for at in self.left))

    def restore(self, view: tuple, base: int) -> None:
        own, turns, now, self.inside, self.sequences, left = view
        super().restore(own, base)
        self.turns = deque(Turn(first + base, *rest) for first, *rest in turns)
        # the fuse's clock is another one now: its own time begins with nothing lost behind it
        self.now = now and (Turn(NEVER, *now[:-1]), now[-1] + base - self.layer.fuse.lost)
        self.left.extend(at + base for at in left)

    def admitted(self, starts: bool) -> int:
        """Cycle from which the next sample is taken."""
        if not starts:
            return 0
        results = self.decoder.results
        return max(0, results[self.sequences - results.maxlen])

    def _peek(self, source, own: int) -> int:
        """The cycle in which a step's first word is offered."""
        return max(source.clock.cycle(own), source.first + 1 if self.words == 1 else NEVER)

    @property
    def _ready(self) -> int:
        """Cycle from which the buffer takes another step: its bank is free, and the port."""
        waiting = len(self.turns) + (self.now is not None)
        return max(self.port, self.layer.free[waiting - self.timing.banks])

    def enter(self, own: int, starts: bool, ends: bool) -> int:
        """A new step, whose first word the encoder has at its time ``own``; returns the cycle."""
        while True:
            at = UNKNOWN
            if self.inside < self.timing.tokens:
                room = self.left[self.inside - self.timing.tokens] + 1
                at = max(self._peek(self.encoder.source, own), self._ready, room)
            if not self._turn_before(at):
                self.inside += 1
                self.sequences += starts
                self._put(self.encoder.source.give(own, at), 0, starts, ends)
                return self.turns[-1].first

    def finish(self) -> None:
        """All that is inside leaves."""
        while self._turn_before(UNKNOWN):
            pass

    def _put(self, first: int, layer: int, starts: bool, ends: bool) -> None:
        self.turns.append(Turn(first, layer, starts, ends))
        self.port = first + self.words

    def _turn_before(self, at: int) -> bool:
        """End the oldest turn, if what comes of it goes in no later than cycle ``at``, or out."""
        if self.now is None:
            if not self.turns:
                return False
            self.now = self.turns.popleft(), None
            self.now = self.now[0], self.layer.step(self.now[0].first)
        (turn, own), source = self.now, self.layer.source
        if turn.layer == self.layers - 1:
            first = source.give(own, self.decoder.ready(turn.starts))
            self.decoder.step(first, turn.ends)
            if turn.ends:
                self.ended.append(self.decoder.results[-1])
            self.left.append(first + self.words - 1)
            self.inside -= 1
            self.sequences -= turn.ends
        else:
            first = max(self._peek(source, own), self._ready)
            if at < first:
                return False
            source.give(own, first)
        self.now = None
        self.layer.accepted_by_next(first)
        if turn.layer < self.layers - 1:
            self._put(first, turn.layer + 1, turn.starts, turn.ends)
        return True
