"""Requests that arrive, whatever the line does: bursts, replies, repetition."""

import time
from collections.abc import Sequence

from host.line import Line, LineError
from rtl.link import protocol as protocol
from rtl.link.protocol import Command, Reply, Status

PATIENCE = 3.0          # seconds without any reply until the board is given up
LONGEST_BURST = 32      # frames on their way; tags tell 128 apart
WAITS = 0.02, 1.0       # seconds: shortest and longest wait for a reply
PAUSE = 0.002           # seconds before something refused is asked for again

Request = tuple[Command, bytes]


class Transport:
    """Reads and writes over a line that may lose, change or repeat frames.

    Requests that change something carry a tag; the board carries out the expected one alone and
    says in every reply which one that is. So a burst of them needs no more than the last reply:
    what the board did not take is sent again, what it took is not.

    Parameters
    ----------
    line : Line
    patience : float
        Seconds.
    """

    def __init__(self, line: Line, patience: float = PATIENCE):
        self.line, self.counters, self.patience = line, line.counters, patience
        self.status = Status(0)
        self._expected: int | None = None       # the board's; unknown before the first reply
        self._tag = 0                           # of the next read
        self._burst = LONGEST_BURST
        self._wait, self._usual = 0.3, 0.1      # for a reply; what an exchange takes

    def read(self, address: int, count: int) -> bytes:
        """``count`` bytes of the board's address space, any number of frames."""
        step = protocol.REPLY_DATA
        sizes = [min(step, count - at) for at in range(0, count, step)] or [0]
        missing = {}
        for number, size in enumerate(sizes):
            missing[self._tag] = number, size
            self._tag = (self._tag + 1) % 256
        parts, heard = [b""] * len(sizes), time.monotonic()
        repeated = False
        while missing:
            self.counters.repeated += len(missing) * repeated
            repeated = True
            frames = [protocol.request(tag, Command.READ, (address + number * step).to_bytes(
                2, "little") + bytes([size])) for tag, (number, size) in missing.items()]
            self.line.send(frames)
            sent, outstanding = time.monotonic(), len(frames)
            while missing:
                replies = self._replies(outstanding, heard)
                for reply in replies:
                    number, size = missing.get(reply.tag, (0, -1))
                    if reply.command == Command.READ and len(reply.data) == size:
                        del missing[reply.tag]
                        parts[number] = reply.data
                outstanding = max(1, outstanding - len(replies))
                heard = self._heard(bool(replies), heard)
                if not replies:
                    break
            else:
                self._measure(time.monotonic() - sent)
        return b"".join(parts)

    def write(self, requests: Sequence[Request], limit: float | None = None) -> None:
        """Carry out requests, each once and in order.

        Raises :class:`LineError` if the board does not answer, finds a request wrong, or refuses
        one for ``limit`` seconds (None: for ever).
        """
        if self._expected is None:
            self.read(0, 0)
        left, heard, refused_since = list(requests), time.monotonic(), None
        sent_before = 0
        while left:
            base, burst = self._expected, left[:self._burst]
            frames = [protocol.request((base + j) % 256, command, data)
                      for j, (command, data) in enumerate(burst)]
            self.counters.repeated += min(sent_before, len(frames))
            self.line.send(frames)
            sent = time.monotonic()
            done, refused, complete = 0, False, False
            outstanding, replies = len(frames), True
            while not complete and replies:
                replies = self._replies(outstanding, heard)
                outstanding = max(1, outstanding - len(replies))
                for reply in replies:
                    place = (reply.tag - base) % 256
                    if reply.command == Command.READ or place >= len(burst):
                        continue
                    advance = (reply.expected - base) % 256
                    if advance <= len(burst):
                        done = max(done, advance)
                    refused |= bool(reply.status & Status.REFUSED)
                    if reply.status & Status.WRONG:
                        raise self._wrong(*burst[place])
                    complete = complete or place == len(burst) - 1
                heard = self._heard(bool(replies), heard)
            self._expected = (base + done) % 256
            left, sent_before = left[done:], len(burst) - done
            refused_since = None if done else refused_since
            if complete and not sent_before:
                self._measure(time.monotonic() - sent)
                self._burst = min(LONGEST_BURST, self._burst + 4)
            elif refused:
                refused_since = refused_since or time.monotonic()
                if limit is not None and time.monotonic() - refused_since > limit:
                    raise LineError(f"the board at {self.line.port} is not done after {limit:g} s")
                time.sleep(PAUSE)
            else:
                self._burst = max(2, self._burst // 2)

    def poll(self) -> Status:
        """The board's state now."""
        self.read(0, 0)
        return self.status

    def _replies(self, outstanding: int, heard: float) -> list[Reply]:
        """Whatever comes until a reply to ``outstanding`` frames is overdue, or patience ends."""
        patience = max(0, heard + self.patience - time.monotonic())
        wait = min(self._wait, patience) + self.line.seconds(2 * protocol.LONGEST * outstanding)
        replies = self.line.receive(time.monotonic() + wait)
        if replies:
            self.status = replies[-1].status
            if self._expected is None:
                self._expected = replies[-1].expected
        return replies

    def _heard(self, something: bool, before: float) -> float:
        """When the board was last heard; raises when that was too long ago."""
        now = time.monotonic()
        if something:
            self._wait = min(WAITS[1], max(WAITS[0], 3 * self._usual))
            return now
        self.counters.silent += 1
        self._wait = min(WAITS[1], 2 * self._wait)
        if now - before > self.patience:
            raise LineError(self._silence(now - before))
        return before

    def _measure(self, seconds: float) -> None:
        """An exchange without losses took so long; three times the average is waited for one."""
        self._usual += 0.3 * (seconds - self._usual)

    def _silence(self, seconds: float) -> str:
        where = f"{self.line.port} at {self.line.baud} baud"
        if self.counters.bytes_in and not self.counters.replies:
            return (f"what comes from {where} cannot be read ({self.counters.bytes_in} bytes, no "
                    f"frame): is --baud the bitstream's, and is this the board's port?")
        if not self.counters.replies:
            return (f"no answer from {where} in {seconds:.1f} s: is the board powered and "
                    f"programmed, is this its port, and is --baud the bitstream's?")
        return f"{where} answers no more since {seconds:.1f} s: was the board reset or unplugged?"

    def _wrong(self, command: Command, data: bytes) -> LineError:
        return LineError(f"the board at {self.line.port} does not understand {command.name} with "
                         f"{len(data)} bytes; build its bitstream again with this version")
