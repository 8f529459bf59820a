"""The serial line, against bits on a wire, and both halves against each other."""

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from rtl.link.uart import UartReceiver, UartTransmitter, clocks_per_bit
from tests.rtl.streams import put

BYTES = [0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, 0x7F, 0xFE]


async def wire(ctx, dut, levels, clocks):
    """Hold each level for a bit's time, given in clocks (a float: bits end where they end)."""
    at, cycle = 0.0, 0
    for level in levels:
        ctx.set(dut.rx, int(level))
        at += clocks
        while cycle < round(at):
            await ctx.tick()
            cycle += 1


def frame(byte, stop=1):
    return [0, *(byte >> j & 1 for j in range(8)), stop]


def received(clocks, levels, per_bit=None):
    """Bytes that a receiver of ``clocks`` makes of levels."""
    dut, got = UartReceiver(clocks), []

    async def line(ctx):
        ctx.set(dut.rx, 1)
        await ctx.tick().repeat(3)
        await wire(ctx, dut, [*levels, 1, 1], per_bit or clocks)
        await ctx.tick().repeat(4)

    async def watch(ctx):
        async for *_, valid, data in ctx.tick().sample(dut.valid, dut.data):
            if valid:
                got.append(data)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(line)
    sim.add_testbench(watch, background=True)
    sim.run()
    return got


@pytest.mark.parametrize("clocks", [4, 5, 7, 16])
def test_receiver(clocks):
    assert received(clocks, [bit for byte in BYTES for bit in frame(byte)]) == BYTES


@pytest.mark.parametrize("error", [-0.03, 0.03])
def test_receiver_at_another_rate(error):
    levels = [bit for byte in BYTES for bit in frame(byte)]
    assert received(32, levels, 32 * (1 + error)) == BYTES


def test_receiver_drops_what_is_no_byte():
    idle = [1] * 12
    assert received(8, frame(0x12) + frame(0x34, stop=0) + idle + frame(0x56)) == [0x12, 0x56]
    # A spike of a quarter of a bit is no start bit.
    assert received(2 * 4, [0, 1, *[1] * 40, *np.repeat(frame(0x56), 4)], 2) == [0x56]


class Loop(wiring.Component):
    """A transmitter whose line goes to a receiver."""

    def __init__(self, clocks):
        self.tx, self.rx = UartTransmitter(clocks), UartReceiver(clocks)
        super().__init__({"i": In(stream.Signature(8)), "data": Out(8), "valid": Out(1),
                          "line": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.tx, m.submodules.rx = self.tx, self.rx
        wiring.connect(m, wiring.flipped(self.i), self.tx.i)
        m.d.comb += [self.rx.rx.eq(self.tx.tx), self.line.eq(self.tx.tx),
                     self.data.eq(self.rx.data), self.valid.eq(self.rx.valid)]
        return m


@pytest.mark.parametrize("clocks, stall", [(4, 0.0), (4, 0.9), (6, 0.97)])
def test_loop(clocks, stall):
    dut, got, seen, cycles = Loop(clocks), [], [], []
    values = [*BYTES, *np.random.default_rng(1).integers(0, 256, 12).tolist()]

    async def feed(ctx):
        await put(ctx, dut.i, values, np.random.default_rng(2), stall, cycles)

    async def watch(ctx):
        for _ in range(len(values) * 100 * clocks):
            *_, valid, data = await ctx.tick().sample(dut.valid, dut.data)
            got.extend([data] if valid else [])
            if len(got) == len(values):
                return
        pytest.fail(f"stuck: {len(got)} bytes")

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(feed, background=True)
    sim.add_testbench(watch)
    sim.run()
    assert got == values
    if not stall:
        assert np.diff(cycles).tolist() == [10 * clocks] * (len(values) - 1)


def test_clocks_per_bit():
    assert clocks_per_bit(48e6, 3e6) == 16
    assert clocks_per_bit(25e6, 115200) == 217
    with pytest.raises(ValueError, match="8.33 clocks"):
        clocks_per_bit(25e6, 3e6)
    with pytest.raises(ValueError, match="at least 4"):
        clocks_per_bit(12e6, 4e6)
    with pytest.raises(ValueError, match="at least 4 clocks, not 3"):
        UartReceiver(3)
