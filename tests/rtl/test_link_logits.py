"""Logits to bytes: ends of the range, as close as they come, and a sequence that is given up."""

import numpy as np
from amaranth.sim import Simulator

from rtl.link.logits import LogitBytes
from rtl.link.protocol import LABEL_BYTES, LOGIT_BYTES

CORNERS = [0, -1, 1, (1 << 47) - 1, -(1 << 47), 0x0102_0304_0506, -256]


def written(events, outputs, cycles):
    """(address, byte) of every write; events: cycle -> a logit, or None for a start."""
    dut, found = LogitBytes(outputs), []

    async def script(ctx):
        for cycle in range(cycles):
            logit = events.get(cycle, "")
            ctx.set(dut.start, logit is None)
            ctx.set(dut.valid, isinstance(logit, int))
            ctx.set(dut.logit, logit or 0)
            if ctx.get(dut.en):
                found.append((ctx.get(dut.addr), ctx.get(dut.byte)))
            await ctx.tick()
            ctx.set(dut.valid, 0)
            ctx.set(dut.start, 0)
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(script)
    sim.run()
    return found


def wanted(logits):
    raw = b"".join(logit.to_bytes(LOGIT_BYTES, "little", signed=True) for logit in logits)
    return list(enumerate(raw, LABEL_BYTES))


def test_every_byte_of_every_logit():
    """A write a cycle, a logit every ``LOGIT_BYTES`` cycles; then again from the first place on."""
    rng = np.random.default_rng(3)
    for logits in (CORNERS, rng.integers(-1 << 47, 1 << 47, 9).tolist(), [-5]):
        n, events = len(logits), {}
        for at in (0, 100):
            events |= {at: None} | {at + 1 + LOGIT_BYTES * j: v for j, v in enumerate(logits)}
        assert written(events, n, 200) == wanted(logits) * 2


def test_a_start_drops_what_is_left():
    found = written({0: None, 1: -2, 4: None, 6: 7}, 2, 20)
    assert found[:2] == wanted([-2])[:2] and found[-LOGIT_BYTES:] == wanted([7])
    assert len(found) <= 3 + LOGIT_BYTES
