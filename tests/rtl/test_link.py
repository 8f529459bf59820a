"""The link's device side in Amaranth's simulator: every request, in and out of order, and noise."""

import struct
from dataclasses import replace

import numpy as np
import pytest

from rtl.link import protocol as protocol
from rtl.link.identity import Identity, model_digest, result_bytes
from rtl.link.protocol import Command, Status, request
from tests.rtl.link_bench import ART, IDENTITY, RESULT, Bench


def tag24(number):
    return number.to_bytes(3, "little")


def test_identity():
    seen = []

    async def script(ctx):
        for at in range(0, 64, 18):
            seen.append((await bench.read(ctx, at, min(18, 64 - at), tag=at << 12)).data)

    bench = Bench()
    bench.run(script)
    assert Identity.unpack(b"".join(seen)) == IDENTITY
    assert IDENTITY.model == model_digest(ART) and IDENTITY.length == 9


def test_sequences_and_results():
    """Load, run, load the next while one is inside, read, take; what is refused meanwhile."""
    async def script(ctx):
        assert (await bench.ask(ctx, 0, Command.SAMPLES, bytes([1, 2, 3]))).expected == 1
        await bench.ask(ctx, 1, Command.SAMPLES, b"\xff")
        reply = await bench.ask(ctx, 2, Command.TAKE)
        assert (reply.expected, reply.status) == (2, Status.REFUSED)
        reply = await bench.ask(ctx, 2, Command.RUN, struct.pack("<H", 4))
        assert reply.expected == 3 and Status.RUNNING in reply.status
        await bench.ask(ctx, 3, Command.SAMPLES, b"\x09")
        reply = await bench.ask(ctx, 4, Command.RUN, struct.pack("<H", 1))
        assert reply.expected == 4 and reply.status == Status.REFUSED | Status.RUNNING
        reply = await bench.ask(ctx, 4, Command.CONFIG, struct.pack("<IBHB", 0, 1, 2, 3)[:7])
        assert reply.expected == 4 and Status.REFUSED in reply.status
        await ctx.tick().repeat(300)
        raw = b""
        size = result_bytes(2, 3)
        for at in range(0, size, 18):
            reply = await bench.read(ctx, protocol.RESULT + at, min(18, size - at))
            assert reply.status == Status.RESULT and reply.expected == 4
            raw += reply.data
        assert raw == struct.pack("<H", 2) + b"".join(
            v.to_bytes(6, "little", signed=True) for v in RESULT["logits"]) + struct.pack(
            "<3I", *RESULT["saturations"])
        reply = await bench.ask(ctx, 4, Command.TAKE)
        assert (reply.expected, reply.status) == (5, Status(0))
        await bench.ask(ctx, 5, Command.RUN, struct.pack("<H", 1))
        registers.append((await bench.read(ctx, protocol.REGISTERS, 16)).data
                         + (await bench.read(ctx, protocol.REGISTERS + 16, 4)).data)

    registers, bench = [], Bench(delay=500)
    bench.run(script)
    assert bench.sequences == [[1, 2, 3, 255], [9], []]
    model, seed, cycles, good = struct.unpack("<8sIII", registers[0])
    assert model == model_digest(ART) and seed == ART.seed
    assert good == 13     # this one is the thirteenth


@pytest.mark.parametrize("seed, register", [((1 << 32) - 1, (1 << 32) - 1),
                                            (0x1234_89AB_CDEF, protocol.LONG_SEED)])
def test_the_built_in_seed(seed, register):
    """A seed of more than 32 bits is not shown, rather than its low bits."""
    async def script(ctx):
        seen.append((await bench.read(ctx, protocol.REGISTERS + 8, 4)).data)

    seen, bench = [], Bench(art=replace(ART, seed=seed))
    bench.run(script)
    assert int.from_bytes(seen[0], "little") == register


@pytest.mark.parametrize("delay", [1, 37])
def test_cycle_count(delay):
    """From the first sample's transfer to the result, as rtl.cycles counts."""
    async def script(ctx):
        await bench.ask(ctx, 0, Command.SAMPLES, bytes([1] * 5))
        await bench.ask(ctx, 1, Command.RUN, struct.pack("<H", 5))
        await ctx.tick().repeat(60)
        raw = (await bench.read(ctx, protocol.REGISTERS + 12, 4)).data
        seen.append(int.from_bytes(raw, "little"))

    seen, bench = [], Bench(delay)
    bench.run(script)
    assert seen == [4 + delay]      # five transfers, a cycle each; then the delay


def test_configuration():
    """Words arrive in order and once; a frame repeated or ahead of its turn does nothing."""
    words = [0x11223344, 0, 0xFFFFFFFF, 5]

    async def script(ctx):
        data = (0x1234).to_bytes(3, "little") + struct.pack("<4I", *words)
        assert (await bench.ask(ctx, 1, Command.CONFIG, data)).expected == 0
        for _ in range(2):
            assert (await bench.ask(ctx, 0, Command.CONFIG, data)).expected == 1
        own = protocol.OWN_WORDS.to_bytes(3, "little") + bytes(range(1, 13))
        assert (await bench.ask(ctx, 1, Command.CONFIG, own)).expected == 2
        seen.append((await bench.read(ctx, protocol.REGISTERS, 12)).data)

    seen, bench = [], Bench()
    bench.run(script)
    assert bench.writes == [(0x1234 + j, word) for j, word in enumerate(words)]
    assert seen == [bytes(range(1, 13))]


def test_requests_that_are_wrong():
    async def script(ctx):
        assert (await bench.ask(ctx, 0, Command.SAMPLES, b"\1\2")).expected == 1
        for command, data in [(Command.CONFIG, bytes(3)), (Command.CONFIG, bytes(8)),
                              (Command.SAMPLES, b""), (Command.RUN, bytes(1)),
                              (Command.RUN, bytes(2)), (Command.RUN, b"\x0a\0"),
                              (Command.RUN, b"\x01\0"), (Command.RUN, b"\x03\0"),
                              (Command.TAKE, b"\1"), (Command.RESET, b"\1"), (Command.RESET, b""),
                              (Command.READ, bytes(2)), (Command.READ, b"\0\0\x13")]:
            reply = await bench.ask(ctx, 1, command, data)
            assert Status.WRONG in reply.status and reply.expected == 1, command
            assert not reply.data
        # What a program of version 2 asks for first: tag, READ, address, count.
        await bench.send(ctx, protocol.encode(bytes([3, Command.READ, 0, 0, 24])))
        assert (await bench.reply(ctx)).status == Status.WRONG
        await bench.send(ctx, protocol.encode(b"\0\x55\0\0"))
        with pytest.raises(protocol.FrameError, match="0xd5 is not a reply"):
            await bench.reply(ctx)

    bench = Bench()
    bench.run(script)
    assert not bench.writes and bench.sequences == [[]] and not bench.resets


def test_reset_in_the_middle():
    async def script(ctx):
        await bench.ask(ctx, 0, Command.SAMPLES, bytes([1, 2]))
        await bench.ask(ctx, 1, Command.RUN, struct.pack("<H", 2))
        await bench.ask(ctx, 2, Command.SAMPLES, b"\x07")     # of a sequence that is never run
        reply = await bench.ask(ctx, 3, Command.RESET, tag24(0xABCDEF))
        assert (reply.expected, reply.status) == (0xABCDEF, Status(0))
        await bench.ask(ctx, 0xABCDEF, Command.SAMPLES, b"\x03")
        await bench.ask(ctx, 0xABCDF0, Command.RUN, struct.pack("<H", 1))
        await ctx.tick().repeat(20)

    bench = Bench(delay=10_000)
    bench.run(script)
    assert bench.resets == 1 and bench.sequences[-2:] == [[3], []]


def test_tags_and_bytes_that_differ_in_one_place_are_others():
    """Every byte of a tag counts, and the numbers go on over all of them."""
    async def script(ctx):
        await bench.ask(ctx, 0, Command.RESET, tag24(0xFFFFFE))
        for other in (0xFFFFFF, 0xFFFEFE, 0xFEFFFE, 0, 0xFE):
            reply = await bench.ask(ctx, other, Command.SAMPLES, b"\1")
            assert (reply.tag, reply.expected) == (other, 0xFFFFFE)
        for tag in (0xFFFFFE, 0xFFFFFF, 0):
            reply = await bench.ask(ctx, tag, Command.SAMPLES, bytes([tag & 3]))
            assert reply.expected == (tag + 1) % (1 << 24)
        await bench.ask(ctx, 1, Command.RUN, struct.pack("<H", 3))
        await ctx.tick().repeat(20)

    bench = Bench()
    bench.run(script)
    assert bench.sequences[0] == [2, 3, 0]


def test_garbage_stops_nothing():
    rng = np.random.default_rng(5)

    async def script(ctx):
        for _ in range(6):
            noise = rng.integers(0, 256, int(rng.integers(1, 60)))
            await bench.send(ctx, bytes(noise.tolist()) + b"\0")
        for _ in range(4):
            frame = bytearray(request(0, Command.RESET, tag24(5)))
            frame[int(rng.integers(len(frame) - 1))] ^= int(rng.integers(1, 256))
            await bench.send(ctx, bytes(frame) + b"\0")
        ctx.set(bench.dut.tx.ready, 0)
        for tag in range(4):        # nobody reads: replies wait, then frames are dropped
            await bench.send(ctx, request(tag, Command.SAMPLES, bytes([1] * 9)))
        last = None
        for _ in range(3):
            last = await bench.reply(ctx)
        assert last.expected == 3
        assert (await bench.read(ctx, 0, 4)).data == b"SSM\x1a"
        counts.append((await bench.read(ctx, protocol.REGISTERS + 16, 12)).data)

    counts, bench = [], Bench()
    bench.run(script)
    good, bad, dropped = struct.unpack("<3I", counts[0])
    assert bench.resets == 0 and good == 5 and dropped == 1 and bad >= 8


@pytest.mark.parametrize("spacing", [1, 50])
def test_writes_lie_apart(spacing):
    """As many cycles as the core's plan says, of which the machine takes a few by itself."""
    bench, words = Bench(spacing=spacing), [3, 1 << 31, 7]

    async def script(ctx):
        await bench.ask(ctx, 0, Command.CONFIG, (9).to_bytes(3, "little") + struct.pack(
            "<3I", *words))

    bench.run(script)
    assert bench.writes == [(9 + j, word) for j, word in enumerate(words)]
    gaps = [b - a for a, b in zip(bench.times, bench.times[1:])]
    assert all(spacing <= gap <= spacing + 10 for gap in gaps), gaps
