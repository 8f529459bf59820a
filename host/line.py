"""A serial port as a line of frames, and what can be wrong with it."""

import os
import time
from dataclasses import dataclass

import serial
from serial.tools import list_ports

from golden.base.cli import UserError
from rtl.link import protocol as protocol
from rtl.link.protocol import FrameError, Reply

BAUD = 1_000_000
WRITE_LIMIT = 2.0       # seconds that the port may refuse bytes
SLICE = 0.02            # seconds of one wait for bytes


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
        Of pyserial: ``/dev/ttyUSB0``, ``COM3``, ...
    baud : int

    Raises
    ------
    LineError
        The port is not there, is in use, or cannot run at this rate.
    """

    def __init__(self, port: str, baud: int = BAUD):
        self.port, self.baud = port, baud
        self.counters = Counters()
        self._left = b""
        try:
            self._serial = serial.Serial(port, baud, timeout=SLICE, write_timeout=WRITE_LIMIT,
                                         exclusive=True)
            self._serial.reset_input_buffer()
        except (serial.SerialException, OSError, ValueError) as error:
            why = "another program has it open" if "lock" in str(error) else _reason(error)
            raise LineError(f"cannot open {port}: {why}; {_ports()}") from None

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
            self._serial.flush()
        except serial.SerialTimeoutException:
            raise LineError(f"{self.port} has taken no bytes for {WRITE_LIMIT:g} s; is another "
                            f"program holding the board?") from None
        except (serial.SerialException, OSError) as error:
            raise self._gone(error) from None

    def receive(self, until: float) -> list[Reply]:
        """Replies as soon as there are any; none if there are none until then (monotonic clock)."""
        found = []
        while not found:
            try:
                raw = self._serial.read(max(1, self._serial.in_waiting))
            except (serial.SerialException, OSError, TypeError) as error:
                raise self._gone(error) from None
            self.counters.bytes_in += len(raw)
            *pieces, self._left = (self._left + raw).split(b"\0")
            for piece in pieces:
                try:
                    found.append(protocol.parse_reply(protocol.decode(piece)))
                    self.counters.replies += 1
                except FrameError:
                    self.counters.broken += bool(piece)
            self._left = self._left[-protocol.LONGEST:]     # a line that never sends a zero
            if not raw and time.monotonic() > until:
                break
        return found

    def _gone(self, error) -> LineError:
        return LineError(f"{self.port} is gone: {_reason(error)}; plug the board in again and "
                         f"start once more")


def _reason(error: Exception) -> str:
    """The system's own words, without pyserial's around them."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error)


def _ports() -> str:
    names = sorted(port.device for port in list_ports.comports())
    return f"serial ports here: {', '.join(names) or 'none'}"
