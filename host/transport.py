"""Requests that arrive, whatever the line does: bursts, replies, repetition."""

import secrets
import time
from collections.abc import Iterator, Sequence

from host.line import Line, LineError
from host.watch import PATIENCE, Watch
from rtl.link import protocol as protocol
from rtl.link.identity import AGAIN
from rtl.link.protocol import Command, Reply, Status

LONGEST_BURST = 32      # frames on their way
READS = 3               # of them READ: the board has room for two while it answers one
WAITS = 0.02, 1.0       # seconds: shortest and longest wait for a reply
TRIES = 16              # at least so many of the longest ones before the patience ends
PAUSES = 0.002, 0.02    # seconds before something that got nowhere is tried again
TAGS = 1 << protocol.TAG_BITS

Request = tuple[Command, bytes]


class Transport:
    """Reads and writes over a line that may lose, change or repeat frames.

    Requests that change something carry a tag; the board carries out the expected one alone and
    says in every reply which one that is. So a burst of them needs no more than the last reply:
    what the board did not take is sent again, what it took is not. Tags begin at random and do not
    come again while a board is used, so a reply, however old, is that to one request alone.

    Parameters
    ----------
    line : Line
    patience : float
        Seconds, as of :class:`host.watch.Watch`.
    """

    def __init__(self, line: Line, patience: float = PATIENCE):
        self.line, self.counters, self.patience = line, line.counters, patience
        self.status = Status(0)                 # of the last reply to a read
        self._known = False                     # anything useful was heard
        self._expected: int | None = None       # by the board, since begin
        self._found = 0                         # what it expected before
        self._tag = secrets.randbelow(TAGS)     # of the next read
        self._burst = LONGEST_BURST
        self._usual = min(0.1, patience / 100)  # seconds that an exchange takes
        self._wait = 3 * self._usual            # for a reply

    def begin(self) -> None:
        """Empty the board; from now on it expects tags that no program before has used."""
        self._expected, watch = None, self._watch(Command.RESET.name)
        new = secrets.randbelow(TAGS)
        while True:
            self.read(0, 0)     # each time: what a program before has sent may still come
            tag = self._found
            frame = protocol.request(tag, Command.RESET, new.to_bytes(3, "little"))
            for reply in self._exchange([frame], watch):
                if (reply.tag, reply.command) == (tag, Command.RESET):
                    self._right(reply, 3)
                    if reply.expected == new:
                        self._expected = new
                        return
                    watch.answered(refused=True)
                    break
            watch.check()
            time.sleep(PAUSES[1])

    def read(self, address: int, count: int) -> bytes:
        """``count`` bytes of the board's address space, any number of frames.

        Raises :class:`LineError` if they do not come, or the board was reset since :meth:`begin`.
        """
        step = protocol.READ_DATA
        pieces = [(address + at, min(step, count - at)) for at in range(0, count, step)]
        pieces, watch = pieces or [(address, 0)], self._watch(Command.READ.name)
        return b"".join(self._read(pieces[at:at + READS], watch)
                        for at in range(0, len(pieces), READS))

    def _read(self, pieces: list[tuple[int, int]], watch: Watch) -> bytes:
        """Bytes of some (address, size)."""
        missing, parts = {}, {}
        for piece in pieces:
            missing[self._tag] = piece
            self._tag = (self._tag + 1) % TAGS
        repeated = False
        while missing:
            self.counters.repeated += len(missing) * repeated
            repeated, sent = True, time.monotonic()
            frames = [protocol.request(tag, Command.READ, at.to_bytes(2, "little") + bytes([size]))
                      for tag, (at, size) in missing.items()]
            for reply in self._exchange(frames, watch):
                if reply.command != Command.READ or reply.tag not in missing:
                    continue
                self._right(reply, 3)
                if (reply.address, len(reply.data)) != missing[reply.tag]:
                    continue
                parts[missing.pop(reply.tag)] = reply.data
                self._hear(reply)
                watch.useful()
                if not missing:
                    self._measure(time.monotonic() - sent)
                    break
        return b"".join(parts[piece] for piece in pieces)

    def _hear(self, reply: Reply) -> None:
        """What the board says of itself in a reply that it has just made."""
        self._known, self.status, self._found = True, reply.status, reply.expected
        if self._expected not in (None, reply.expected):
            raise self._reset()

    def write(self, requests: Sequence[Request]) -> None:
        """Carry out requests, each once and in order.

        Raises :class:`LineError` if the board does not answer, finds a request wrong, refuses one
        for too long, or was reset since :meth:`begin`.
        """
        if self._expected is None:
            self.begin()
        left, ahead, watch = list(requests), 0, self._watch("")
        while left:
            burst, sent = left[:self._burst], time.monotonic()
            watch.what = burst[0][0].name
            self.counters.repeated += min(ahead, len(burst))
            ahead = max(ahead, len(burst))          # so many the board may have carried out
            done, refused, complete = self._send(burst, ahead, watch)
            self._expected = (self._expected + done) % TAGS
            left, ahead = left[done:], ahead - done
            if complete and not ahead:
                self._measure(time.monotonic() - sent)
                self._burst = min(LONGEST_BURST, self._burst + 4)
                continue
            if not refused:
                self._burst = max(2, self._burst // 2)
            if complete and not done:
                time.sleep(min(PAUSES[1], PAUSES[0] + (time.monotonic() - watch.last) / 32))

    def _send(self, burst: Sequence[Request], ahead: int, watch: Watch) -> tuple[int, bool, bool]:
        """Send requests once, of ``ahead`` that were sent at some time.

        Returns how many of these were carried out, if one was refused, if the last was answered.
        """
        base, done, refused = self._expected, 0, False
        frames = [protocol.request((base + j) % TAGS, command, data)
                  for j, (command, data) in enumerate(burst)]
        for reply in self._exchange(frames, watch):
            place = (reply.tag - base) % TAGS
            if place >= len(burst) or reply.command != burst[place][0]:
                continue
            self._right(reply, len(burst[place][1]))
            advance = (reply.expected - base) % TAGS
            if advance > done and advance <= ahead:
                watch.useful(advance - done)
                done = advance
            elif advance <= ahead or TAGS - advance <= 2 * LONGEST_BURST:   # before base: late
                watch.answered(Status.REFUSED in reply.status)
            else:
                raise self._reset()
            refused |= Status.REFUSED in reply.status
            if place == len(burst) - 1 or done >= len(burst):
                return done, refused, True
        return done, refused, False

    def poll(self) -> Status:
        """The board's state now."""
        self.read(0, 0)
        return self.status

    def _watch(self, what: str) -> Watch:
        return Watch(self.line, self.patience, what, self._known)

    def _exchange(self, frames: list[bytes], watch: Watch) -> Iterator[Reply]:
        """Send frames; every reply until one is overdue. Raises when the watch ends.

        A late reply to something older is not useful, but says that those to the frames are still
        to come: so a slow board is not given more and more of them.
        """
        self.line.send(frames)
        outstanding, begin = len(frames), time.monotonic()
        while True:
            wait = self._wait + self.line.seconds(2 * protocol.LONGEST * outstanding)
            replies = self.line.receive(min(begin + wait, watch.end))
            yield from replies
            watch.check()
            if replies:
                outstanding, begin = max(1, outstanding - len(replies)), time.monotonic()
                self._wait = max(WAITS[0], 3 * self._usual)
            elif time.monotonic() >= begin + wait:
                break
        self.counters.silent += 1
        self._wait = max(self._wait, min(2 * self._wait, WAITS[1], self.patience / TRIES))

    def _measure(self, seconds: float) -> None:
        """An exchange without losses took so long; three times the average is waited for one."""
        self._usual += 0.3 * (seconds - self._usual)
        self._wait = max(WAITS[0], 3 * self._usual)

    def _reset(self) -> LineError:
        return LineError(f"the board at {self.line.port} was reset, or another program has spoken "
                         f"to it; start once more")

    def _right(self, reply: Reply, size: int) -> None:
        """Raise if a board finds a request with ``size`` bytes wrong; none of these are."""
        if Status.WRONG in reply.status:
            raise LineError(f"the board at {self.line.port} does not understand "
                            f"{reply.command.name} with {size} bytes; {AGAIN}")
