"""What every kind of mixer is outside: its ports, the fuse behind it, and its timing."""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.layer import columns, fuse
from rtl.layer.fuse import Fuse
from rtl.parts.streams import ConfigBus, x_word
from rtl.spec import LayerSpec, Timing


@dataclass(frozen=True)
class MixerTiming(Timing):
    """Cycles of a mixer.

    latency : from the transfer of a block's last word to the first word on ``o``; interval : least
    cycles from one block's last word to the next one's, when ``o`` never stalls.
    """

    word: int       # from one word of spikes to the next
    begin: int      # from the transfer of a block's last word to the sending of the first sums
    behind: int     # words of sums between the sending and the fuse, at most
    again: int      # from a word's transfer to the fuse to the sending that waits for room
    together: int   # words that are sent with the first one, before it can go on
    delay: int      # from the sending to the queue

    def sent(self, given: int, word: int, taken: Callable[[int], int]) -> int:
        """When a word of sums is sent.

        given : the transfer of the block's last word; taken : when the fuse took a word of the
        block, below 0 one of those before.
        """
        return max(given + self.begin + word, taken(word - self.behind) + self.again)

    def drained(self, given: int, words: int, taken: Callable[[int], int]) -> int:
        """From when on the next block's last word may be taken."""
        raise NotImplementedError

    def queued(self, given: int, taken: Callable[[int], int]) -> int:
        """When a block's first word enters the queue."""
        return self.sent(given, self.together, taken) + self.delay


class Mixing(wiring.Component):
    """Spikes or values in, the next layer's input out.

    Parameters
    ----------
    spec : LayerSpec
    timing : MixerTiming

    Members
    -------
    i : ``In(stream.Signature(mixer_word(spec)))``
    x : ``In(stream.Signature(x_word(x_format, geo)))``
        This layer's input again; only where it is added.
    o : ``Out(stream.Signature(x_word(x_format, geo)))``
    count : ``Out(StructLayout({"valid": 1, "value": 32}))``
        Saturated elements of a sequence, one pulse after its last word; only where they saturate.
    cfg : ``In(ConfigBus())``

    Timing
    ------
    ``latency`` cycles from the transfer of a block's last word to the first word on ``o``, then a
    word per cycle; ``interval`` is the least number of cycles per block of steps.
    """

    def __init__(self, spec: LayerSpec, timing: MixerTiming):
        self.spec, self.geo = spec, spec.geo
        self.totals = fuse.totals(spec)     # of each mixer, by what is made of them
        self.fuse = Fuse(spec)
        self.latency, self.interval = timing.latency, timing.interval
        members = {"i": In(stream.Signature(columns.mixer_word(spec))),
                   "o": Out(stream.Signature(x_word(spec.x_format, spec.geo))),
                   "cfg": In(ConfigBus())}
        for name in ("x", "count"):
            if name in self.fuse.signature.members:
                members[name] = self.fuse.signature.members[name]
        super().__init__(members)

    def model(self, values: dict, x):
        """(x_next (H,), saturated elements) from what the mixers read (H,) in a step, and x."""
        return self.fuse.model(values, x)

    def add_fuse(self, m: Module) -> None:
        """The fuse, and all ports but ``i``."""
        m.submodules.fuse = self.fuse
        wiring.connect(m, wiring.flipped(self.cfg), self.fuse.cfg)
        wiring.connect(m, self.fuse.o, wiring.flipped(self.o))
        if "x" in self.signature.members:
            wiring.connect(m, wiring.flipped(self.x), self.fuse.x)
        if "count" in self.signature.members:
            m.d.comb += self.count.eq(self.fuse.count)
