"""Devices at the other end of a pseudo-terminal: a board in a few lines of Python, and what is not
a board at all."""

import contextlib
import os
import select
import termios
import threading
import time
import tty

import numpy as np

from quant.integer import reference
from quant.integer.synthetic import random_artifact
from rtl import cycles
from rtl.link import protocol
from rtl.link.identity import Identity
from rtl.link.packing import Unpacker
from rtl.link.protocol import Command, Status
from rtl.parts.config import HardwareConfig
from rtl.plan import plan
from golden.tasks.formats import MU_LAW

ART = random_artifact(1, n_layers=1, H=4, n=2, n_classes=3, length=12, sample=MU_LAW)
HW = HardwareConfig(2)
LIMIT = 5.0         # seconds until whatever is wrong has been said


class Device:
    """A pseudo-terminal whose other end does what ``answer(bytes)`` says.

    ``chatter()``: bytes that it sends besides, as fast as they are taken or every ``every``
    seconds. An ``answer`` of None unplugs the device.
    """

    def __init__(self, answer=lambda raw: b"", chatter=None, every=0.0):
        self.answer, self.chatter, self.every = answer, chatter, every
        self.master, self._slave = os.openpty()
        os.set_blocking(self.master, False)
        tty.setraw(self._slave)
        self.port, self._ended = os.ttyname(self._slave), threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        waiting, spoken = b"", 0.0
        while not self._ended.is_set():
            if self.chatter and not waiting and time.monotonic() - spoken >= self.every:
                waiting, spoken = self.chatter(), time.monotonic()
            readable, writable, _ = select.select([self.master], [self.master] if waiting else [],
                                                  [], self.every or 0.02)
            if readable:
                said = self.answer(os.read(self.master, 4096))
                if said is None:
                    return self._unplug()
                waiting += said
            if writable:
                with contextlib.suppress(BlockingIOError):
                    waiting = waiting[os.write(self.master, waiting):]

    def _unplug(self):
        os.close(self._slave)
        os.close(self.master)
        self.master = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The thread ends before its file does: the next pseudo-terminal gets the same number, and
        # a thread left over would answer there for its own board.
        self._ended.set()
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()
        if self.master is not None:
            termios.tcflush(self._slave, termios.TCIFLUSH)
            self._unplug()


class PretendBoard:
    """A board that has its answers at once, from the integer network.

    ``lose`` : probability that a request, or a reply, is lost. ``done`` : what was carried out.
    """

    def __init__(self, art=ART, lose=0.0):
        self.art, self.rng, self.lose = art, np.random.default_rng(1), lose
        self.identity = Identity.of(plan(art, HW), 48e6)
        self.expected, self.done, self._left = 0, [], b""
        self.samples, self.answer, self._known = b"", None, {}
        self._unpacker, self._ran = Unpacker(1), b""

    def __call__(self, raw):
        *frames, self._left = (self._left + raw).split(b"\0")
        replies = [self.reply(protocol.decode(frame)) for frame in frames
                   if frame and self.rng.random() >= self.lose]
        return b"".join(reply for reply in replies if self.rng.random() >= self.lose)

    def reply(self, content):
        """The frame that answers a request's content."""
        tag, data = protocol.number(content[:1] + content[2:4]), content[4:]
        command = Command(content[1])
        shown, refused = b"", Status(0)
        if command == Command.READ:
            shown = data[:2] + self.show(protocol.number(data[:2]), data[2])
        elif tag == self.expected:
            refused = self.carry_out(command, data)
            if not refused:
                self.done.append((command, data))
                self.expected = protocol.number(data) if command == Command.RESET else \
                    (self.expected + 1) % (1 << 24)
        return self.frame(tag, command, self.status() | refused, shown)

    def frame(self, tag, command, status, shown):
        low, *high = tag.to_bytes(3, "little")
        head = [low, command | protocol.REPLY, *high, *self.expected.to_bytes(3, "little"), status]
        return protocol.encode(bytes(head) + shown)

    def status(self):
        return Status(0) if self.answer is None else Status.RESULT

    def carry_out(self, command, data):
        """Do it; what of the status says that it was not done."""
        if command == Command.SAMPLES:
            self.samples += data
        elif command == Command.PACKED:
            self.samples += b"".join(self._unpacker.take(data))
        elif command == Command.RUN:
            if protocol.number(data) != len(self.samples):
                return Status.WRONG
            self._ran, self.samples, self._unpacker = self.samples, b"", Unpacker(1)
            self._go()
        elif command == Command.AGAIN:
            self._go()
        elif command == Command.TAKE:
            self.answer = None
        elif command == Command.RESET:
            self.answer, self.samples, self._unpacker = None, b"", Unpacker(1)
        return Status(0)

    def _go(self):
        if self._ran not in self._known:
            values = np.frombuffer(self._ran, np.int8).astype(int)
            self._known[self._ran] = reference.run(self.art, values)
        self.answer = self._known[self._ran]
        self.taken = cycles.predict(self.art, HW, [len(self._ran)]).cycles

    def memory(self):
        """Bytes of the address space by their address."""
        found = {protocol.IDENTITY: self.identity.pack(), protocol.REGISTERS: self.identity.model
                 + self.art.seed.to_bytes(4, "little"), protocol.COUNTERS: bytes(16)}
        if self.answer is not None:
            found[protocol.COUNTERS] = self.taken.to_bytes(4, "little") + bytes(12)
            found[protocol.RESULT] = (
                self.answer.label.to_bytes(2, "little")
                + b"".join(int(v).to_bytes(6, "little", signed=True) for v in self.answer.logits)
                + b"".join(int(v).to_bytes(4, "little") for v in self.answer.saturations))
        return found

    def show(self, at, count):
        space = bytearray(0x200)
        for base, raw in self.memory().items():
            space[base:base + len(raw)] = raw
        return bytes(space[at:at + count])


class OldBoard:
    """Version 2 of the link: it knows requests by other lengths, and answers with four bytes."""

    def __init__(self):
        self._left = b""

    def __call__(self, raw):
        *frames, self._left = (self._left + raw).split(b"\0")
        return b"".join(protocol.encode(bytes([content[0], content[1] | protocol.REPLY, 0, 8]))
                        for content in map(protocol.decode, filter(None, frames)))
