"""How long one operation at a board may take, and what is said when it takes longer."""

import time
from dataclasses import replace

from host.line import Line, LineError
from rtl.link import protocol as protocol
from rtl.link.identity import AGAIN

PATIENCE = 2.0          # seconds without anything useful until a board is given up
EACH = 1 / 32           # of that: what a reply may take on average, beside its time on the line
USELESS = 1 << 16       # bytes without a useful reply among them: nothing will come any more


class Watch:
    """The end of an operation that gets on too slowly, or not at all.

    Only what gets the operation on is useful: a reply to a request of its own with the bytes that
    were asked for, or the board's word that it carried a request out. The next one must come within
    ``patience`` seconds, and on average they all must not take longer than EACH of that.

    Parameters
    ----------
    line : Line
    patience : float
        Seconds.
    what : str
        The operation, for messages.
    known : bool
        The board has answered before.
    """

    def __init__(self, line: Line, patience: float, what: str, known: bool):
        self.line, self.patience, self.what, self.known = line, patience, what, known
        self.begin = time.monotonic()
        self.done = 0
        self.useful(0)

    def useful(self, count: int = 1) -> None:
        """So many more replies, or requests carried out, were useful."""
        self.done += count
        self.last = time.monotonic()
        self._then = replace(self.line.counters)
        self.answers, self.refused = 0, False

    def answered(self, refused: bool) -> None:
        """The board answered a request of this operation, but did not get it on."""
        self.answers += 1
        self.refused |= refused

    @property
    def end(self) -> float:
        """When the board is given up (monotonic clock)."""
        each = EACH * self.patience + self.line.seconds(2 * protocol.LONGEST)
        return min(self.last, self.begin + each * self.done) + self.patience

    def check(self) -> None:
        """Raise :class:`LineError` if it is over."""
        useless = self.line.counters.bytes_in - self._then.bytes_in
        if time.monotonic() >= self.end or useless > USELESS:
            raise LineError(self._why(useless))

    def _why(self, useless: int) -> str:
        """What is wrong, from what was heard since the last useful reply."""
        line = self.line
        where, since = f"{line.port} at {line.baud} baud", time.monotonic() - self.last
        frames = line.counters.replies - self._then.replies
        if line.old and not self.known:
            return (f"the board at {line.port} has an older version of the link than this program, "
                    f"which has {protocol.VERSION}; {AGAIN}")
        if self.refused:
            return (f"the board at {line.port} refuses {self.what} for {since:.1f} s; switch it "
                    f"off and on, and start once more")
        if self.answers:
            return (f"the board at {line.port} answers, but has not carried out {self.what} in "
                    f"{since:.1f} s; switch it off and on, and start once more")
        if frames:
            return (f"what is at {where} answers, but not what it is asked ({frames} replies in "
                    f"{since:.1f} s): is another program talking to the board, is this its port?")
        if useless:
            return (f"what comes from {where} cannot be read ({useless} bytes in {since:.1f} s, no "
                    f"frame; at last {line.last!r}): is --baud the bitstream's, and is this the "
                    f"board's port?")
        if self.known:
            return (f"{where} answers no more since {since:.1f} s: was the board reset or "
                    f"unplugged?")
        return (f"no answer from {where} in {since:.1f} s: is the board powered and programmed, is "
                f"this its port, and is --baud the bitstream's?")
