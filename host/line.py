"""A serial port as a line of frames, and what can be wrong with it."""

import errno
import os
import select
import stat
import termios
import time
from dataclasses import dataclass

import serial
from serial.tools import list_ports

from golden.base.cli import UserError
from rtl.link import protocol as protocol
from rtl.link.protocol import FrameError, OldReply, Reply

BAUD = 1_000_000
WRITE_LIMIT = 1.0       # seconds that the port may refuse bytes
CHUNK = 4096            # bytes that are taken from the port at once
LONGEST_PAUSE = 0.02    # seconds, between two looks at a port that is slow
SHOWN = 12              # bytes that a message shows of what cannot be read
# What pyserial raises when a port is not there, is gone, or cannot do what it shall.
ERRORS = (serial.SerialException, OSError, TypeError, ValueError, OverflowError, termios.error)
KINDS = {stat.S_ISDIR: "a folder", stat.S_ISREG: "a file", stat.S_ISFIFO: "a pipe",
         stat.S_ISBLK: "a disk", stat.S_ISSOCK: "a socket"}


class LineError(UserError):
    """The port cannot be opened or used, or nothing sensible comes from it."""


@dataclass
class Counters:
    """What went over the line."""

    sent: int = 0           # frames
    repeated: int = 0       # of them, sent again
    replies: int = 0        # whole ones
    broken: int = 0         # pieces between zeros that were no reply
    silent: int = 0         # waits that ended with no reply
    bytes_in: int = 0
    bytes_out: int = 0


class Line:
    """A serial port, 8N1.

    Parameters
    ----------
    port : str
        Of pyserial: ``/dev/ttyUSB0``, ...
    baud : int

    Attributes
    ----------
    old : int
        Replies of a board whose link has an older version.
    last : bytes
        The begin of what came last.

    Raises
    ------
    LineError
        The port is not there, is no serial port, is in use, or cannot run at this rate.
    """

    def __init__(self, port: str, baud: int = BAUD):
        self.port, self.baud = port, baud
        self.counters = Counters()
        self.old, self.last, self._left = 0, b"", b""
        why = _no_port(port)
        if why:
            raise LineError(f"cannot open {port}: {why}; {_ports()}")
        try:
            self._serial = serial.Serial(port, baud, timeout=0, write_timeout=WRITE_LIMIT,
                                         exclusive=True)
            self._serial.reset_input_buffer()
        except ERRORS as error:
            raise LineError(f"cannot open {port}: {_reason(error, baud)}; {_ports()}") from None

    def close(self) -> None:
        self._serial.close()

    def seconds(self, count: int) -> float:
        """Time that ``count`` bytes take."""
        return 10 * count / self.baud

    def send(self, frames: list[bytes]) -> None:
        """Write whole frames. A zero before them ends whatever noise has begun."""
        whole = b"\0" + b"".join(frames)
        self.counters.sent += len(frames)
        self.counters.bytes_out += len(whole)
        try:
            self._serial.write(whole)
        except serial.SerialTimeoutException:
            raise LineError(f"{self.port} has taken no bytes for {WRITE_LIMIT:g} s; is another "
                            f"program holding the board?") from None
        except ERRORS as error:
            raise self._gone(error) from None

    def receive(self, until: float) -> list[Reply]:
        """The replies in what comes next, at most CHUNK bytes, until a monotonic moment."""
        try:
            wait = max(0.0, until - time.monotonic())
            if not select.select([self._serial.fileno()], [], [], wait)[0]:
                return []
            raw = self._serial.read(min(CHUNK, max(1, self._serial.in_waiting)))
        except ERRORS as error:
            raise self._gone(error) from None
        self.counters.bytes_in += len(raw)
        self.last = raw[:SHOWN]
        *pieces, left = (self._left + raw).split(b"\0")
        self._left = left[-protocol.LONGEST:]       # a line that never sends a zero
        found = []
        for piece in filter(None, pieces):
            try:
                found.append(protocol.parse_reply(protocol.decode(piece)))
            except FrameError as error:
                self.counters.broken += 1
                self.old += isinstance(error, OldReply)
        self.counters.replies += len(found)
        if not found:       # a piece of a frame: the rest of it comes no sooner than this
            time.sleep(min(LONGEST_PAUSE, self.seconds(protocol.LONGEST)))
        return found

    def _gone(self, error: Exception) -> LineError:
        return LineError(f"{self.port} is gone: {_reason(error, self.baud)}; plug the board in "
                         f"again and start once more")


def _no_port(port: str) -> str:
    """Why a path cannot be a board's serial port, as far as that is seen without opening it."""
    try:
        mode = os.stat(port).st_mode
    except (OSError, ValueError):
        return ""               # opening it says why
    for is_one, kind in KINDS.items():
        if is_one(mode):
            return f"it is {kind}, no serial port"
    terminals = [os.ttyname(fd) for fd in range(3) if os.isatty(fd)]
    if os.path.realpath(port) in ["/dev/tty", *terminals]:
        return "it is the terminal that this program was started in"
    return ""


def _reason(error: Exception, baud: int) -> str:
    """The system's own words, without pyserial's around them, and what helps."""
    number, text = getattr(error, "errno", None), str(error)
    if isinstance(error, termios.error):
        number = error.args[0]
    if number in (errno.EAGAIN, errno.EBUSY):
        return "another program has it open"
    if number == errno.EACCES:
        return (f"{os.strerror(number)}; let your user join the group that has it (ls -l; most "
                f"often: sudo usermod -aG dialout {os.environ.get('USER', 'USER')}) and log in "
                f"again")
    if f"({errno.ENOTTY}," in text:         # termios's, in pyserial's words
        return "it is no serial port"
    if "baud" in text or isinstance(error, OverflowError):
        return f"it cannot run at {baud} baud"
    return os.strerror(number) if number else text or type(error).__name__


def _ports() -> str:
    names = sorted(port.device for port in list_ports.comports())
    return f"serial ports here: {', '.join(names) or 'none'}"
