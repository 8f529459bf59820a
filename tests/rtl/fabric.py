"""Words of steps and sequences for the tests of buffers, mixer, encoder, decoder and core."""

from dataclasses import replace

import numpy as np
from amaranth.sim import Simulator

from quant.integer.ops import Mix
from quant.integer.synthetic import random_artifact
from rtl.parts.config import Geometry
from sim.benches.stimulus import framed

from tests.rtl.streams import SETTLE, configure, get, plain, put


def multiplying():
    """A network whose mixer has values of many bits times weights of many bits: not in the RTL."""
    art = random_artifact(3, kind="gsu", H=4, n=2)
    ops = [replace(op, wiring="a -> n") if isinstance(op, Mix) and op.makes == "n" else op
           for op in art.blocks[0]]
    return replace(art, blocks=(tuple(ops), *art.blocks[1:])).check()


def x_words(x, lengths, G: int, P: int = 1) -> list[dict]:
    """Payloads of ``x_word`` for inputs (steps, H) of all sequences."""
    x = np.asarray(x)
    return framed(x, Geometry(x.shape[1], 1, G, P), lengths)


def sequence_sums(per_step, lengths) -> list[int]:
    """Sum over each sequence of a number per step."""
    ends = np.cumsum(lengths)
    return [int(np.sum(per_step[end - length:end])) for length, end in zip(lengths, ends)]


def observe(dut, sends: dict[str, list], takes: dict[str, int], pulses: list[str],
            stall: float = 0.0, seed: int = 0, limit: int = 40_000, writes=()):
    """As :func:`tests.rtl.streams.exchange`, and every payload of ``pulses`` with ``valid``.

    Pulses are outputs that nothing holds up: structures with a field ``valid``, which is left out.
    Returns (got, cycles); both have the pulses' names too.
    """
    got, cycles = {name: [] for name in pulses}, {name: [] for name in [*sends, *takes, *pulses]}
    settled = len(writes) + SETTLE if writes else 0

    def source(j, name, values):
        async def bench(ctx):
            for _ in range(settled):
                await ctx.tick()
            rng = np.random.default_rng([seed, j])
            await put(ctx, getattr(dut, name), values, rng, stall, cycles[name])
        return bench

    def sink(j, name, count):
        async def bench(ctx):
            for _ in range(settled):
                await ctx.tick()
            rng = np.random.default_rng([seed, 100 + j])
            got[name] = await get(ctx, getattr(dut, name), count, rng, stall, limit, cycles[name])
        return bench

    async def host(ctx):
        await configure(ctx, dut.cfg, writes)

    async def watch(ctx):
        cycle = 0
        async for _, _, *words in ctx.tick().sample(*(getattr(dut, name) for name in pulses)):
            for name, word in zip(pulses, words):
                fields = plain(word)
                if fields.pop("valid"):
                    got[name].append(fields)
                    cycles[name].append(cycle)
            cycle += 1

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    if writes:
        sim.add_testbench(host)
    for j, (name, values) in enumerate(sends.items()):
        sim.add_testbench(source(j, name, values), background=True)
    if pulses:
        sim.add_testbench(watch, background=True)
    for j, (name, count) in enumerate(takes.items()):
        sim.add_testbench(sink(j, name, count))
    sim.run()
    return got, cycles
