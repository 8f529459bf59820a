"""What can be wrong with a port, without a board: each is one clear line, within five seconds."""

import os
import select
import termios
import threading
import time
import tty
from types import SimpleNamespace

import numpy as np
import pytest

from golden.base.cli import UserError
from host import __main__ as program
from host.board import Board
from host.line import Line, LineError
from host.run import seeds_of
from host.transport import PATIENCE, Transport
from quant.evaluate import seed_number
from quant.integer import lfsr
from quant.integer.synthetic import random_artifact
from rtl.link import protocol as protocol
from rtl.link.protocol import Command, Status

LIMIT = 5.0         # seconds until whatever is wrong has been said


class Fake:
    """A pseudo-terminal whose other end does what ``answer(bytes)`` says."""

    def __init__(self, answer):
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port, self._ended = os.ttyname(self._slave), threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(answer,), daemon=True)
        self._thread.start()

    def _serve(self, answer):
        while not self._ended.is_set():
            if select.select([self.master], [], [], 0.02)[0]:
                reply = answer(os.read(self.master, 4096))
                if reply:
                    os.write(self.master, reply)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The thread ends before its file does: the next pseudo-terminal gets the same number, and
        # a thread left over would answer there for its own board.
        self._ended.set()
        termios.tcflush(self._slave, termios.TCIFLUSH)      # a reply nobody reads blocks it
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()
        os.close(self._slave)
        os.close(self.master)


class Requests:
    """A board in a few lines of Python: replies to requests from a dictionary of memory.

    ``lose``: probability that a request, or a reply, is lost.
    """

    def __init__(self, lose=0.0, memory=bytes(64), busy=0):
        self.rng, self.lose, self.memory, self.busy = np.random.default_rng(1), lose, memory, busy
        self.left, self.expected, self.done = b"", 0, []

    def __call__(self, raw):
        *frames, self.left = (self.left + raw).split(b"\0")
        replies = [self.reply(protocol.decode(frame)) for frame in frames
                   if frame and self.rng.random() >= self.lose]
        return b"".join(reply for reply in replies if self.rng.random() >= self.lose)

    def reply(self, content):
        tag, command, data = content[0], Command(content[1]), content[2:]
        status, out = Status(0), b""
        if command == Command.READ:
            at = int.from_bytes(data[:2], "little")
            out = self.memory[at:at + data[2]]
        elif tag == self.expected:
            if self.busy:
                self.busy -= 1
                status = Status.REFUSED
            else:
                self.done.append((command, data))
                self.expected = (self.expected + 1) % 256
        return protocol.encode(bytes([tag, command | protocol.REPLY, self.expected, status]) + out)


def refused(port, match, **options):
    """The message of a connection that fails, in time."""
    begin = time.monotonic()
    with pytest.raises(LineError, match=match):
        Board(Transport(Line(port, **options)))
    assert time.monotonic() - begin < LIMIT


def test_no_such_port():
    refused("/dev/ttyNONE7", "cannot open /dev/ttyNONE7: .*No such file.*serial ports here")


def test_no_answer():
    assert PATIENCE + 1 <= LIMIT
    with Fake(lambda raw: b"") as fake:
        refused(fake.port, "no answer from /dev/pts/.* is the board powered and programmed")


def test_only_noise():
    rng = np.random.default_rng(1)
    with Fake(lambda raw: bytes(rng.integers(0, 256, len(raw)).tolist())) as fake:
        refused(fake.port, "cannot be read .*is --baud the bitstream's")


def test_something_else_that_speaks_frames():
    with Fake(Requests()) as fake:
        refused(fake.port, r"it answers, but says b'\\x00")


@pytest.mark.parametrize("lose", [0.0, 0.3])
def test_requests_are_carried_out_once_and_in_order(lose):
    board = Requests(lose, busy=3)
    wanted = [(Command.SAMPLES, bytes([j % 256, j // 256, 0])) for j in range(600)]
    with Fake(board) as fake:
        transport = Transport(Line(fake.port), patience=60)
        for first in range(0, 600, 150):
            transport.write(wanted[first:first + 150])
        assert board.done == wanted
        assert transport.read(7, 50) == bytes(50)
        assert bool(transport.counters.silent) == bool(lose)


def test_refused_for_too_long():
    with Fake(Requests(busy=10**9)) as fake:
        transport = Transport(Line(fake.port))
        with pytest.raises(LineError, match="not done after 0.1 s"):
            transport.write([(Command.RUN, b"\1\0")], limit=0.1)


def test_votes_have_the_seeds_of_quant_evaluate():
    art = random_artifact(1)
    own = lfsr.seed_of(art.random, art.seed)
    assert seeds_of(art, None, 1) == [own] and seeds_of(art, None, 3) == [own, own + 1, own + 2]
    assert [lfsr.master_seed(art.random, seed) for seed in seeds_of(art, None, 3)] == [
        seed_number(art, j) for j in range(3)]
    assert len(set(seeds_of(art, None, 3))) == 3 and seeds_of(art, 9, 1) == [9]
    with pytest.raises(UserError, match="leave one of them out"):
        seeds_of(art, 9, 2)


def test_identify_a_simulation_of_nothing():
    with pytest.raises(UserError, match="--port sim needs --task"):
        program.main(["identify", "--port", "sim"])


@pytest.mark.parametrize("size, low", [(1, -128), (2, -32768), (2, 0)])
def test_samples_in_frames(size, low):
    """16,384 of them, two's complement where they are negative, each at its position."""
    board = Board.__new__(Board)
    board.identity = SimpleNamespace(sample_bytes=size)
    values = np.random.default_rng(1).integers(low, low + 256 ** size // (1 + (low == 0)), 16_384)
    values[:2] = low, -1 if low else 257
    at, found = 0, []
    for command, data in board._load(values):
        assert command == Command.SAMPLES and len(data) <= protocol.REQUEST_DATA
        assert int.from_bytes(data[:2], "little") == at
        part = [int.from_bytes(data[k:k + size], "little", signed=low < 0)
                for k in range(2, len(data), size)]
        at, found = at + len(part), found + part
    assert found == values.tolist()
