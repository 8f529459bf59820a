"""The link between host and board: frames on a serial line. ``docs/host.md`` tells how it works.

A frame is at most 32 bytes on the line: its content, a CRC-16, both made free of zeros by COBS, and
a zero that ends it. So a receiver that lost its place has it again at the next zero.

Request: ``tag, command, data``. Reply: ``tag, command | REPLY, expected, status``, and of READ
``address, data``: so no old reply can be taken for that to another request. Numbers are little
endian; the CRC-16 (polynomial 0x1021, start 0xFFFF) follows with its high byte first.
"""

import binascii
from dataclasses import dataclass
from enum import IntEnum, IntFlag

VERSION = 4
LONGEST = 32                # bytes of a frame on the line, the zero included
CONTENT = LONGEST - 4       # bytes between COBS's code and the CRC
TAG_BITS = 24               # of tag and expected: over an hour until one comes again
REQUEST_HEAD, REPLY_HEAD = 4, 8
READ_HEAD = REPLY_HEAD + 2  # of a reply with bytes of the address space: their address
REQUEST_DATA, READ_DATA = CONTENT - REQUEST_HEAD, CONTENT - READ_HEAD
OLD_REPLY = 4               # bytes of one without data in versions 1 and 2
REPLY = 0x80


class Command(IntEnum):
    """What a request asks for; its data behind each.

    READ may come in any order and any number of times; its tag is any number. The others change
    something: such a frame is carried out only if its tag is the expected one, which then rises by
    one (modulo 2^24).
    """

    READ = 0x01         # address (2), count (1): so many bytes of the address space in the reply
    SAMPLES = 0x10      # samples of ``sample_bytes`` each: on the end of the next sequence
    RUN = 0x11          # length (2): run the next sequence, which must have just this length
    TAKE = 0x12         # throw the result away: room for the next
    CONFIG = 0x13       # word address (3), words of 4 bytes: on the configuration bus
    RESET = 0x14        # tag to expect (3): empty core and buffers; coefficients stay
    PACKED = 0x15       # as SAMPLES, in the form of rtl.link.packing
    AGAIN = 0x16        # run the sequence that was run last once more


class Status(IntFlag):
    """State of the board after a request."""

    RUNNING = 1         # a sequence is inside, its result is not there yet
    RESULT = 2          # a result can be read
    REFUSED = 4         # in order, but not now: nothing was done, ask again later
    WRONG = 8           # an unknown command, or data that do not belong to it


# Byte addresses of READ.
IDENTITY, REGISTERS, RESULT = 0x000, 0x040, 0x100
REGISTER_FIELDS = {"model": 8, "seed": 4, "cycles": 4, "good": 4, "bad": 4, "dropped": 4}
COUNTERS = REGISTERS + 12       # where the fields begin that the link counts itself
FRAMES_BITS = 16                # of the counts of frames, which begin anew then
# Word addresses of CONFIG from here on are the link's own: the model's digest (2), the seed (1).
OWN_WORDS = 0x800000
# Seeds of wider generators need not fit the register; 0 starts no generator, so it is free.
LONG_SEED = 0
LABEL_BYTES, LOGIT_BYTES, SATURATION_BYTES = 2, 6, 4


LONGEST_SEQUENCE = (1 << 16) - 1    # steps: a length has two bytes on the line


class FrameError(ValueError):
    """Bytes that are not a frame; the message says why."""


class OldReply(FrameError):
    """What a board whose link has version 1 or 2 says to any request: it does not know it."""


@dataclass(frozen=True)
class Reply:
    """A reply of the board; ``address`` and ``data`` of READ, if it was not wrong."""

    tag: int
    command: Command
    expected: int
    status: Status
    address: int = 0
    data: bytes = b""


def seed_word(seed: int) -> int:
    """What the register says of a master seed: itself, or LONG_SEED for one of over 32 bits."""
    return seed if seed < 1 << 32 else LONG_SEED


def crc16(content: bytes) -> int:
    """CRC-16/IBM-3740 of some bytes."""
    return binascii.crc_hqx(content, 0xFFFF)


def stuff(content: bytes) -> bytes:
    """Consistent overhead byte stuffing of at most 253 bytes: one byte longer, no zeros."""
    out = bytearray()
    for part in content.split(b"\0"):
        out += bytes([len(part) + 1]) + part
    return bytes(out)


def unstuff(line: bytes) -> bytes:
    """Inverse of :func:`stuff`; raises :class:`FrameError`."""
    parts, at = [], 0
    while at < len(line):
        code = line[at]
        if not code or at + code > len(line):
            raise FrameError("a COBS code points behind the frame")
        parts.append(line[at + 1:at + code])
        at += code
    return b"\0".join(parts)


def encode(content: bytes) -> bytes:
    """A frame as it goes over the line, its zero included."""
    if not REQUEST_HEAD <= len(content) <= CONTENT:
        raise FrameError(f"a frame has {REQUEST_HEAD}..{CONTENT} bytes, not {len(content)}")
    return stuff(content + crc16(content).to_bytes(2, "big")) + b"\0"


def decode(line: bytes) -> bytes:
    """Content of a frame without its zero; raises :class:`FrameError`."""
    if not REQUEST_HEAD + 3 <= len(line) < LONGEST:
        raise FrameError(f"{len(line) + 1} bytes are not a frame")
    whole = unstuff(line)
    if crc16(whole[:-2]) != int.from_bytes(whole[-2:], "big"):
        raise FrameError("the checksum is wrong")
    return whole[:-2]


def request(tag: int, command: Command, data: bytes = b"") -> bytes:
    """A request as it goes over the line.

    The low byte of the tag and the command stand where versions 1 and 2 had tag and command: a
    board of those answers too, in its own way (:class:`OldReply`).
    """
    low, *high = tag.to_bytes(3, "little")
    return encode(bytes([low, command, *high]) + data)


def parse_reply(content: bytes) -> Reply:
    """Fields of a reply's content; raises :class:`FrameError`, and of it :class:`OldReply`."""
    command = content[1] - REPLY
    if command not in list(Command):
        raise FrameError(f"0x{content[1]:02x} is not a reply")
    if len(content) == OLD_REPLY:
        raise OldReply("a reply of version 1 or 2")
    status = Status(content[7] & 15) if len(content) >= REPLY_HEAD else Status(0)
    shows = command == Command.READ and Status.WRONG not in status
    if len(content) < READ_HEAD if shows else len(content) != REPLY_HEAD:
        raise FrameError(f"{len(content)} bytes are not a reply to {Command(command).name}")
    return Reply(number(content[:1] + content[2:4]), Command(command), number(content[4:7]),
                 status, number(content[REPLY_HEAD:READ_HEAD]), content[READ_HEAD:])


def number(raw: bytes) -> int:
    """Of bytes on the line; 0 of none."""
    return int.from_bytes(raw, "little")
