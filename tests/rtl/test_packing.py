"""Packed samples: the form against its inverse, and the hardware against the model, frame by frame.
"""

import struct

import numpy as np
import pytest

from golden.base.qformat import SQ
from host.requests import line_bytes, load
from quant.integer.synthetic import random_artifact
from rtl.link import protocol
from rtl.link.identity import Identity
from rtl.link.packing import Unpacker, pack, plain
from rtl.link.protocol import Command, Status
from rtl.parts.config import HardwareConfig
from rtl.plan import plan
from tests.rtl.link_bench import Bench

RNG = np.random.default_rng(1)
# Corners first: nothing but zeros, none, one, runs at the ends, as long as a token can say and
# longer, tails of every length; then random ones, from almost empty to full.
SEQUENCES = [[0], [5], [0] * 7, [0] * 128, [0] * 129, [1] * 16, [1] * 15, [1] * 255, [1] * 256,
             [1] + [0] * 300 + [2], [0] * 6 + [3], [3] + [0] * 6,
             *([1, 0] * k for k in range(1, 9)),
             *([0, 0, 9] * 4 + [7] * k for k in range(18)),
             *((RNG.integers(0, 255, size) * (RNG.random(size) < share)).tolist()
               for size in (1, 13, 200, 784) for share in (0.02, 0.2, 0.5, 1.0))]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_round_trip(size):
    for values in SEQUENCES:
        wide = [value - 256 ** size // 4 * (value % 3 == 1) for value in values]
        for given in (values, wide):
            board, found = Unpacker(size), []
            for data in pack(given, size):
                assert 1 <= len(data) <= protocol.REQUEST_DATA
                found += board.take(data)
            assert b"".join(found) == b"".join(
                (value & 256 ** size - 1).to_bytes(size, "little") for value in given)


def test_the_shorter_form_is_taken():
    for values in SEQUENCES:
        chosen = load(values, 1)
        assert len({command for command, _ in chosen}) == 1
        both = [sum(8 + len(data) for data in form(values, 1)) for form in (plain, pack)]
        assert line_bytes(chosen) == min(both)
    assert load([0] * 784, 1) == [(Command.PACKED, bytes([255] * 6 + [128 + 15]))]
    assert load(range(1, 100), 1)[0][0] == Command.SAMPLES
    image = [0, 0, 200, 0, 0, 0, 0] * 112
    assert line_bytes(load(image, 1)) < 320 and line_bytes(
        [(Command.SAMPLES, data) for data in plain(image, 1)]) == 1048


ART = random_artifact(1, n_layers=2, H=2, n=2, n_classes=3, length=1000)
WIDE = random_artifact(1, n_layers=2, H=2, n=2, n_classes=3, length=1000, sample=SQ(12, 0))


def bench(art):
    """A link of that network; its core answers at once."""
    return Bench(art=art, identity=Identity.of(plan(art, HardwareConfig(2)), 48e6))


@pytest.mark.parametrize("art, size", [(ART, 1), (WIDE, 2)])
def test_hardware_unpacks_what_the_host_packs(art, size):
    given = [values for values in SEQUENCES if len(values) < 330][::3]

    async def script(ctx):
        tag = 0
        for values in given:
            for command, data in [*((Command.PACKED, data) for data in pack(values, size)),
                                  (Command.RUN, struct.pack("<H", len(values)))]:
                await made.send(ctx, protocol.request(tag, command, data))
                reply = await made.reply(ctx)
                tag += 1
                assert reply.expected == tag and Status.WRONG not in reply.status
            await ctx.tick().repeat(len(values) + 20)
            tag = (await made.ask(ctx, tag, Command.TAKE)).expected

    made = bench(art)
    made.limit = 4000
    made.run(script)
    assert made.sequences == [*given, []]


def test_hardware_takes_any_bytes_as_the_model():
    """Nothing that a packed frame can say stops the link; a reset forgets what was left of it."""
    frames = [bytes(RNG.integers(0, 256, RNG.integers(1, 25)).tolist()) for _ in range(40)]
    frames = [data if sum(127 & byte for byte in data if byte > 127) < 900 else b"\x93"
              for data in frames] + [b"\0", b"\3", b"\0", b"\0\2\x41", b"\x7e\1", b"\0\xff\1"]
    model, wanted = Unpacker(1), []

    async def script(ctx):
        tag = 0
        for left in (b"\0", b"\0\5", b"\x7f"):
            await made.ask(ctx, 0, Command.PACKED, left)
            await made.ask(ctx, 1, Command.RESET, bytes(3))
            await made.ask(ctx, 0, Command.PACKED, b"\x81")
            reply = await made.ask(ctx, 1, Command.RUN, struct.pack("<H", 2))
            assert Status.WRONG not in reply.status
            await made.ask(ctx, 2, Command.RESET, bytes(3))
        for data in frames:
            tag = (await made.ask(ctx, tag, Command.PACKED, data)).expected
            wanted.extend(model.take(data))
            if len(wanted) > 800:
                wanted.clear()
                model.__init__(1)
                await made.ask(ctx, tag, Command.RESET, struct.pack("<I", tag + 1)[:3])
                tag += 1
        left = await made.ask(ctx, tag, Command.RUN, struct.pack("<H", len(wanted)))
        assert Status.WRONG not in left.status
        await ctx.tick().repeat(1000)

    made = bench(ART)
    made.limit = 6000
    made.run(script)
    assert [bytes([value]) for value in made.sequences[-2]] == wanted and len(wanted) > 20


def test_once_more():
    """The same sequence as often as one likes, while the next one waits in the other buffer."""
    async def script(ctx):
        reply = await made.ask(ctx, 0, Command.AGAIN)
        assert (reply.expected, reply.status) == (0, Status.WRONG)      # nothing was run yet
        reply = await made.ask(ctx, 7, Command.AGAIN)
        assert reply.status == Status(0)        # not in its turn: it may be right when it is
        await made.ask(ctx, 0, Command.PACKED, b"\x81\x05\7\x08")
        await made.ask(ctx, 1, Command.RUN, struct.pack("<H", 9))
        await made.ask(ctx, 2, Command.SAMPLES, b"\x03")
        reply = await made.ask(ctx, 3, Command.AGAIN)
        assert reply.expected == 3 and Status.REFUSED in reply.status
        tag = 3
        for _ in range(2):
            await ctx.tick().repeat(600)
            await made.ask(ctx, tag, Command.TAKE)
            reply = await made.ask(ctx, tag + 1, Command.AGAIN)
            tag += 2
            assert reply.expected == tag and Status.RUNNING in reply.status
        await ctx.tick().repeat(600)
        counts.append((await made.read(ctx, protocol.COUNTERS, 4)).data)
        await made.ask(ctx, tag, Command.TAKE)
        await made.ask(ctx, tag + 1, Command.RUN, struct.pack("<H", 1))
        await ctx.tick().repeat(600)
        assert Status.WRONG in (await made.ask(ctx, tag + 2, Command.AGAIN, b"\1")).status
        await made.ask(ctx, tag + 2, Command.RESET, b"\0\0\0")
        assert (await made.ask(ctx, 0, Command.AGAIN)).status == Status.WRONG

    counts, made = [], bench(ART)
    made.delay = 500
    made.run(script)
    assert made.sequences[:4] == [[0, 0, 7, 0, 8, 0, 0, 0, 0]] * 3 + [[3]]
    assert counts == [struct.pack("<I", 508)]
