"""What may be at a port in place of a board, by name: how to make it, and what the host says.

``TALK``: what is refused when it is asked who it is; ``ODD``: boards that get as far as a run.
"""

from dataclasses import replace

import numpy as np

from rtl.link import protocol
from rtl.link.protocol import Command, Status
from tests.host.devices import Device, OldBoard, PretendBoard

RNG = np.random.default_rng(2)


def random_bytes(count=4096):
    return RNG.integers(0, 256, count, dtype=np.uint8).tobytes()


def reply(tag, command=Command.READ, expected=0, status=0, rest=b"\0\0"):
    """A whole frame that a board could send."""
    low, *high = tag.to_bytes(3, "little")
    return protocol.encode(bytes([low, command | 0x80, *high, *expected.to_bytes(3, "little"),
                                  status]) + rest)


class Odd(PretendBoard):
    """A board of which some methods are others, given as functions of (board, ...)."""

    def __init__(self, **others):
        super().__init__()
        for name, function in others.items():
            setattr(self, name, function.__get__(self))


def says(**fields):
    """A board whose identity says something else."""
    board = PretendBoard()
    board.identity = replace(board.identity, **fields)
    return Device(board)


def spoiled(at, value):
    """A board whose identity has other bytes at one place."""
    def memory(board):
        found = PretendBoard.memory(board)
        raw = found[protocol.IDENTITY]
        return found | {protocol.IDENTITY: raw[:at] + value + raw[at + len(value):]}
    return Device(Odd(memory=memory))


def never(*commands, status=Status(0)):
    """A board that answers some commands, but carries them out never."""
    def answer(board, content):
        command = Command(content[1])
        if command in commands:
            return board.frame(protocol.number(content[:1] + content[2:4]), command, status, b"")
        return PretendBoard.reply(board, content)
    return Device(Odd(reply=answer))


def after_run(status, taken):
    """A board that says something else while a sequence is inside."""
    def memory(board):
        counters = {protocol.COUNTERS: next(taken).to_bytes(4, "little") + bytes(12)}
        return PretendBoard.memory(board) | (counters if board.answer is not None else {})
    return Device(Odd(memory=memory, status=lambda board: status if board.answer is not None else
                      Status(0)))


def forgets(command):
    """A board that begins anew when it hears a command: it was switched off and on."""
    def carry_out(board, heard, data):
        if heard == command:
            board.expected = 0
        return PretendBoard.carry_out(board, heard, data)
    return Device(Odd(carry_out=carry_out))


def goes(command, said):
    """A board that is gone (None), or silent (b""), once it hears a command."""
    board, over = PretendBoard(), []

    def answer(raw):
        found = b"" if over else board(raw)
        over.extend(board.done and [1] * (board.done[-1][0] == command))
        return said if over else found
    return Device(answer)


def stale(board, content):
    """Every READ of an address is answered with what was said first, old tag and all."""
    at = bytes(content[4:])
    if content[1] != Command.READ:
        return PretendBoard.reply(board, content)
    kept = board.__dict__.setdefault("kept", {})
    return kept.setdefault(at, PretendBoard.reply(board, content))


UNREADABLE, OTHER = "cannot be read", "answers, but not what it is asked"
TALK = {
    "silent": (lambda: Device(), "no answer from"),
    "zeros": (lambda: Device(chatter=lambda: bytes(4096)), UNREADABLE),
    "slow zeros": (lambda: Device(chatter=lambda: bytes(10), every=0.001), UNREADABLE),
    "random bytes": (lambda: Device(chatter=random_bytes), UNREADABLE),
    "slow random bytes": (lambda: Device(chatter=lambda: random_bytes(20), every=0.005),
                          UNREADABLE),
    "one long frame": (lambda: Device(chatter=lambda: b"\x55" * 4096), UNREADABLE),
    "a console": (lambda: Device(lambda raw: b"login: ", lambda: b"\r\nlogin: ", 0.3), "login: "),
    "an echo": (lambda: Device(lambda raw: raw), UNREADABLE),
    "wrong tags": (lambda: Device(chatter=lambda: reply(5)), OTHER),
    "slow wrong tags": (lambda: Device(chatter=lambda: reply(5), every=0.01), OTHER),
    "wrong size": (lambda: Device(Odd(show=lambda board, at, count: bytes(count // 2))), OTHER),
    "wrong address": (lambda: Device(Odd(reply=lambda board, content: PretendBoard.reply(
        board, content[:4] + bytes([content[4] ^ 1]) + content[5:]))), OTHER),
    "old replies": (lambda: Device(Odd(reply=stale)), OTHER),
    "version 2": (lambda: Device(OldBoard()), "older version of the link"),
    "version 3": (lambda: spoiled(4, b"\3"), "speaks version 3 of the link.*make bitstream"),
    "version 5": (lambda: spoiled(4, b"\5"), "speaks version 5 of the link"),
    "another magic": (lambda: spoiled(0, b"GPS"), "but says b'GPS"),
    "understands nothing": (lambda: never(*Command, status=Status.WRONG), "does not understand"),
    "no bytes in a sample": (lambda: says(sample_bytes=0), "says sample_bytes 0, which must be in"),
    "no clock": (lambda: says(clock_khz=0), "says clock_khz 0"),
    "odd lanes": (lambda: says(lanes=3), "3 lanes do not divide 4 neurons"),
    "no layers": (lambda: says(layers=0), "says layers 0"),
    "control characters": (lambda: says(task="\x1b[2J"), r"its task is '.x1b.2J'"),
    "never reset": (lambda: never(Command.RESET), "refuses RESET"),
}
ODD = {
    "9 classes": (lambda: says(outputs=9), "contradicts itself.*outputs 9 in place of 3"),
    "2 bytes in a sample": (lambda: says(sample_bytes=2), "sample_bytes 2 in place of 1"),
    "another shape": (lambda: says(shape=bytes(8)), "its bitstream cannot take.*host.adapt"),
    "never advances": (lambda: never(Command.SAMPLES), "has not carried out SAMPLES"),
    "refuses": (lambda: never(Command.RUN, status=Status.REFUSED), "refuses RUN"),
    "no configuration": (lambda: never(Command.CONFIG, status=Status.WRONG),
                         "does not understand CONFIG with"),
    "stands still": (lambda: after_run(Status.RUNNING, iter(lambda: 7, 0)), "has no result: 7 of"),
    "works for ever": (lambda: after_run(Status.RUNNING, iter(range(0, 1 << 30, 4000))),
                       "has no result after .* cycles"),
    "runs nothing": (lambda: after_run(Status(0), iter(lambda: 7, 0)), "runs nothing any more"),
    "switched off": (lambda: forgets(Command.RUN), "was reset"),
    "unplugged": (lambda: goes(Command.SAMPLES, None), "is gone"),
    "goes silent": (lambda: goes(Command.RUN, b""), "answers no more"),
}
NONSENSE = TALK | ODD
