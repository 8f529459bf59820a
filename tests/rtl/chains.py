"""A chain alone in a pipeline: its host, words with gaps, an enable that is held back."""

from types import SimpleNamespace

import numpy as np
from amaranth import Module, Signal
from amaranth.lib import data
from amaranth.sim import Simulator

from quant.formats import RandomFormat
from quant.integer.memory import Draws
from quant.integer.operation import wired
from quant.integer.ops import Limit
from rtl.cut import Wired
from rtl.layer.chain import Chain
from rtl.layer.flow import Flow, of
from rtl.parts.config import Geometry, HardwareConfig
from rtl.parts.memory import place
from rtl.parts.pipeline import Pipeline

START = 3       # enabled cycles from a word to the chain's first cell
SEED = 4711


class Host:
    """The words that go along with the values, as :class:`rtl.layer.flow.Flow` says."""

    def __init__(self, m: Module, pipe: Pipeline, spec, slot):
        self.m, self.pipe, self.spec, self.slots = m, pipe, spec, [slot]

    def memory(self, name, part):
        self.m.submodules[name] = part

    def slot(self, time):
        while len(self.slots) <= time:
            slot = Signal.like(self.slots[-1], name=f"slot{len(self.slots)}")
            with self.m.If(self.pipe.en):
                self.m.d.sync += slot.eq(self.slots[-1])
            self.slots.append(slot)
        return self.slots[time]


def spec_of(H: int, G: int, random=RandomFormat(), P: int = 1) -> SimpleNamespace:
    """What cells read of a layer; its neurons have one mode."""
    return SimpleNamespace(geo=Geometry(H, 1, G, P), hw=HardwareConfig(G), number=0, random=random,
                           seed=SEED, regions={})


def chain_of(ops, formats: dict, spec, start: int = START) -> Chain:
    """The chain of some operations behind values of formats, its memories placed."""
    wires = [Wired(op, inputs, op.format(*inputs)) for op, inputs in wired(tuple(ops), formats)[0]]
    chain = Chain(spec, "t", tuple(wires), {name: of(fmt, start) for name, fmt in formats.items()},
                  start, "row")
    spec.regions = {region.name: region for region in place(chain.regions())}
    return chain


def reference(ops, formats: dict, spec, values: dict, lengths) -> tuple[dict, int]:
    """By name what the operations make of values (steps, H), and what saturates in the stream."""
    found, over = {name: [] for name in [*values, *(op.makes for op in ops)]}, 0
    wires, at = wired(tuple(ops), formats)[0], 0
    for length in lengths:
        draws = Draws(spec.random, spec.seed, spec.geo.H, 1, length, block=spec.geo.P)
        calls = [op.begin(inputs, draws) if op.states else lambda *raws, op=op, inputs=inputs:
                 op.apply(inputs, *raws) for op, inputs in wires]
        for t in range(at, at + length):
            now = {name: np.asarray(raw)[t] for name, raw in values.items()}
            for op, call in zip(ops, calls):
                made = call(*(now[name] for name in op.reads))
                if isinstance(op, Limit):
                    over += int(made[1].sum()) * (op.counted and op.makes == "x")
                    made = made[0]
                now[op.makes] = np.broadcast_to(made, spec.geo.H)
            for name in now:
                found[name].append(now[name])
        at += length
    return {name: np.array(rows) for name, rows in found.items()}, over


def run(chain: Chain, values: dict, lengths, held: float = 0.0, seed: int = 0):
    """By name what comes for values (steps, H) of sequences, and what saturates in the stream.

    A block's words follow each other, and blocks as soon as ``loop`` allows.
    """
    spec, geo, m, en = chain.spec, chain.spec.geo, Module(), Signal()
    slot = Signal(data.StructLayout({"valid": 1, "first": 1, "last": 1, "half": 1, "start": 1,
                                     "end": 1, "word": range(max(2, geo.words))}), name="slot0")
    pipe, ports = Pipeline(m, en), {}
    host = Host(m, pipe, spec, slot)
    for name, value in chain.inputs.items():
        ports[name] = [Signal(value.shape, name=f"{name}_{g}") for g in range(geo.values)]
    made, flow = chain.build(host, {name: [pipe.delay(bits, value.time, f"d_{name}{g}")
                                           for g, bits in enumerate(ports[name])]
                                    for name, value in chain.inputs.items()})
    for name, value in made.items():
        assert value.time == chain.values[name].time, f"{name}: the schedule without hardware"
    assert flow.loop == chain.flow.loop
    made = {name: flow.plain(value) for name, value in made.items()}
    looks = {name: (host.slot(value.time), value.bits) for name, value in made.items()}
    overs = [(host.slot(value.time), value.bits) for value in flow.stream_over]
    plan, t, P = [], 0, geo.P
    for length in lengths:
        for k in range(0, length, P):
            steps = min(P, length - k)
            plan += [{"valid": 1, "first": int(k == 0), "last": int(k + P >= length),
                      "half": int(steps < P), "start": int(w == 0), "end": int(w == geo.words - 1),
                      "word": w, "t": range(t, t + steps)} for w in range(geo.words)]
            plan += [None] * max(0, flow.loop - geo.words)
            t += steps
    plan += [None] * (max(len(host.slots), 1) + 1)
    got, over, rng = {name: [] for name in made}, [0], np.random.default_rng(seed)

    async def bench(ctx):
        sampled = [*((s, *bits) for s, bits in [*looks.values(), *overs])]
        for entry in plan:
            ctx.set(slot, {name: raw for name, raw in (entry or {"valid": 0}).items()
                           if name != "t"})
            if entry:
                for name, bits in ports.items():
                    at = entry["word"] * geo.G
                    raws = np.asarray(values[name])[entry["t"], at:at + geo.G].ravel()
                    for to, raw in zip(bits, raws):
                        ctx.set(to, int(raw))
            while rng.random() < held:
                ctx.set(en, 0)
                await ctx.tick()
            ctx.set(en, 1)
            for name, (valid, *bits) in zip(made, sampled):
                if ctx.get(valid.valid):
                    got[name].append([ctx.get(bit) for bit in bits])
            for valid, *bits in sampled[len(made):]:
                there = bits[:geo.G] if ctx.get(valid.half) else bits
                over[0] += ctx.get(valid.valid) * sum(ctx.get(bit) for bit in there)
            await ctx.tick()

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    there = np.concatenate([np.arange(-(-length // P) * P) < length for length in lengths])
    return {name: np.array(rows).reshape(-1, geo.words, P, geo.G).swapaxes(1, 2)
            .reshape(-1, geo.H)[there] for name, rows in got.items()}, over[0]


def check(ops, formats: dict, values: dict, lengths=None, H: int = 4, G: int = 2,
          held: float = 0.3, random=RandomFormat(), P: int = 1) -> Chain:
    """A chain equals the operations, inside the ranges that it states."""
    spec = spec_of(H, G, random, P)
    chain = chain_of(ops, formats, spec)
    lengths = lengths or [len(next(iter(values.values())))]
    want, stream_over = reference(ops, formats, spec, values, lengths)
    got, over = run(chain, values, lengths, held)
    for name, rows in want.items():
        np.testing.assert_array_equal(got[name], rows, name)
        value = Flow(spec).plain(chain.values[name])
        assert value.lo <= rows.min() and rows.max() <= value.hi, f"{name}: {value}"
    assert over == stream_over
    return chain
