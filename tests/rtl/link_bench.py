"""A link between a line and a core that a test plays."""

import itertools
import struct

import pytest
from amaranth.sim import Simulator

from quant.integer.synthetic import random_artifact
from rtl.link import protocol as protocol
from rtl.parts.config import HardwareConfig
from rtl.link.link import Link
from rtl.link.identity import Identity
from rtl.plan import plan
from rtl.link.protocol import Command, decode, parse_reply, request

ART = random_artifact(1, n_layers=2, H=2, n=2, n_classes=3, length=9)
IDENTITY = Identity.of(plan(ART, HardwareConfig(2)), 48e6)
RESULT = {"label": 2, "logits": [-5, 1 << 40, -(1 << 47)], "saturations": [7, 8, 1 << 31]}


LAST = 2            # cycles from the last logit to the result


class Bench:
    """A link between a line and a core that answers ``delay`` cycles after the last sample, with
    its logits as close to each other and to the result as they may be."""

    def __init__(self, delay=3, art=ART, identity=IDENTITY, spacing=1):
        self.dut, self.delay = Link(art, identity, spacing), delay
        self.sequences, self.writes, self.resets = [[]], [], 0
        self.times = []         # cycles of the writes
        self.limit = 400        # cycles until a reply is there

    async def core(self, ctx):
        dut, wait = self.dut, None
        ctx.set(dut.i.ready, 1)
        for cycle in itertools.count():
            offered = ctx.get(dut.o.valid)
            *_, valid, value, last, given, en, addr, word, reset = await ctx.tick().sample(
                dut.i.valid, dut.i.payload.value, dut.i.payload.last, dut.o.ready, dut.cfg.en,
                dut.cfg.addr, dut.cfg.data, dut.core_reset)
            self.writes += [(addr, word)] if en else []
            self.times += [cycle] if en else []
            if valid:
                self.sequences[-1].append(value)
                if last:
                    self.sequences.append([])
                    wait = self.delay
                    logits = dict(zip((LAST + protocol.LOGIT_BYTES * j for j in (2, 1, 0)),
                                      RESULT["logits"]))
            if reset:
                self.resets += 1
                self.sequences[-1] = []
                wait = None
                ctx.set(dut.logit_valid, 0)
            if (given and offered) or reset:
                ctx.set(dut.o.valid, 0)
            if wait is not None:
                wait -= 1
                ctx.set(dut.logit, logits.get(wait, 0))
                ctx.set(dut.logit_valid, wait in logits)
                if wait == 0:
                    ctx.set(dut.o.payload, {name: RESULT[name]
                                            for name in ("label", "saturations")})
                    ctx.set(dut.o.valid, 1)
                    wait = None

    async def send(self, ctx, line):
        for byte in line:
            ctx.set(self.dut.data, byte)
            ctx.set(self.dut.valid, 1)
            await ctx.tick()
            ctx.set(self.dut.valid, 0)
            await ctx.tick().repeat(3)

    async def reply(self, ctx):
        """The next reply; fails after ``limit`` cycles."""
        line = bytearray()
        ctx.set(self.dut.tx.ready, 1)
        for _ in range(self.limit):
            *_, valid, byte = await ctx.tick().sample(self.dut.tx.valid, self.dut.tx.payload)
            if valid and not byte:
                ctx.set(self.dut.tx.ready, 0)
                return parse_reply(decode(bytes(line)))
            line += bytes([byte] if valid else [])
        pytest.fail(f"no reply; the line says {line.hex()}")

    async def ask(self, ctx, tag, command, data=b""):
        await self.send(ctx, request(tag, command, data))
        reply = await self.reply(ctx)
        assert (reply.tag, reply.command) == (tag, command)
        return reply

    async def read(self, ctx, address, count, tag=0x63_0063):
        reply = await self.ask(ctx, tag, Command.READ, struct.pack("<HB", address, count))
        assert (reply.address, len(reply.data)) == (address, count)
        return reply

    def run(self, script):
        sim = Simulator(self.dut)
        sim.add_clock(1e-6)
        sim.add_testbench(script)
        sim.add_testbench(self.core, background=True)
        sim.run()
        return self
