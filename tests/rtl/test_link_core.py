"""A board at its serial pins, in Amaranth's simulator: one clock, and the core's own reset."""

import struct

import numpy as np
import pytest
from amaranth.sim import Simulator

from quant.integer import reference
from quant.integer.synthetic import random_artifact
from rtl import cycles
from rtl.link import protocol
from rtl.link.core import LinkCore
from rtl.link.identity import result_bytes
from rtl.link.packing import pack
from rtl.link.protocol import Command, Status
from rtl.parts.config import HardwareConfig

STEPS = 160         # the core is in the middle of them when RESET has arrived
ART = random_artifact(1, n_layers=1, H=2, n=2, n_classes=2, length=STEPS)
HW = HardwareConfig(2, signature=False)
CLOCKS = 4
LIMIT = 4000        # cycles until a reply, or a result, is there


class Pins:
    """Clock and line of a board, from the other side."""

    def __init__(self, ctx, dut):
        self.ctx, self.dut = ctx, dut

    async def cycle(self):
        """One; returns the line from the board."""
        for level in (1, 0):
            self.ctx.set(self.dut.clk, level)
            await self.ctx.delay(1e-6)
        return self.ctx.get(self.dut.tx)

    async def ask(self, tag, command, data=b""):
        """The reply to a request."""
        for byte in protocol.request(tag, command, data):
            for bit in (0, *(byte >> j & 1 for j in range(8)), 1):
                self.ctx.set(self.dut.rx, bit)
                for _ in range(CLOCKS):
                    await self.cycle()
        line, level, waited = bytearray(), 1, 0
        while not line or line[-1]:
            while level:
                level = await self.cycle()
                waited += 1
                assert waited < LIMIT, f"no reply; the line says {line.hex()}"
            for _ in range(CLOCKS // 2):
                await self.cycle()
            byte = 0
            for j in range(9):
                for _ in range(CLOCKS):
                    level = await self.cycle()
                byte |= level << j
            line.append(byte & 0xFF)
        return protocol.parse_reply(protocol.decode(bytes(line[:-1])))


async def result(pins):
    """Class, logits and cycles, once they are there."""
    for _ in range(LIMIT):
        if Status.RESULT in (await pins.ask(0, Command.READ, bytes(3))).status:
            break
    else:
        pytest.fail("no result")
    size = result_bytes(1, 2)
    raw = (await pins.ask(0, Command.READ, struct.pack("<HB", protocol.RESULT, 14))).data
    taken = (await pins.ask(0, Command.READ, struct.pack("<HB", protocol.COUNTERS, 4))).data
    assert len(raw) == 14 < size
    return protocol.number(raw[:2]), [int.from_bytes(raw[at:at + 6], "little", signed=True)
                                      for at in (2, 8)], protocol.number(taken)


def test_a_reset_in_the_middle_leaves_nothing_in_the_core():
    """The next sequence answers as if it were the first."""
    rng = np.random.default_rng(58)
    first, second = (rng.integers(0, 256, STEPS) * (rng.random(STEPS) < 0.3) for _ in range(2))
    dut = LinkCore(ART, HW, 48e6, CLOCKS)
    found = []

    async def script(ctx):
        pins = Pins(ctx, dut)
        ctx.set(dut.rx, 1)
        ctx.set(dut.rst, 1)
        for _ in range(3):
            await pins.cycle()
        ctx.set(dut.rst, 0)
        for values in (first, second):
            tag = 0
            for data in pack(values, 1):
                await pins.ask(tag, Command.PACKED, data)
                tag += 1
            reply = await pins.ask(tag, Command.RUN, struct.pack("<H", STEPS))
            assert Status.WRONG not in reply.status and reply.expected == tag + 1
            if values is first:
                reply = await pins.ask(tag + 1, Command.RESET, bytes(3))
                assert (reply.expected, reply.status) == (0, Status(0))
        found.append(await result(pins))

    sim = Simulator(dut)
    sim.add_testbench(script)
    sim.run()
    trace = reference.run(ART, second)
    predicted = cycles.predict(ART, HW, [STEPS]).cycles
    assert predicted > 1400     # RUN's reply and RESET take about 1,050 cycles on the line
    assert found == [(trace.label, trace.logits.tolist(), predicted)]
