"""The core in Amaranth's own simulator: slow, and needs no compiler. For mutants and debugging."""

from dataclasses import dataclass
from random import Random

import numpy as np
from amaranth import Cat
from amaranth.hdl import Fragment
from amaranth.sim import Simulator

from sim.compare import Result, Rows, block_starts
from sim.ports import at_once


@dataclass(frozen=True)
class Observed:
    """What a run did, sequence by sequence; methods as of :class:`sim.native.native.Run`."""

    lengths: list[int]
    layers: list[Rows]
    results: list[Result]
    cycles: list[int]           # from the first sample's transfer to each result's

    def rows(self, position: int) -> list[Rows]:
        starts = block_starts(self.lengths, self.layers[0].P)
        return [layer.part(*starts[position:position + 2]) for layer in self.layers]

    def result(self, position: int) -> Result | None:
        return self.results[position] if position < len(self.results) else None

    def surplus(self) -> tuple[list[int], int]:
        P = self.layers[0].P
        total = block_starts(self.lengths, P)[-1]
        return ([P * max(0, len(layer) - total) for layer in self.layers],
                max(0, len(self.results) - len(self.lengths)))


def run(core, sequences: list[np.ndarray], limit: int, writes=(), stall: float = 0.0,
        seed: int = 1, fragment: Fragment | None = None, apart=at_once) -> Observed:
    """Run sequences back to back for at most ``limit`` cycles, or until 16 after the last result.

    Parameters
    ----------
    core : rtl.core.Core
        Anything with ``art``, ``geo`` and the core's ports.
    stall : float
        Probability of a stall per cycle at the input and at the output.
    fragment : Fragment or None
        Elaborated ``core``, where the caller has changed it.
    apart : callable
        Cycles from one of the ``writes`` to the next, by its address.
    """
    source, sink = Random(2 * seed), Random(2 * seed + 1)
    taps = [getattr(core, f"tap{j}") for j in range(len(core.art.blocks))]
    widths = [len(tap.as_value()) for tap in taps]
    words, results, stamps, first = [[] for _ in taps], [], [], []

    async def feed(ctx):
        for address, value in writes:
            ctx.set(core.cfg, {"en": 1, "addr": address, "data": value})
            await ctx.tick()
            ctx.set(core.cfg.en, 0)
            for _ in range(apart(address) - 1):
                await ctx.tick()
        for values in sequences:
            for t, value in enumerate(values):
                while stall and source.random() < stall:
                    await ctx.tick()
                ctx.set(core.i.payload, {"value": int(value), "last": t == len(values) - 1})
                ctx.set(core.i.valid, 1)
                await ctx.tick().until(core.i.ready)
                ctx.set(core.i.valid, 0)

    async def watch(ctx):
        left = 16
        for cycle in range(limit):
            ctx.set(core.o.ready, int(not stall or sink.random() >= stall))
            *_, taken, given, payload, seen = await ctx.tick().sample(
                core.i.valid & core.i.ready, core.o.valid & core.o.ready, core.o.payload,
                Cat(tap.as_value() for tap in taps))
            if taken and not first:
                first.append(cycle)
            for layer, width in zip(words, widths):
                word, seen = seen & (1 << width) - 1, seen >> width
                if word & 1:
                    layer.append(word)
            if given:
                stamps.append(cycle - first[0])
                results.append(Result(int(payload.label), np.array(
                    [int(payload.logits[c]) for c in range(core.art.outputs)]), np.array(
                    [int(payload.saturations[j]) for j in range(len(taps) + 1)])))
            if len(results) >= len(sequences):
                left -= 1
                if not left:
                    return

    simulator = Simulator(fragment or core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(feed, background=True)
    simulator.add_testbench(watch)
    simulator.run()
    layers = [steps_of(layer, tap.shape(), core.geo) for layer, tap in zip(words, taps)]
    return Observed([len(v) for v in sequences], layers, results, stamps)


def steps_of(words: list[int], layout, geo) -> Rows:
    """Committed words of one layer, as bits of ``layout``, grouped to blocks of time steps."""
    def cut(word, name):
        field = layout[name]
        return word >> field.offset & (1 << field.width) - 1

    steps, part = [], []
    for word in words:
        part.append(word)
        if cut(word, "end") or len(part) == geo.words:
            steps.append(part)
            part = []
    steps += [part] if part else []

    def spikes(kind):
        """(steps, H): bits, or -1, 0 and 1; (steps, 0) where the tap has none."""
        if kind not in layout.members:
            return np.zeros((len(steps) * geo.P, 0), np.int8)
        bits = layout[kind].width // geo.values
        out = np.zeros((len(steps), geo.words, geo.values), np.int8)
        for t, step in enumerate(steps):
            for w, word in enumerate(step):
                raws = [cut(word, kind) >> j * bits & (1 << bits) - 1 for j in range(geo.values)]
                out[t, w] = [raw - (raw >> 1 << 2) if bits > 1 else raw for raw in raws]
        return out.reshape(-1, geo.words, geo.P, geo.G).swapaxes(1, 2).reshape(-1, geo.H)

    def last(kind, dtype):
        return np.array([cut(step[-1], kind) for step in steps], dtype)

    return Rows(spikes("s_in"), spikes("s_out"), last("signature", np.uint32),
                np.array([len(step) for step in steps], np.int64), last("end", np.uint8), geo.P)
