"""Streams in Amaranth's simulator: feed and drain ports with random stalls and bounded waits."""

from collections.abc import Iterable

import numpy as np
import pytest
from amaranth.lib import data
from amaranth.sim import Simulator


SETTLE = 4      # cycles after the last write before anything may start


def plain(value):
    """A sampled payload as ints, lists and dicts."""
    if isinstance(value, data.Const):
        layout = value.shape()
        if isinstance(layout, data.ArrayLayout):
            return [plain(value[j]) for j in range(layout.length)]
        return {name: plain(value[name]) for name, _ in layout}
    return int(value)


async def put(ctx, port, values: Iterable, rng=None, stall: float = 0.0,
              cycles: list | None = None) -> None:
    """Offer each payload on ``port`` until it is taken, then wait a random while.

    ``stall`` is the probability of each cycle of waiting. The cycle of each transfer, counted from
    the coroutine's start, is appended to ``cycles``. Waits for ever: run it in the background of a
    ``get``, which gives up.
    """
    cycle = 0
    for value in values:
        while stall and rng.random() < stall:
            await ctx.tick()
            cycle += 1
        ctx.set(port.payload, value)
        ctx.set(port.valid, 1)
        ready = False
        while not ready:
            *_, ready = await ctx.tick().sample(port.ready)
            cycle += 1
        if cycles is not None:
            cycles.append(cycle - 1)
        ctx.set(port.valid, 0)


async def get(ctx, port, count: int, rng=None, stall: float = 0.0, limit: int = 10_000,
              cycles: list | None = None) -> list:
    """Take ``count`` payloads from ``port``, refusing each cycle with probability ``stall``.

    Fails the test after ``limit`` cycles, and when a payload changes while it waits. The cycle of
    each ``valid`` not seen before is appended to ``cycles``: the moment a result was there.
    """
    got, waiting = [], None
    for cycle in range(limit):
        if len(got) == count:
            return got
        ready = int(not stall or rng.random() >= stall)
        ctx.set(port.ready, ready)
        *_, valid, payload = await ctx.tick().sample(port.valid, port.payload)
        payload = plain(payload)
        if waiting is not None and (not valid or payload != waiting):
            pytest.fail(f"cycle {cycle}: the offer {waiting} became {valid, payload}")
        if valid and waiting is None and cycles is not None:
            cycles.append(cycle)
        waiting = payload if valid and not ready else None
        if valid and ready:
            got.append(payload)
    pytest.fail(f"stuck: {len(got)} of {count} payloads after {limit} cycles")


def at_once(addr: int) -> int:
    """Cycles from one write on a configuration bus to the next: no more than must be."""
    return 1


async def configure(ctx, bus, writes: Iterable[tuple[int, int]], apart=at_once) -> None:
    """Write (address, 32-bit word) pairs on a configuration bus; ``apart``: cycles of each."""
    for addr, word in writes:
        ctx.set(bus.addr, addr)
        ctx.set(bus.data, word)
        ctx.set(bus.en, 1)
        await ctx.tick()
        ctx.set(bus.en, 0)
        for _ in range(apart(addr) - 1):
            await ctx.tick()


def exchange(dut, sends: dict[str, list], takes: dict[str, int], stall: float = 0.0,
             seed: int = 0, limit: int | None = None, writes=(), watch=None):
    """Run ``dut``: offer every list of ``sends`` on its port, take the counts of ``takes``.

    Each port stalls independently with probability ``stall``; ``writes`` go to ``dut.cfg`` first.
    ``limit`` bounds the cycles (default: generous for one transfer per 40 cycles). ``watch`` is one
    more testbench, in the background.

    Returns
    -------
    got : dict
        Port name to payloads as ints, lists and dicts.
    cycles : dict
        Port name to cycles: of the transfers on ``sends``, of new offers on ``takes``. Cycle 0 is
        the first one after the writes.
    """
    total = sum(map(len, sends.values())) + sum(takes.values())
    limit = limit or int((40 * total + 200) / (1 - stall) ** 2)
    rng = np.random.default_rng(seed)
    streams = {name: np.random.default_rng(rng.integers(1 << 32)) for name in [*sends, *takes]}
    got, cycles = {}, {name: [] for name in [*sends, *takes]}
    settled = len(writes) + SETTLE if writes else 0

    def source(name, values):
        async def bench(ctx):
            for _ in range(settled):
                await ctx.tick()
            await put(ctx, getattr(dut, name), values, streams[name], stall, cycles[name])
        return bench

    def sink(name, count):
        async def bench(ctx):
            for _ in range(settled):
                await ctx.tick()
            got[name] = await get(ctx, getattr(dut, name), count, streams[name], stall, limit,
                                  cycles[name])
            ctx.set(getattr(dut, name).ready, 0)
        return bench

    async def host(ctx):
        await configure(ctx, dut.cfg, writes)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    if writes:
        sim.add_testbench(host)
    if watch:
        sim.add_testbench(watch, background=True)
    for name, values in sends.items():
        sim.add_testbench(source(name, values), background=True)
    for name, count in takes.items():
        sim.add_testbench(sink(name, count))
    sim.run()
    return got, cycles
