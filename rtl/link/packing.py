"""Samples in fewer bytes: runs of zeros, and marks of which of seven samples are none.

A sequence is a row of tokens, cut into frames between any two bytes that are not of one sample:

.. code-block:: text

    1nnnnnnn            n + 1 zeros
    0mmmmmmm            seven samples, the lowest bit's first: a zero, or (1) a sample that follows
    00000000 count      so many samples follow

Every byte costs the line ten bits, so pictures, most of whose samples are zero, take a third.
"""

from collections.abc import Iterable

from rtl.link import protocol

ZEROS = 0x80            # marks a run of zeros
MARKS = 7               # samples of a token with marks
MOST_ZEROS, MOST = 128, 255     # of a run of zeros; of samples that follow a count
DENSE = 16              # samples without a zero from which on a count is shorter than marks


def raw(value: int, size: int) -> bytes:
    """A sample as ``size`` bytes, signed ones in two's complement."""
    return (int(value) & (1 << 8 * size) - 1).to_bytes(size, "little")


def tokens(values: list[int]) -> Iterable[tuple[int, int, list[int]]]:
    """(control byte, count or -1, samples that follow) for a whole sequence."""
    at, end = 0, len(values)
    nonzero = [j for j, value in enumerate(values) if value] + [end]
    seen = 0            # of nonzero: the first that is not before `at`
    while at < end:
        while nonzero[seen] < at:
            seen += 1
        zeros = min(nonzero[seen] - at, MOST_ZEROS)
        if zeros >= MARKS or zeros and at + zeros == end:
            yield ZEROS | zeros - 1, -1, []
            at += zeros
            continue
        dense = 0
        while not zeros and at + dense < end and dense < MOST and values[at + dense]:
            dense += 1
        if dense >= DENSE or end - at < MARKS:
            taken = values[at:at + (dense if dense >= DENSE else MARKS)]
            yield 0, len(taken), taken
        else:
            taken = values[at:at + MARKS]
            marks = sum((value != 0) << j for j, value in enumerate(taken))
            yield marks, -1, [value for value in taken if value]
        at += len(taken)


def pack(values: Iterable[int], size: int) -> list[bytes]:
    """The data of the PACKED requests for a sequence of samples of ``size`` bytes each."""
    frames = [b""]
    for control, count, samples in tokens([int(value) for value in values]):
        for piece in (bytes([control] if count < 0 else [control, count]),
                      *(raw(value, size) for value in samples)):
            if len(frames[-1]) + len(piece) > protocol.REQUEST_DATA:
                frames.append(b"")
            frames[-1] += piece
    return frames


def plain(values: Iterable[int], size: int) -> list[bytes]:
    """The data of the SAMPLES requests for the same."""
    whole = [raw(value, size) for value in values]
    step = protocol.REQUEST_DATA // size
    return [b"".join(whole[at:at + step]) for at in range(0, len(whole), step)]


class Unpacker:
    """What a board makes of PACKED requests, one after the other; RUN and RESET begin anew.

    Bit-exact model of :class:`rtl.link.samples.Samples`.
    """

    def __init__(self, size: int):
        self.size = size
        self.marks, self.count, self.counted = [], 0, False

    def take(self, data: bytes) -> list[bytes]:
        """The samples, ``size`` bytes each, that one request's data give."""
        found, at = [], 0
        while True:
            while self.marks and not self.marks[0]:
                found.append(bytes(self.size))
                self.marks.pop(0)
            if at >= len(data):
                return found
            if self.marks or self.count:
                if at + self.size > len(data):      # half a sample is none
                    return found
                found.append(data[at:at + self.size])
                at += self.size
                if self.marks:
                    self.marks.pop(0)
                else:
                    self.count -= 1
                continue
            byte, at = data[at], at + 1
            if self.counted:
                self.count, self.counted = byte, False
            elif byte & ZEROS:
                found += [bytes(self.size)] * ((byte & ~ZEROS) + 1)
            elif byte:
                self.marks = [byte >> j & 1 for j in range(MARKS)]
            else:
                self.counted = True
