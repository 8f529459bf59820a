"""What is said of a sequence's time, against what really goes over a line."""

import json
import struct
from types import SimpleNamespace

import numpy as np
import pytest

from host import __main__ as program
from host import latency
from host.board import Board
from rtl import cycles
from rtl.boards.catalogue import BOARDS
from rtl.link import protocol
from rtl.link.protocol import Command, Status
from rtl.parts.config import HardwareError
from tests.host.devices import ART, PretendBoard

SEQUENCES = [np.array([0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0]), np.arange(1, 13)]


class Counted:
    """A transport without a line between it and a board: nothing is lost, every byte is counted.

    But for replies to samples and seeds: on a line they come while more is sent.
    """

    def __init__(self):
        self.board, self.patience = PretendBoard(), 5.0
        self.line, self.counted = SimpleNamespace(port="counted"), 0

    def begin(self):
        pass

    def _ask(self, tag, command, data):
        frame = protocol.request(tag, command, data)
        self.counted += len(frame)
        answer = self.board(frame)
        reply = protocol.parse_reply(protocol.decode(answer[:-1]))
        self.status = reply.status
        return reply, len(answer)

    def read(self, address, count):
        found = b""
        for at in range(0, count, protocol.READ_DATA):
            size = min(protocol.READ_DATA, count - at)
            reply, length = self._ask(0, Command.READ, struct.pack("<HB", address + at, size))
            self.counted += length
            found += reply.data
        return found

    def write(self, requests):
        for command, data in requests:
            reply, length = self._ask(self.board.expected, command, data)
            assert not reply.status & (Status.REFUSED | Status.WRONG)
            alone = command in (Command.RUN, Command.AGAIN, Command.TAKE)
            self.counted += length if alone else 0


@pytest.mark.parametrize("votes", [1, 4])
def test_bytes_are_those_of_the_line(votes):
    """The last result's TAKE comes after it was read, so that it counts no more."""
    row = latency.measure(ART, BOARDS["ulx3s-85f"], 1, SEQUENCES, list(range(1, votes + 1)))
    transport = Counted()
    board = Board(transport)
    seeds = [board.seed_requests(ART, seed) for seed in range(1, votes + 1)]
    transport.counted = 0
    for values in SEQUENCES:
        assert len(list(board.run([values], {12: 1000}, seeds))) == votes
    times = row["voted"]
    said = len(SEQUENCES) * (times["ms_up"] + times["ms_back"]) * row["baud"] / 1e4
    last = latency.EMPTY + latency.REPLY
    assert transport.counted - len(SEQUENCES) * last == pytest.approx(said)


def test_times_add_up():
    slow = latency.measure(ART, BOARDS["ulx3s-85f"], 1, SEQUENCES, [1, 2])
    fast = latency.measure(ART, BOARDS["ulx3s-85f"].running(100, 3_000_000), 1, SEQUENCES, [1, 2])
    predicted = cycles.predict(ART, BOARDS["ulx3s-85f"].hardware(1), [12]).cycles
    assert slow["cycles"] == predicted and slow["one"]["ms_core"] == predicted / 50e3
    for form in ("one", "voted"):
        assert fast[form]["ms_core"] == pytest.approx(slow[form]["ms_core"] / 2)
        for part in ("ms_up", "ms_back"):
            assert fast[form][part] == pytest.approx(slow[form][part] / 3)
        parts = [slow[form][part] for part in ("ms_up", "ms_core", "ms_back")]
        assert slow[form]["ms_total"] == pytest.approx(sum(parts))
    assert slow["voted"]["ms_core"] == 2 * slow["one"]["ms_core"]
    assert slow["voted"]["ms_up"] < 2 * slow["one"]["ms_up"] + 1e4 * 80 / slow["baud"]
    assert slow["one"]["bottleneck"] == "line"
    assert latency.Times(1.0, 2.5, 1.0).bottleneck == "core"
    # Four bytes in place of twelve for the first one: marks of seven, a run of zeros.
    assert slow["bytes"] == 20 and slow["bytes_sent"] == (8 + 3 + 8 + 12) / 2


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(program, "load", lambda args: (Two(), ART))
    path = tmp_path / "row.json"
    options = ["latency", "--task", "x", "--board", "icepi-zero", "--lanes", "1", "-n", "2"]
    assert program.main([*options, "--clock", "100", "--baud", "2500000", "--votes", "3",
                         "--json", str(path)]) == 0
    out = capsys.readouterr().out
    assert "synthetic on icepi-zero, lanes: 1" in out and "3 votes" in out
    assert "100 MHz, 2,500,000 baud" in out
    row = json.loads(path.read_text())
    assert (row["votes"], row["sequences"], row["baud"], row["clock_MHz"]) == (3, 2, 2.5e6, 100)
    with pytest.raises(HardwareError, match="EHXPLLL cannot make it from 50 MHz; the nearest"):
        program.main([*options, "--clock", "77.77"])
    with pytest.raises(HardwareError, match="the serial line of icepi-zero does at most 3,000,000"):
        program.main([*options, "--baud", "4000000"])
    with pytest.raises(HardwareError, match="3 lanes do not divide"):
        program.main([*options, "--lanes", "3"])


class Two:
    """A task whose test set has two sequences, and that test set."""

    def load(self, name, folder):
        return self

    def __len__(self):
        return 2

    def take(self, chosen):
        assert chosen.tolist() == [0, 1]
        return self

    def sequences(self):
        return SimpleNamespace(values=np.array(SEQUENCES), lengths=np.array([12, 12]))
