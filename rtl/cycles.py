"""Predicted clock cycles of a core, from its parts' timing in the plan.

Timing depends on shapes and lengths alone, never on spikes. :mod:`rtl.step_times` has the
recurrences; here they are followed until they repeat, and what repeats is counted.
"""

from dataclasses import dataclass

from quant.integer.artifact import Artifact
from rtl.folded.pass_times import PassTimes
from rtl.folded.times import RingTimes
from rtl.layer.layer import MOST_TOKENS
from rtl.parts.config import HardwareConfig, HardwareError
from rtl.plan import Plan, plan
from rtl.step_times import KEPT, DecoderTimes, EncoderTimes, LayerTimes


@dataclass(frozen=True)
class Prediction:
    """Cycles of a run in which samples are always offered and results always taken."""

    results: list[int]      # cycles from the first sample's transfer to each result's transfer
    steps: int              # time steps of all sequences
    cycles_per_step: float  # in steady state
    roofline: int | float   # least cycles of a step's state updates, H n / (lanes P)

    @property
    def cycles(self) -> int:
        """Cycles from the first sample's transfer to the last result's transfer."""
        return self.results[-1]

    @property
    def utilisation(self) -> float:
        """Share of the multipliers' cycles that are used in steady state."""
        return self.roofline / self.cycles_per_step


class Run:
    """A core that is fed sequences without a gap.

    The state of all parts, seen from the moment of the last step, decides everything that follows.
    Inside a sequence it soon repeats: the steps up to the last one are then skipped. The outcome of
    a sequence is kept for every state it can begin in.
    """

    period = 4      # a block's state is compared with those of the last so many blocks

    def __init__(self, planned: Plan):
        self.geo, timing, words = planned.geo, planned.timing, planned.geo.words
        self.encoder = EncoderTimes(timing.encoder, words)
        self.layers = [LayerTimes(found, spec)
                       for found, spec in zip(timing.layers, planned.layers)]
        self.decoder = DecoderTimes(timing.decoder, words, planned.max_in_flight)
        self.parts = [self.encoder, self.encoder.source, *self.layers,
                      *(layer.source for layer in self.layers), self.decoder]
        # Nothing waits longer than for a step through every part and every buffer full, or for the
        # results of all sequences inside.
        through = sum(layer.latency + (layer.banks + 2) * layer.interval
                      for layer in timing.layers)
        self.horizon = 2 * (timing.encoder.latency + through + planned.max_in_flight *
                            (timing.decoder.latency + timing.decoder.interval))
        self.base = 0           # cycle of the last step's first word at the decoder
        self._known = {}        # (state, length) -> state after the sequence, base and result

    def _view(self) -> tuple:
        return tuple(part.view(self.base, self.horizon) for part in self.parts)

    def _restore(self, view: tuple, base: int) -> None:
        self.base = base
        for part, seen in zip(self.parts, view):
            part.restore(seen, base)

    def step(self, starts: bool, last: bool, half: bool = False) -> None:
        """One block of steps of the sequence that is fed, its first or last one or between."""
        part = self.encoder
        own = part.step(max(0, self.decoder.admits) if starts else 0, self.geo.P - half)
        for layer in self.layers:
            first = part.source.give(own, layer.ready)
            part.accepted_by_next(first)
            part, own = layer, layer.step(first)
        self.base = part.source.give(own, self.decoder.ready(starts))
        part.accepted_by_next(self.base)
        self.decoder.step(self.base, last)

    def sequence(self, length: int) -> int:
        """Feed a sequence; returns the cycle of its result."""
        base, begin = self.base, (self._view(), length)
        if begin in self._known:
            view, later, result = self._known[begin]
            self._restore(view, base + later)
            return base + result
        self._follow(length)
        result = self.decoder.results[-1]
        self._known[begin] = self._view(), self.base - base, result - base
        return result

    def results(self, lengths: list[int]) -> list[int]:
        """Feed sequences; returns the cycle of each one's result."""
        return [self.sequence(length) for length in lengths]

    def steady(self) -> float:
        """Cycles per step in the middle of a long sequence, of a core that was not fed before."""
        firsts = []
        for t in range(2 * KEPT):
            self.step(t == 0, False)
            firsts.append(self.base)
        return (firsts[-1] - firsts[KEPT - 1]) / KEPT / self.geo.P

    def _follow(self, length: int) -> None:
        """Every block of a sequence, but for those in the middle that repeat what is known."""
        blocks, half = self.geo.blocks(length), length % self.geo.P
        seen, t = [], 0
        while t < blocks:
            last = t == blocks - 1
            self.step(t == 0, last, last and half)
            t += 1
            view = self._view()
            for back, (old, base) in enumerate(reversed(seen), 1):
                repeats = (blocks - 1 - t) // back
                if old == view and repeats > 0:
                    self._restore(view, self.base + repeats * (self.base - base))
                    t, seen = t + repeats * back, []
                    break
            seen = [*seen, (view, self.base)][-self.period:]


class RingRun(Run):
    """The same of layers that share their hardware; ``base``: the last step's first word goes in.

    Results come while later sequences are fed.
    """

    period = 2 * MOST_TOKENS

    def __init__(self, planned: Plan):
        super().__init__(planned)
        timing, spec = planned.timing, planned.layers[0]
        self.ring = RingTimes(self.encoder, timing.layers[0], spec, self.decoder)
        self.parts = self.ring.parts
        self.horizon *= timing.layers[0].tokens + 1

    def step(self, starts: bool, last: bool, half: bool = False) -> None:
        own = self.encoder.step(self.ring.admitted(starts), self.geo.P - half)
        self.base = self.ring.enter(own, starts, last)
        self.encoder.accepted_by_next(self.base)

    def sequence(self, length: int) -> list[int]:
        """Feed a sequence; returns the cycles of the results that come meanwhile."""
        base, begin = self.base, (self._view(), length)
        if begin in self._known:
            view, later, results = self._known[begin]
            self._restore(view, base + later)
            return [base + result for result in results]
        self._follow(length)
        results = self.ring.taken()
        self._known[begin] = (self._view(), self.base - base, [at - base for at in results])
        return results

    def steady(self) -> float:
        """They go in in groups: from one state of all parts to the same one."""
        seen = {}
        for t in range(KEPT * KEPT):
            self.step(t == 0, False)
            view = self._view()
            if view in seen:
                before, base = seen[view]
                return (self.base - base) / (t - before) / self.geo.P
            seen[view] = t, self.base
        raise AssertionError("the ring does not come to a steady state")

    def results(self, lengths: list[int]) -> list[int]:
        found = [result for length in lengths for result in self.sequence(length)]
        self.ring.finish()
        return found + self.ring.taken()


class PassRun(Run):
    """The same of layers that a sequence goes through as a whole; ``base``: its last step came."""

    def __init__(self, planned: Plan):
        super().__init__(planned)
        self.passes = PassTimes(self.encoder, planned.timing.layers[0], planned.layers[0],
                                self.decoder)
        self.parts, self.longest = self.passes.parts, planned.longest
        timing = planned.timing.layers[0]
        self.horizon += 2 * self.longest * (planned.geo.words + timing.interval)

    def _follow(self, length: int) -> None:
        for t in range(length):
            own = self.encoder.step(max(0, self.decoder.admits) if t == 0 else 0)
            self.base = self.passes.enter(own, t)
        self.passes.through(self.base, length)

    def steady(self) -> float:
        """From result to result of the longest sequences."""
        results = self.results([self.longest] * 4)
        return (results[3] - results[2]) / self.longest


def run_of(planned: Plan) -> Run:
    """A core that is fed."""
    if planned.layers[0].cut.future:
        return PassRun(planned)
    return RingRun(planned) if planned.layers[0].cuts else Run(planned)


def cycles_per_step(planned: Plan) -> float:
    """In the middle of a long sequence, on average."""
    return run_of(planned).steady()


def predict(art: Artifact, hw: HardwareConfig, lengths: list[int]) -> Prediction:
    """Cycles of sequences of ``lengths`` steps, one after the other without a gap.

    Raises ``ValueError`` for a length outside 1..art.length, :class:`HardwareError` for one that
    this core alone is too small for.
    """
    planned = plan(art, hw)
    for length in lengths:
        if not 1 <= length <= art.length:
            raise ValueError(f"a sequence has 1..{art.length} steps, not {length}")
        if length > planned.longest:
            raise HardwareError(f"a sequence has {length} steps, but the core keeps up to "
                                f"{planned.longest}: build it with --longest {length}, or without "
                                f"--longest")
    return Prediction(run_of(planned).results(lengths), sum(lengths), cycles_per_step(planned),
                      planned.roofline)
