"""When a core's parts do what, step by step: recurrences over whole blocks of time steps.

No timing depends on data and nothing waits in the middle of a block, so maxima and sums over blocks
give the exact cycle of everything. A block is what a word has of a neuron, one step or two, and is
called a step here. Cycle 0 is the first sample's.
"""

from collections import deque

from rtl.decoder import DRAIN, FILL, DecoderTiming
from rtl.layer.layer import LayerTiming
from rtl.layer.mixer import BEHIND
from rtl.layer.ternary import BANKS
from rtl.parts.queue import Queue
from rtl.spec import LayerSpec, Timing
from rtl.layer.x_buffer import XBuffer

NEVER = -1 << 60    # a time that holds nothing up
KEPT = 64           # stops that a clock remembers: more than lie between two of its questions


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
        """The first own time that ends in ``cycle`` or later.

        Before the last ``KEPT`` stops it is that of the first of them, which is too late, but long
        past for whoever asks: the only far question is about a result of many sequences ago.
        """
        first = None
        for at, lost in reversed(self._stops):
            if first is not None and at + lost < cycle:
                return min(first, cycle - lost)
            first = at if first is None else min(first, at)
            if at + lost < cycle:
                return cycle - lost
        return first

    def stop(self, own: int, until: int) -> int:
        """Own time ``own`` ends in cycle ``until`` or later; returns when."""
        end = self.cycle(own)
        if until > end:
            self._stops.append((own, self._stops[-1][1] + until - end))
        return max(end, until)

    @property
    def lost(self) -> int:
        """Cycles lost so far."""
        return self._stops[-1][1]

    def view(self, base: int, horizon: int) -> tuple:
        """Its stops, seen from cycle ``base``, those before the horizon as one."""
        shift = self.lost - base
        seen = [(at + shift, lost - self.lost) for at, lost in self._stops]
        new = [stop for stop in seen if stop[0] > -horizon]
        old = [(-2 * horizon, lost) for _, lost in seen[:len(seen) - len(new)][-1:]]
        return tuple(old + new)

    def restore(self, view: tuple, base: int) -> None:
        """The clock that looks like ``view`` from cycle ``base``; its own time starts anew."""
        self._stops = deque(((at + base, lost) for at, lost in view), KEPT)


class Times:
    """Moments that parts remember: read and written relative to a cycle.

    A subclass names its attributes: ``CYCLES``, and ``OWN`` on which of its clocks. Moments before
    the horizon hold nothing up any more, so they are all alike.
    """

    CYCLES: tuple[str, ...] = ()
    OWN: dict[str, tuple[str, ...]] = {}

    def view(self, base: int, horizon: int) -> tuple:
        """Everything that the following steps depend on, seen from cycle ``base``."""
        seen = [max(getattr(self, name) - base, -horizon) for name in self.CYCLES]
        for clock, names in self.OWN.items():
            clock = getattr(self, clock)
            seen.append(clock.view(base, horizon))
            seen += [max(getattr(self, name) + clock.lost - base, -horizon) for name in names]
        return tuple(seen)

    def restore(self, view: tuple, base: int) -> None:
        """Take the moments of ``view``, seen from cycle ``base``."""
        view = iter(view)
        for name in self.CYCLES:
            setattr(self, name, next(view) + base)
        for clock, names in self.OWN.items():
            getattr(self, clock).restore(next(view), base)
            for name in names:
                setattr(self, name, next(view) + base)


class Source(Times):
    """A pipeline that gives steps of words, with room for one word behind a stalled output."""

    CYCLES, OWN = ("first",), {"clock": ()}

    def __init__(self, words: int):
        self.words, self.clock = words, StoppingClock()
        self.first = NEVER      # when the last step's first word was taken

    def give(self, own: int, ready: int) -> int:
        """A step's first word comes at own time ``own``, is accepted from cycle ``ready`` on.

        The consumer then takes the rest without a pause. Returns the cycle of the first transfer.
        """
        if self.words == 1:
            self.clock.stop(own, self.first + 1)    # behind the word that is still there
        self.first = max(self.clock.cycle(own), ready)
        if self.words > 1:
            self.clock.stop(own + 1, self.first + 1)
        return self.first


class EncoderTimes(Times):
    """Collector and encoder: first words of the samples, on the encoder's clock."""

    OWN = {"clock": ("accepted",)}

    def __init__(self, timing: Timing, words: int):
        self.timing, self.source = timing, Source(words)
        self.clock = self.source.clock
        self.accepted = -timing.interval      # the first sample is taken in cycle 0

    def step(self, admitted: int, samples: int = 1) -> int:
        """Take samples in cycle ``admitted`` or later; returns their first word's own time.

        The first one is taken while those before are encoded, the last one with the word.
        """
        came = max(admitted, self.clock.cycle(self.accepted) + 1) + samples - 1
        self.accepted = max(self.accepted + self.timing.interval, self.clock.own(came))
        return self.accepted + self.timing.latency

    def accepted_by_next(self, first: int) -> None:
        """Nothing depends on it."""


class LayerTimes(Times):
    """Input buffer, engine, threshold, mixer and fuse: what the last step left behind, ``free``."""

    CYCLES = ("read", "left", "given", "drained", "fetched")
    OWN = {"engine": ("start",), "fuse": ("issued",)}

    def __init__(self, timing: LayerTiming, spec: LayerSpec):
        self.timing, self.geo, self.fused = timing, spec.geo, spec.fused
        self.engine, self.source = StoppingClock(), Source(self.geo.words)
        self.fuse = self.source.clock
        self.free = deque([NEVER] * timing.banks, timing.banks)     # per bank, oldest first
        self.start = self.read = NEVER      # of the engine, own time; cycle of its last read
        self.left = NEVER                   # the step's last word left the engine
        self.given = NEVER                  # the mixer took it
        self.emptied = deque([NEVER] * BANKS, BANKS)    # the banks of a threshold, oldest first
        self.drained = NEVER                # may the mixer take another step's last word
        self.issued = NEVER                 # fuse takes its first sums, on its clock
        self.taken = deque([NEVER] * BEHIND, BEHIND)    # it took the last words, oldest first
        self.fetched = NEVER                # the buffer's last word left for o

    QUEUES = ("free", "taken", "emptied")

    def view(self, base: int, horizon: int) -> tuple:
        return super().view(base, horizon), *(tuple(max(at - base, -horizon)
                                                    for at in getattr(self, name))
                                              for name in self.QUEUES)

    def restore(self, view: tuple, base: int) -> None:
        super().restore(view[0], base)
        for name, seen in zip(self.QUEUES, view[1:]):
            getattr(self, name).extend(at + base for at in seen)

    @property
    def ready(self) -> int:
        """Cycle from which the next step's first word is accepted."""
        return self.free[0]

    def step(self, first: int) -> int:
        """A step whose words come from cycle ``first`` on; returns its first result's own time."""
        geo, engine = self.geo, self.timing.engine
        complete = first + geo.words - 1
        fetched = max(complete + XBuffer.latency - 1, self.read)
        self.start = max(self.start + engine.interval, self.engine.own(fetched + 1))
        # The engine goes on until it has the next word and the last one is still there.
        self.engine.stop(self.start + engine.latency, self.left + 1)
        if self.timing.ternary:
            self._limited()
        else:
            self._direct()
        taken = [self.engine.cycle(self.start + word * geo.F)
                 for word in (max(0, geo.words - 2), geo.words - 1)]
        self.read = taken[1]
        self.fetched = taken[0] if geo.words > 1 else fetched
        queued = max(self.given + self.timing.mixer.fill, self.taken[0]) + 1
        self.issued = max(self.fuse.own(queued + Queue.latency), self.issued + geo.words)
        return self.issued + self.timing.fuse

    def _last(self) -> int:
        """The cycle in which the engine has the step's last word."""
        return self.engine.cycle(self.start + self.timing.engine.latency
                                 + (self.geo.words - 1) * self.geo.F)

    def _direct(self) -> None:
        """The mixer takes the words from the engine."""
        self.left = self.given = max(self._last(), self.given + self.geo.words * self.geo.K,
                                     self.drained)

    def _limited(self) -> None:
        """A threshold takes the words, and offers them when all of the step are there."""
        geo, own = self.geo, self.start + self.timing.engine.latency
        first = max(self.engine.cycle(own), self.emptied[0])
        if geo.words > 1:       # the second word comes behind the first
            self.engine.stop(own + geo.F, first + 1)
        self.left = first if geo.words == 1 else self._last()
        begin = max(self.left + self.timing.ternary.latency, self.given + geo.K)
        self.given = max(begin + (geo.words - 1) * geo.K, self.drained)
        self.emptied.append(self.given + 1)

    def accepted_by_next(self, first: int) -> None:
        """The step's first result was taken in cycle ``first``."""
        words, fill = self.geo.words, self.timing.mixer.fill
        loaded, before = self.given + fill + 1, list(self.taken)

        def taken(word: int) -> int:
            """Fuse takes a word of the step, or of those before."""
            return before[word] if word < 0 else self.fuse.cycle(self.issued + word)

        def sent(word: int) -> int:
            """It leaves `out` for the queue."""
            return max(loaded + word, taken(word - BEHIND) + 1)

        self.drained = max(loaded + 1, taken(words - 1 - BEHIND) + 3)
        if words > fill + 1:
            self.drained = max(self.drained, sent(words - fill - 2) + 1)
        freed = self.fetched
        if self.fused:
            freed = taken(words - 2) if words > 1 else max(freed + 1, before[-1])
        self.free.append(freed + 1)
        self.taken.extend(taken(word) for word in range(max(0, words - BEHIND), words))


class DecoderTimes(Times):
    """Acceptance of steps, and results: those that something still waits for."""

    CYCLES = ("step_end",)

    def __init__(self, timing: DecoderTiming, words: int, inside: int):
        self.timing, self.words = timing, words
        self.results = deque([NEVER] * inside, inside)      # oldest first
        self.step_end = NEVER

    def view(self, base: int, horizon: int) -> tuple:
        return super().view(base, horizon), tuple(max(at - base, -horizon) for at in self.results)

    def restore(self, view: tuple, base: int) -> None:
        super().restore(view[0], base)
        self.results.extend(at + base for at in view[1])

    @property
    def admits(self) -> int:
        """Cycle from which the next sequence's first sample is taken."""
        return self.results[0]

    def ready(self, starts: bool) -> int:
        """Cycle from which the next step's first word is accepted; both banks must not be taken."""
        return max(self.step_end, self.results[-2] if starts else NEVER)

    def step(self, first: int, last: bool) -> None:
        """A step whose words come from cycle ``first`` on."""
        self.step_end = first + self.timing.interval
        if last:
            begin = max(first + self.words - 1 + FILL, self.results[-1] + 1)
            self.results.append(begin + self.timing.decode_cycles - 1 + DRAIN)
