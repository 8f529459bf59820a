"""Frames: the Python model, the hardware against it, noise on the line."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from rtl.link import protocol as protocol
from rtl.link.frames import FrameReceiver, FrameSender
from rtl.link.protocol import Command, FrameError, OldReply, Reply, Status, decode, encode
from tests.rtl.streams import exchange

RNG = np.random.default_rng(1)
CONTENTS = [bytes(4), bytes([1, 2, 3, 4]), bytes(28), bytes(range(28)), bytes([255] * 28),
            bytes([0, 1, 0, 2, 0]), b"\x01" + bytes(20) + b"\x02",
            *(bytes(RNG.integers(0, high, size).tolist())
              for size, high in [(4, 3), (7, 2), (13, 256), (28, 4), (28, 256)])]


def test_model_round_trip():
    for content in [*CONTENTS, b"\0\0\0x", b"xxxx"]:
        line = encode(content)
        assert len(line) == len(content) + 4 <= protocol.LONGEST
        assert 0 not in line[:-1] and line[-1] == 0
        assert decode(line[:-1]) == content


def test_crc_is_the_catalogue_s():
    assert protocol.crc16(b"123456789") == 0x29B1


def test_every_single_byte_error_is_seen():
    line = encode(bytes(range(20, 40)))[:-1]
    for at in range(len(line)):
        for flip in range(1, 256):
            with pytest.raises(FrameError):
                decode(line[:at] + bytes([line[at] ^ flip]) + line[at + 1:])
        for wrong in (line[:at] + line[at + 1:], line[:at] + line[at:at + 1] + line[at:]):
            with pytest.raises(FrameError):
                decode(wrong)


@pytest.mark.parametrize("content", [b"", bytes(3), bytes(29)])
def test_lengths_that_no_frame_has(content):
    with pytest.raises(FrameError, match="4..28"):
        encode(content)


@pytest.mark.parametrize("line", [b"", b"\1", b"\1\1\1", b"\x05\1\1\1", bytes([40] * 40)])
def test_no_frames(line):
    with pytest.raises(FrameError):
        decode(line)


def test_replies():
    head = bytes([7, 0x81, 1, 2, 3, 4, 5])
    reply = protocol.parse_reply(head + bytes([2, 0x40, 1, 9]))
    assert reply == Reply(0x020107, Command.READ, 0x050403, Status.RESULT, 0x140, b"\x09")
    assert protocol.parse_reply(head + b"\x08").status == Status.WRONG     # shows nothing
    taken = bytes([7, 0x92, 1, 2, 3, 4, 5, 1])
    assert protocol.parse_reply(taken).command == Command.TAKE
    for wrong in (b"\1\x81\1", bytes([7, 0x01, *head[2:], 2, 0, 0]), taken[:-1], taken + b"\0",
                  bytes([7, 0xFF, *head[2:], 2]), head + b"\2", head + b"\2\0", head + b"\x08\0\0"):
        with pytest.raises(FrameError):
            protocol.parse_reply(wrong)
    with pytest.raises(OldReply):
        protocol.parse_reply(bytes([7, 0x81, 3, 8]))


def test_a_request_is_no_request_of_version_2():
    """There the tag has one byte, and READ three bytes behind it; so such a board says WRONG."""
    content = decode(protocol.request(0x030201, Command.READ, bytes(3))[:-1])
    assert content[:2] == bytes([1, Command.READ]) and len(content[2:]) != 3


@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_sender_matches_model(stall):
    words = [{"byte": byte, "last": at == len(content) - 1}
             for content in CONTENTS for at, byte in enumerate(content)]
    expected = b"".join(map(encode, CONTENTS))
    got, _ = exchange(FrameSender(), {"i": words}, {"o": len(expected)}, stall, seed=1)
    assert bytes(got["o"]) == expected


def receive(line, hold=0, gap=0):
    """(contents kept, pulses of good, bad, dropped) for bytes; frames are used after ``hold``."""
    dut, kept, pulses = FrameReceiver(), [], {"good": 0, "bad": 0, "dropped": 0}
    over = [False]

    async def feed(ctx):
        for byte in line:
            ctx.set(dut.data, byte)
            ctx.set(dut.valid, 1)
            await ctx.tick()
            ctx.set(dut.valid, 0)
            await ctx.tick().repeat(1 + gap)
        await ctx.tick().repeat(200 + 3 * hold)
        over[0] = True

    async def use(ctx):
        while not over[0]:
            *_, there = await ctx.tick().sample(dut.frame)
            if not there:
                continue
            await ctx.tick().repeat(1 + hold)
            content = []
            for index in range(ctx.get(dut.length)):
                ctx.set(dut.index, index)
                ctx.set(dut.en, 1)
                await ctx.tick()
                content.append(ctx.get(dut.byte))
            kept.append(bytes(content))
            ctx.set(dut.done, 1)
            await ctx.tick()
            ctx.set(dut.done, 0)

    async def count(ctx):
        async for *_, good, bad, dropped in ctx.tick().sample(dut.good, dut.bad, dut.dropped):
            pulses["good"] += good
            pulses["bad"] += bad
            pulses["dropped"] += dropped

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(feed)
    sim.add_testbench(use)
    sim.add_testbench(count, background=True)
    sim.run()
    assert pulses["good"] == len(kept)
    return kept, pulses


def test_receiver_matches_model():
    kept, pulses = receive(b"".join(map(encode, CONTENTS)), gap=3)
    assert kept == CONTENTS
    assert pulses == {"good": len(CONTENTS), "bad": 0, "dropped": 0}


@pytest.mark.parametrize("size, good", [(1, 0), (3, 0), (4, 1), (28, 1), (29, 0), (60, 0)])
def test_receiver_keeps_no_frame_that_is_too_short_or_too_long(size, good):
    """Not even one with a right checksum."""
    content = bytes(range(1, size + 1))
    whole = content + protocol.crc16(content).to_bytes(2, "big")
    kept, pulses = receive(protocol.stuff(whole) + b"\0", gap=1)
    assert (pulses["good"], pulses["bad"], len(kept)) == (good, 1 - good, good)


def test_receiver_drops_frames_while_both_buffers_are_full():
    """What is kept is whole: a frame that began while there was no room is not."""
    kept, pulses = receive(b"".join(map(encode, CONTENTS)), hold=90)
    assert 0 < pulses["dropped"] < len(CONTENTS) - 2
    assert pulses["good"] + pulses["dropped"] == len(CONTENTS) and not pulses["bad"]
    left = iter(CONTENTS)
    assert all(content in left for content in kept), "a frame was changed or out of order"


def test_noise():
    """Bytes changed, lost, repeated, and garbage: the receiver keeps what the model keeps."""
    rng = np.random.default_rng(3)
    line = bytearray(rng.integers(0, 256, 200).tolist()) + b"\0"
    for content in CONTENTS * 3:
        for byte in encode(content):
            what = rng.random()
            if what < 0.02:
                byte ^= int(rng.integers(1, 256))
            if not 0.02 < what < 0.04:
                line += bytes([byte] * (1 + (what > 0.98)))
    line += bytes(rng.integers(1, 256, 100).tolist()) + b"\0" + encode(b"alive")
    expected, broken = [], 0
    for part in bytes(line).split(b"\0")[:-1]:
        try:
            content = decode(part)
        except FrameError:
            broken += len(part) > 1
            continue
        expected.append(content)
    kept, pulses = receive(line, gap=1)
    assert kept == expected and kept[-1] == b"alive"
    assert 10 < len(kept) < 3 * len(CONTENTS) and pulses["bad"] >= 5
