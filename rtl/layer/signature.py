"""The signature of a block of steps in hardware: a CRC over what the spikes do not show."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from quant.integer import lfsr
from quant.integer.signature import MASK, SECOND, crc32
from rtl.parts.config import Geometry
from rtl.parts.lfsr import xor_network
from rtl.layer import flow
from rtl.parts.pipeline import Pipeline

BITS = 32
# Rotations of what is shown, see docs/numbers.md: a sampler's p and its words, a membrane, y.
FRONT = {"input": 0, "membrane": 0, "word": 11}
MIDDLE = {"word": 23, "membrane": 23}
Y = 3


def rotl(x: Value, by: int) -> Value:
    """32-bit rotation to the left of ``x``, sign-extended or cut to 32 bits.

    The sign's copies are a constant behind a multiplexer: a simulator would add bit after bit.
    """
    x = Value.cast(x)
    word = Cat(x[:BITS], Const(0, max(0, BITS - len(x)))).rotate_left(by % BITS)
    if x.shape().signed and len(x) < BITS:
        copies = sum(1 << (bit + by) % BITS for bit in range(len(x), BITS))
        word = word ^ Mux(x[-1], Const(copies, BITS), Const(0, BITS))
    return word


def absorb(count: int = 1) -> lfsr.Matrix:
    """What ``count`` words of zeros make of a CRC state: a linear map over GF(2)."""
    columns = [crc32([MASK ^ 1 << j]) for j in range(BITS)]
    one = tuple(sum((column >> i & 1) << j for j, column in enumerate(columns))
                for i in range(BITS))
    out = one
    for _ in range(count - 1):
        out = lfsr.compose(one, out)
    return out


class StepSignature(wiring.Component):
    """CRC-32 over a block of steps, G words per cycle, neuron 0's first.

    Model: :func:`quant.integer.signature.crc32`.

    The words' share is made one cycle ahead, so that the loop is one fixed XOR network.

    Members
    -------
    en : ``In(1)``
        Clock enable of the pipeline that this is part of.
    valid, start : ``In(1)``
        ``words`` count; they are the first ones of a block.
    words : ``In(ArrayLayout(32, G))``
    crc : ``Out(32)``
        CRC of the block up to and with ``words``, one enabled cycle later; holds for that cycle.

    Timing
    ------
    Latency 1 enabled cycle, G words per cycle.

    Resources
    ---------
    66 registers and 32 XOR trees of up to 32 (G + 1) bits.
    """

    latency = 1

    def __init__(self, G: int):
        self.G = G
        super().__init__({"en": In(1), "valid": In(1), "start": In(1),
                          "words": In(data.ArrayLayout(BITS, G)), "crc": Out(BITS)})

    def model(self, words):
        """CRC after each cycle of a block, for words (cycles, G)."""
        return [crc32(words[:j + 1].ravel()) for j in range(len(words))]

    def elaborate(self, platform):
        m = Module()
        share, state = Signal(BITS, reset_less=True), Signal(BITS, reset_less=True)
        valid, start = Signal(), Signal()
        total = 0
        for g in range(self.G):
            total = total ^ xor_network(absorb(self.G - g), self.words[g])
        before = Mux(start, MASK, state)
        m.d.comb += self.crc.eq(xor_network(absorb(self.G), before) ^ share)
        with m.If(self.en):
            m.d.sync += [share.eq(total), valid.eq(self.valid), start.eq(self.start)]
            with m.If(valid):
                m.d.sync += state.eq(self.crc)
        return m


def of_front(spec, chain: flow.Flow, u: flow.Value) -> list[tuple[flow.Value, int]]:
    """What the front adds to a neuron's word, with its rotation; u is what leaves it. What enters a
    part of a layer is shown by whom it comes from."""
    if spec.cut.i != "x":
        return []
    if spec.cut.front and spec.cut.front[-1].op.states:
        return [(value, FRONT[kind]) for value, kind in chain.shown]
    return [(u, FRONT["input"])]


def of_middle(spec, chain: flow.Flow,
              values: dict[str, flow.Value]) -> list[tuple[flow.Value, int]]:
    """The same of the middle: y, and what its memory shows."""
    found = [(values["y"], Y)] if "y" in values else []
    return found + [(value, MIDDLE[kind]) for value, kind in chain.shown if kind in MIDDLE]


class NeuronWords:
    """Registers along a pipeline: :func:`quant.integer.reference.word_of` of G neurons.

    Call the methods in their order. ``time`` is the words' cycle after their transfer; slots : what
    is where at each time, see :class:`rtl.layer.scheduler.Scheduler`.
    """

    def __init__(self, pipe: Pipeline, geo: Geometry, time: int, slots: list):
        self.pipe, self.geo, self.time, self.slots = pipe, geo, time, slots
        self.words = [Const(0, BITS)] * geo.G

    def add(self, values: list[tuple[flow.Value, int]], head=None) -> None:
        """Values that are there now, or will be; those before ``head`` count with it alone."""
        for value, by in sorted(values, key=lambda pair: pair[0].time):
            self.wait(max(self.time, value.time))
            for j, bits in enumerate(value.bits):
                step, g = divmod(j, self.geo.G)
                bits = self.pipe.delay(bits, self.time - value.time, f"shown{by}_{j}")
                term, counts = rotl(bits, by + SECOND * step), head
                if step:        # nothing of a step that is missing
                    there = ~self.slots[self.time].half
                    counts = there if head is None else head & there
                self.words[g] = self.words[g] ^ (term if counts is None else Mux(counts, term, 0))

    def wait(self, time: int) -> None:
        """Until a time."""
        if not all(isinstance(word, Const) for word in self.words):
            self.words = [self.pipe.delay(word, time - self.time, f"word{g}")
                          for g, word in enumerate(self.words)]
        self.time = time

    def add_states(self, r_round, states, time: int) -> None:
        """Rounding words of the cycle's G M modes, now, and their new states at a time."""
        for g in range(self.geo.G if r_round is not None else 0):
            for k in range(self.geo.M):
                self.words[g] = self.words[g] ^ rotl(r_round[g * self.geo.M + k], 5 * k + 9)
        self.wait(time)
        for j, h in enumerate(states):
            g, k = divmod(j, self.geo.M)
            self.words[g] = self.words[g] ^ rotl(h.h_re, 5 * k + 1) ^ rotl(h.h_im, 5 * k + 17)

    def turned(self, by: int, flag) -> None:
        """Rotated where a flag is 0."""
        self.words = [Mux(flag, word, rotl(word, by)) for word in self.words]

    def over_cycles(self, time: int, head) -> None:
        """Sum over a word's cycles, from its ``head`` at a time on.

        A cycle's modes are rotated by 5 M more than those of the cycle before. Rotating what there
        is back by 5 M, and the whole forth at the end, needs no shifter.
        """
        self.wait(time)
        turn = 5 * self.geo.M
        for g, word in enumerate(self.words):
            kept = Signal(BITS, name=f"word{g}_kept", reset_less=True)
            with self.pipe.m.If(self.pipe.en):
                self.pipe.m.d.sync += kept.eq(Mux(head, 0, rotl(kept, -turn)) ^ word)
            self.words[g] = rotl(kept, turn * (self.geo.F - 1))
        self.time += 1

    def finish(self, time: int) -> list:
        """The words at a time, from registers."""
        self.wait(time)
        return self.words
