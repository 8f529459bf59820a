"""What can be wrong with a port, without a board: each is one clear line, within five seconds."""

import errno
import json
import os
import socket
import termios
import time
from types import SimpleNamespace

import numpy as np
import pytest
import serial

from golden.base.cli import UserError
from host import __main__ as program
from host import session
from host.board import Board
from host.line import BAUD, Line, LineError
from host.run import seeds_of
from host.transport import Transport
from host.watch import PATIENCE
from quant.evaluate import seed_number
from quant.integer import lfsr
from quant.integer.synthetic import random_artifact
from rtl.link import protocol as protocol
from rtl.link.protocol import Command, Status
from tests.host.devices import ART, LIMIT, Device, PretendBoard


def refused(port, match, **options):
    """The message of a connection that fails, in time."""
    begin = time.monotonic()
    with pytest.raises(LineError, match=match):
        Board(Transport(Line(port, **options)))
    assert time.monotonic() - begin < LIMIT


def test_no_such_port():
    refused("/dev/ttyNONE7", "cannot open /dev/ttyNONE7: .*No such file.*serial ports here")
    refused("/dev/block7", "No such file")


def test_what_is_no_port(tmp_path):
    (tmp_path / "file").write_text("a board")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket"))
        for name, kind in (("", "a folder"), ("file", "a file"), ("pipe", "a pipe"),
                           ("socket", "a socket")):
            refused(str(tmp_path / name), f"cannot open .*: it is {kind}, no serial port")
    refused("/dev/null", "cannot open /dev/null: it is no serial port; serial ports here")
    refused("/dev/tty", "it is the terminal that this program was started in")
    assert (tmp_path / "file").read_text() == "a board"


def test_a_port_that_another_program_has():
    with Device(PretendBoard()) as fake:
        one = Line(fake.port)
        refused(fake.port, "cannot open .*: another program has it open")
        one.close()
        Board(Transport(Line(fake.port)))


@pytest.mark.parametrize("error, said", [
    (serial.SerialException(errno.EACCES, "could not open port"), "Permission denied; .*dialout"),
    (serial.SerialException(errno.EBUSY, "could not open port"), "another program has it open"),
    (termios.error(5, "Input/output error"), "Input/output error")])
def test_a_port_that_cannot_be_opened(error, said, monkeypatch):
    def opened(*_, **__):
        raise error
    monkeypatch.setattr(serial, "Serial", opened)
    refused("/dev/ttyUSB7", said)


def test_a_rate_that_no_port_has():
    with Device(PretendBoard()) as fake:
        refused(fake.port, "it cannot run at 1000000000000 baud", baud=10**12)


@pytest.mark.parametrize("name", ["read", "write", "in_waiting"])
def test_unplugged(name, monkeypatch):
    """Whatever call sees it first, and in whatever words."""
    def gone(*_):
        raise termios.error(5, "Input/output error")
    with Device(PretendBoard()) as fake:
        board = Board(Transport(Line(fake.port)))
        monkeypatch.setattr(serial.Serial, name, property(gone) if name == "in_waiting" else gone)
        with pytest.raises(LineError, match="is gone: Input/output error; plug the board in"):
            board.registers()


def test_no_answer():
    assert PATIENCE + 1 <= LIMIT
    with Device() as fake:
        refused(fake.port, "no answer from /dev/pts/.* is the board powered and programmed")


def test_only_noise():
    rng = np.random.default_rng(1)
    with Device(lambda raw: bytes(rng.integers(0, 256, len(raw)).tolist())) as fake:
        refused(fake.port, "cannot be read .*is --baud the bitstream's")


def test_something_else_that_speaks_frames():
    board = PretendBoard()
    board.memory = dict
    with Device(board) as fake:
        refused(fake.port, r"it answers, but says b'\\x00")


@pytest.mark.parametrize("lose", [0.0, 0.3])
def test_requests_are_carried_out_once_and_in_order(lose):
    board = PretendBoard(lose=lose)
    wanted = [(Command.SAMPLES, bytes([j % 256, j // 256, 0])) for j in range(600)]
    with Device(board) as fake:
        transport = Transport(Line(fake.port), patience=8)
        for first in range(0, 600, 150):
            transport.write(wanted[first:first + 150])
        assert board.done[1:] == wanted and board.done[0][0] == Command.RESET
        assert transport.read(0x150, 50) == bytes(50)
        assert bool(transport.counters.silent) == bool(lose)


def test_a_board_that_is_ahead():
    """It has carried out a whole burst, but of its replies only the first arrives."""
    board = PretendBoard()
    wanted = [(Command.SAMPLES, bytes([j])) for j in range(60)]

    def answer(raw):
        replies, before = board(raw).split(b"\0")[:-1], len(board.done) - raw.count(b"\0") + 1
        return b"".join(reply + b"\0" for reply in (replies[:1] if before == 1 else replies))

    with Device(answer) as fake:
        transport = Transport(Line(fake.port))
        transport.begin()
        transport.write(wanted)
        transport.poll()
    assert board.done[1:] == wanted


def test_what_is_refused_is_asked_for_again():
    board = PretendBoard()
    left = iter([Status.REFUSED] * 3)
    board.carry_out = lambda command, data: next(left, Status(0)) if command == Command.RUN else \
        Status(0)
    with Device(board) as fake:
        Transport(Line(fake.port)).write([(Command.RUN, b"\1\0"), (Command.TAKE, b"")])
    assert [command for command, _ in board.done] == [Command.RESET, Command.RUN, Command.TAKE]


def test_votes_have_the_seeds_of_quant_evaluate():
    art = random_artifact(1)
    own = lfsr.seed_of(art.random, art.seed)
    assert seeds_of(art, None, 1) == [own] and seeds_of(art, None, 3) == [own, own + 1, own + 2]
    assert [lfsr.master_seed(art.random, seed) for seed in seeds_of(art, None, 3)] == [
        seed_number(art, j) for j in range(3)]
    assert len(set(seeds_of(art, None, 3))) == 3 and seeds_of(art, 9, 1) == [9]
    with pytest.raises(UserError, match="leave one of them out"):
        seeds_of(art, 9, 2)


@pytest.mark.parametrize("votes", [1, 3])
def test_a_sequence_is_sent_once_for_all_votes(votes):
    board = PretendBoard()
    values = [np.arange(8) - 4, np.array([0] * 12)]
    with Device(board) as fake:
        found = Board(Transport(Line(fake.port)))
        seeds = [found.seed_requests(ART, seed) for seed in range(1, votes + 1)]
        answers = list(found.run(values, found.predict(ART, [8, 12]), seeds))
    assert len(answers) == 2 * votes
    done = [command for command, _ in board.done if command != Command.CONFIG]
    assert done.count(Command.RUN) == 2 and done.count(Command.AGAIN) == 2 * (votes - 1)
    assert done.count(Command.SAMPLES) == done.count(Command.PACKED) == 1
    assert done.count(Command.TAKE) == 2 * votes
    assert [data for command, data in board.done if command == Command.PACKED] == [b"\x8b"]


def test_the_rate_of_a_bitstream(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKESSM_BUILD", str(tmp_path))

    def options(*given):
        return program.parse(["identify", "--port", "x", *given])
    assert session.rate(options()) == BAUD and session.rate(options("--baud", "9600")) == 9600
    asked = options("--board", "ulx3s-85f", "--task", "digits")
    with pytest.raises(UserError, match="no bitstream of digits for ulx3s-85f in .*--baud"):
        session.rate(asked)
    folder = tmp_path / "bitstream" / "x"
    folder.mkdir(parents=True)
    row = {"board": "ulx3s-85f", "task": "digits", "lanes": 1, "file": "top.bit", "baud": 3000000}
    (folder / "bitstream.json").write_text(json.dumps(row))
    assert session.rate(asked) == 3_000_000


def test_identify_a_simulation_of_nothing():
    with pytest.raises(UserError, match="--port sim needs --task"):
        program.main(["identify", "--port", "sim"])


@pytest.mark.parametrize("size, low", [(1, -128), (2, -32768), (2, 0)])
def test_samples_in_frames(size, low):
    """16,384 of them in order, whole ones in a frame, two's complement where they are negative."""
    board = Board.__new__(Board)
    board.identity = SimpleNamespace(sample_bytes=size)
    values = np.random.default_rng(1).integers(low, low + 256 ** size // (1 + (low == 0)), 16_384)
    values[:2] = low, -1 if low else 257
    found = []
    for command, data in board._load(values):
        assert command == Command.SAMPLES and len(data) <= protocol.REQUEST_DATA
        found += [int.from_bytes(data[k:k + size], "little", signed=low < 0)
                  for k in range(0, len(data), size)]
        assert len(data) % size == 0
    assert found == values.tolist()


@pytest.mark.parametrize("baud", [1, 50])
def test_a_rate_that_takes_for_ever(baud):
    """Nothing waits for the time that bytes would take there; what comes is noise."""
    with Device(chatter=lambda: b"\x55\xaa", every=0.05) as fake:
        refused(fake.port, "cannot be read", baud=baud)
