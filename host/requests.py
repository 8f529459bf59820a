"""The requests that carry words, seeds and samples to a board, without a board."""

from collections.abc import Iterable, Sequence

from host.transport import Request
from rtl.link import protocol
from rtl.link.packing import pack, plain
from rtl.link.protocol import Command
from rtl.plan import Plan

WORDS = (protocol.REQUEST_DATA - 3) // 4        # of one request
EMPTY = len(protocol.encode(bytes(protocol.REQUEST_HEAD)))      # bytes of a frame without data


def line_bytes(requests: Iterable[Request]) -> int:
    """Bytes that requests take on the line."""
    return sum(EMPTY + len(data) for _, data in requests)


def configure(writes: Sequence[tuple[int, int]]) -> list[Request]:
    """CONFIG requests of (address, word) pairs, in order; neighbours share one."""
    requests, at = [], 0
    while at < len(writes):
        count = 1
        while (count < WORDS and at + count < len(writes)
               and writes[at + count][0] == writes[at][0] + count):
            count += 1
        data = writes[at][0].to_bytes(3, "little") + b"".join(
            word.to_bytes(4, "little") for _, word in writes[at:at + count])
        requests.append((Command.CONFIG, data))
        at += count
    return requests


def seeding(planned: Plan, seed: int) -> list[Request]:
    """What starts every random stream of a core from a master seed, and tells the board of it."""
    return configure([*planned.seed_writes(seed),
                      (protocol.OWN_WORDS + 2, protocol.seed_word(seed))])


def load(values: Iterable[int], size: int) -> list[Request]:
    """The requests for a sequence of samples of ``size`` bytes, packed where that is shorter."""
    values = list(values)
    return min(([(Command.SAMPLES, data) for data in plain(values, size)],
                [(Command.PACKED, data) for data in pack(values, size)]), key=line_bytes)
