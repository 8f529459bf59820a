# amaranth: UnusedElaboratable=no
"""Predicted clock cycles of a core, from its parts' ``latency`` and ``interval``.

No timing depends on data and nothing waits in the middle of a step, so a recurrence over whole
steps, of maxima and sums, gives the exact cycle of everything. Cycle 0 is the first sample's.
"""

from collections import deque
from dataclasses import dataclass

from quant.artifact import Artifact
from rtl.config import HardwareConfig
from rtl.core import Core
from rtl.decoder import Decoder
from rtl.encoder import Encoder
from rtl.layer import Layer

NEVER = -1 << 60    # a time that holds nothing up
KEPT = 64           # stops that a clock remembers: more than lie between two of its questions


@dataclass(frozen=True)
class Prediction:
    """Cycles of a run in which samples are always offered and results always taken."""

    results: list[int]      # cycles from the first sample's transfer to each result's transfer
    steps: int              # time steps of all sequences
    cycles_per_step: float  # in steady state
    roofline: int           # least cycles of a step's state updates, H n / lanes

    @property
    def cycles(self) -> int:
        """Cycles from the first sample's transfer to the last result's transfer."""
        return self.results[-1]

    @property
    def utilisation(self) -> float:
        """Share of the multipliers' cycles that are used in steady state."""
        return self.roofline / self.cycles_per_step


class StoppingClock:
    """The own time of a part that stops as a whole when its output is not taken."""

    def __init__(self):
        self._stops = deque([(NEVER, 0)], KEPT)     # (own time, cycles lost up to its end), rising

    def cycle(self, own: int) -> int:
        """The cycle in which own time ``own`` ends."""
        for at, lost in reversed(self._stops):
            if at <= own:
                return own + lost
        raise ValueError(f"own time {own} lies before the last {KEPT} stops")

    def own(self, cycle: int) -> int:
        """The first own time that ends in ``cycle`` or later."""
        first = None
        for at, lost in reversed(self._stops):
            if first is not None and at + lost < cycle:
                return min(first, cycle - lost)
            first = at if first is None else min(first, at)
            if at + lost < cycle:
                return cycle - lost
        return cycle

    def stop(self, own: int, until: int) -> int:
        """Own time ``own`` ends in cycle ``until`` or later; returns when."""
        end = self.cycle(own)
        if until > end:
            self._stops.append((own, self._stops[-1][1] + until - end))
        return max(end, until)


class _EncoderTimes:
    """First words of the samples, on the encoder's clock."""

    def __init__(self, part: Encoder):
        self.part, self.clock, self.accepted = part, StoppingClock(), NEVER

    def step(self, admitted: int) -> tuple[StoppingClock, int]:
        """Take a sample in cycle ``admitted`` or later; returns its first word's own time."""
        self.accepted = max(self.accepted + self.part.interval, self.clock.own(admitted))
        return self.clock, self.accepted + self.part.latency


class _LayerTimes:
    """Input buffer, engine, mixer and fuse: what the last step left behind, and ``free``."""

    def __init__(self, part: Layer):
        self.part, self.geo = part, part.mixer.geo
        self.engine, self.fuse = StoppingClock(), StoppingClock()
        self.free = deque([NEVER] * part.buffer.banks, part.buffer.banks)   # per bank, oldest first
        self.start = self.read = NEVER      # of the engine, own time; its last read
        self.given = NEVER                  # the step's last spike word
        self.drained = NEVER                # may the mixer take another step's last word
        self.issued = NEVER                 # first read-out, on fuse's clock
        self.fetched = self.x_taken = NEVER # the buffer's last word left for o, for fuse

    @property
    def ready(self) -> int:
        """Cycle from which the next step's first word is accepted."""
        return self.free[0]

    def step(self, first: int) -> tuple[StoppingClock, int]:
        """A step whose words come from cycle ``first`` on; returns its first result's own time."""
        part, geo = self.part, self.geo
        engine, mixer = part.engine, part.mixer
        complete = first + geo.words - 1
        fetched = max(complete + part.buffer.latency - 1, self.read)
        self.start = max(self.start + engine.interval, self.engine.own(fetched + 1))
        # The engine goes on until it has the next word and the last one is still there.
        self.engine.stop(self.start + engine.latency, self.given + 1)
        taken = [self.engine.cycle(self.start + word * geo.F)
                 for word in (max(0, geo.words - 2), geo.words - 1)]
        self.read = taken[1]
        self.fetched = taken[0] if geo.words > 1 else fetched

        end = self.engine.cycle(self.start + engine.latency + (geo.words - 1) * geo.F)
        sums = max(geo.words * geo.K, mixer.fill + 1)
        self.given = max(end, self.given + sums, self.drained)
        self.issued = max(self.fuse.own(self.given + mixer.fill + 1), self.issued + geo.words)
        return self.fuse, self.issued + mixer.fuse.latency

    def accepted(self, first: int) -> None:
        """The step's first result was taken in cycle ``first``."""
        geo, mixer = self.geo, self.part.mixer
        read = self.fuse.cycle(self.issued + geo.words - 1)
        enough = geo.words - mixer.fill - 1
        few_left = self.fuse.cycle(self.issued + enough - 1) if enough > 0 else NEVER
        self.drained = 1 + min(read, max(first, few_left))
        freed = self.fetched
        if self.part.buffer.fused:
            x_taken = mixer.fuse.x_at + self.issued
            if geo.words > 1:
                freed = self.fuse.cycle(x_taken + geo.words - 2)
            else:
                freed = max(freed + 1, self.x_taken)
            self.x_taken = self.fuse.cycle(x_taken + geo.words - 1)
        self.free.append(freed + 1)


class _DecoderTimes:
    """Acceptance of steps, and results."""

    def __init__(self, part: Decoder):
        self.part, self.words = part, part.geo.words
        self.results: list[int] = []
        self.step_end = NEVER

    def ready(self, starts: bool) -> int:
        """Cycle from which the next step's first word is accepted."""
        both_banks = self.results[-2] if starts and len(self.results) > 1 else NEVER
        return max(self.step_end, both_banks)

    def step(self, first: int, last: bool) -> None:
        """A step whose words come from cycle ``first`` on."""
        part = self.part
        self.step_end = first + part.interval
        if last:
            before = self.results[-1] if self.results else NEVER
            begin = max(first + self.words - 1 + part.fill, before + 1)
            self.results.append(begin + part.decode_cycles - 1 + part.drain)


def _results(core: Core, lengths: list[int], firsts: list[int] | None = None) -> list[int]:
    """Cycle of each result; ``firsts`` collects the cycle of each step's first decoder word."""
    encoder, decoder = _EncoderTimes(core.encoder), _DecoderTimes(core.decoder)
    layers = [_LayerTimes(layer) for layer in core.layers]
    for number, length in enumerate(lengths):
        inside = number - core.max_in_flight
        admitted = decoder.results[inside] if inside >= 0 else 0
        for t in range(length):
            clock, own = encoder.step(admitted if t == 0 else 0)
            source = None
            for layer in layers:
                first = clock.stop(own, layer.ready)
                if source is not None:
                    source.accepted(first)
                clock, own = layer.step(first)
                source = layer
            first = clock.stop(own, decoder.ready(t == 0))
            source.accepted(first)
            decoder.step(first, t == length - 1)
            if firsts is not None:
                firsts.append(first)
    return decoder.results


def predict(art: Artifact, hw: HardwareConfig, lengths: list[int]) -> Prediction:
    """Cycles of sequences of ``lengths`` steps, one after the other without a gap.

    Raises ``ValueError`` for a length outside 1..art.length.
    """
    for length in lengths:
        if not 1 <= length <= art.length:
            raise ValueError(f"a sequence has 1..{art.length} steps, not {length}")
    core = Core(art, hw)
    firsts: list[int] = []
    _results(core, [2 * KEPT], firsts)
    return Prediction(_results(core, lengths), sum(lengths),
                      (firsts[-1] - firsts[KEPT - 1]) / KEPT, core.geo.issue)
