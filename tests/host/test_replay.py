"""Old frames that come again: a reply is that to one request, however alike another one was."""

import struct

import numpy as np
import pytest

from host.board import Board
from host.line import Line
from host.transport import Transport
from golden.tasks.formats import MU_LAW
from quant.integer import reference
from quant.integer.synthetic import random_artifact
from rtl.link import protocol
from rtl.link.protocol import Command
from tests.host.devices import Device, PretendBoard

# Four reads and four other requests for a sequence: after 64 the low bytes of tags come again.
LONG = random_artifact(1, n_layers=1, H=4, n=2, n_classes=5, length=40, sample=MU_LAW)
SEQUENCES = 90


class Replayer:
    """A line on which some requests are lost, and an old reply comes in place of the right one.

    The old one is that to the last request of the same kind: the same command, the same data, and
    a tag that ends in the same byte. ``replayed``: how many, by command.
    """

    def __init__(self, board, share):
        self.board, self.share, self.rng = board, share, np.random.default_rng(4)
        self.kept, self.replayed, self._left = {}, dict.fromkeys(Command, 0), b""

    def __call__(self, raw):
        *frames, self._left = (self._left + raw).split(b"\0")
        return b"".join(map(self.one, map(protocol.decode, filter(None, frames))))

    def one(self, content):
        command = Command(content[1])
        kind = content[0], command, content[4:] if command == Command.READ else b""
        tag, old = self.kept.get(kind, (None, b""))
        if tag not in (None, content[2:4]) and self.rng.random() < self.share:
            self.replayed[command] += 1
            return old
        self.kept[kind] = content[2:4], self.board.reply(content)
        return self.kept[kind][1]


def test_old_replies_change_no_answer():
    rng = np.random.default_rng(1)
    some = [rng.integers(-128, 128, LONG.length) for _ in range(5)]
    values = [some[j % len(some)] for j in range(SEQUENCES)]
    line = Replayer(PretendBoard(LONG), share=0.3)
    with Device(line) as device:
        board = Board(Transport(Line(device.port)))
        answers = list(board.run(values, board.predict(LONG, [LONG.length])))
    traces = [reference.run(LONG, sequence) for sequence in some]
    assert len({trace.logits.tobytes() for trace in traces}) == len(some)
    for j, answer in enumerate(answers):
        trace = traces[j % len(some)]
        assert answer.logits.tolist() == trace.logits.tolist()
        assert (answer.label, answer.saturations.tolist()) == (trace.label,
                                                               list(trace.saturations))
    for command in (Command.READ, Command.SAMPLES, Command.RUN, Command.TAKE):
        assert line.replayed[command] > 3, line.replayed


@pytest.mark.parametrize("spoiled", ["address", "count", "tag", "command"])
def test_a_reply_to_something_else_is_none(spoiled):
    """One that fits in all but one thing: the right one, which comes later, is taken."""
    class Twice(PretendBoard):
        def reply(self, content):
            right = super().reply(content)
            if content[1] != Command.READ:
                return right
            (at, count), shown = struct.unpack("<HB", content[4:]), b"\xee" * 18
            tag = protocol.number(content[:1] + content[2:4])
            other = {"tag": (tag ^ 1 << 23, at, count), "address": (tag, at ^ 256, count),
                     "count": (tag, at, count + 1 if count < 18 else 17),
                     "command": (tag, at, count)}[spoiled]
            command = Command.TAKE if spoiled == "command" else Command.READ
            rest = b"" if spoiled == "command" else struct.pack("<H", other[1]) + shown[:other[2]]
            return self.frame(other[0], command, self.status(), rest) + right

    board = Twice()
    with Device(board) as device:
        found = Board(Transport(Line(device.port)))
        assert found.identity == board.identity
        assert found.transport.counters.replies > found.transport.counters.sent


def test_requests_of_a_program_before_that_still_come():
    """Between the question which tag is expected and RESET: it is asked again."""
    board, late = PretendBoard(), [1, 1]

    def reply(content):
        if content[1] == Command.RESET and late:
            board.expected += late.pop()
        return PretendBoard.reply(board, content)
    board.reply = reply
    with Device(board) as device:
        Board(Transport(Line(device.port)))
    assert not late and [command for command, _ in board.done] == [Command.RESET]


def test_no_session_has_the_tags_of_another():
    board, seen = PretendBoard(), set()
    with Device(board) as device:
        for _ in range(20):
            line = Line(device.port)
            Board(Transport(line))
            line.close()
            assert board.expected not in seen
            seen.add(board.expected)
    assert len({tag >> 16 for tag in seen}) > 5
