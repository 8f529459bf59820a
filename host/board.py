"""A board as an object: who it is, its model, its seed, and sequences through it."""

import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from golden.base.cli import UserError
from host.line import LineError
from host.transport import Request, Transport
from quant.integer.artifact import Artifact
from rtl.link import protocol as protocol
from rtl.link.identity import Identity, IdentityError, model_digest, result_bytes, shape_digest
from rtl.link.protocol import Command, Status
from rtl.plan import Plan, plan

NO_MODEL = bytes(8)         # what a board says whose upload was not finished
WORDS = (protocol.REQUEST_DATA - 3) // 4


class ModelError(UserError):
    """The board has, or can have, another model than the one that was asked for."""


@dataclass(frozen=True)
class Answer:
    """What the board says about one sequence.

    logits : (outputs,) int64; saturations : (N + 1,) int64, of the layers, then of the stream;
    cycles : from the first sample to the result; seconds : from RUN to the result, at the host.
    """

    label: int
    logits: np.ndarray
    saturations: np.ndarray
    cycles: int
    seconds: float


class Board:
    """A board at the end of a line.

    Asks who it is at once and empties it.

    Parameters
    ----------
    transport : Transport

    Attributes
    ----------
    identity : Identity

    Raises
    ------
    LineError
        Nothing answers, or no board of this project, or one with another version of the link.
    """

    def __init__(self, transport: Transport):
        self.transport = transport
        self.port = transport.line.port
        raw = transport.read(protocol.IDENTITY, protocol.REGISTERS - protocol.IDENTITY)
        try:
            self.identity = Identity.unpack(raw)
        except IdentityError as error:
            raise LineError(f"{self.port}: {error}") from None
        transport.write([(Command.RESET, b"")], limit=1.0)

    def registers(self) -> dict[str, bytes | int]:
        """The link's registers: ``model`` as bytes, the others as numbers.

        ``seed`` is ``protocol.LONG_SEED`` where it needs more than 32 bits.
        """
        sizes = protocol.REGISTER_FIELDS
        raw = self.transport.read(protocol.REGISTERS, sum(sizes.values()))
        model, *numbers = struct.unpack(f"<8s{len(sizes) - 1}I", raw)
        return dict(zip(sizes, (model, *numbers)))

    def expect(self, art: Artifact, hint: str) -> None:
        """Raise :class:`ModelError` unless the board has just this model."""
        have = self.registers()["model"]
        if have == model_digest(art):
            return
        said = "no whole model (an upload was not finished)" if have == NO_MODEL else \
            f"model {have.hex()}"
        if self.fits(art):
            raise ModelError(f"the board at {self.port} has {said}, not {model_digest(art).hex()} "
                             f"({art.task}); upload it: {hint}")
        raise ModelError(f"the board at {self.port} has {said}, built for {self.identity.task} "
                         f"({self.identity}), not {model_digest(art).hex()} ({art.task}), and its "
                         f"bitstream cannot take that one; build one: make bitstream")

    def plan(self, art: Artifact) -> Plan:
        """The core that the board would have, were it built for ``art``."""
        return plan(art, self.identity.hardware())

    def fits(self, art: Artifact) -> bool:
        """Whether this bitstream can take the network: all but coefficients and seed is equal."""
        return self.identity.shape == shape_digest(self.plan(art))

    def upload(self, art: Artifact) -> Iterator[int]:
        """Write every coefficient; yields the words written so far, at last their number.

        An upload that is not finished leaves a board that says it has no model.
        """
        if not self.fits(art):
            raise ModelError(f"{art.task} does not fit the bitstream at {self.port}, built for "
                             f"{self.identity.task} ({self.identity}): shape, number formats, "
                             f"options and lanes must be equal; build one: make bitstream")
        self._own(NO_MODEL, protocol.LONG_SEED)
        yield from self.words(self.plan(art).writes())
        self._own(model_digest(art), art.seed)

    def _own(self, model: bytes, seed: int) -> None:
        """Tell the board which model it has now."""
        own = (*struct.unpack("<2I", model), protocol.seed_word(seed))
        for _ in self.words([(protocol.OWN_WORDS + j, word) for j, word in enumerate(own)]):
            pass

    def words(self, writes: Sequence[tuple[int, int]]) -> Iterator[int]:
        """Write (address, word) pairs on the configuration bus, in order; yields how many are."""
        requests: list[Request] = []
        ends, at = [], 0
        while at < len(writes):
            count = 1
            while (count < WORDS and at + count < len(writes)
                   and writes[at + count][0] == writes[at][0] + count):
                count += 1
            data = writes[at][0].to_bytes(3, "little") + b"".join(
                word.to_bytes(4, "little") for _, word in writes[at:at + count])
            requests.append((Command.CONFIG, data))
            at += count
            ends.append(at)
        for first in range(0, len(requests), 256):
            self.transport.write(requests[first:first + 256], limit=2.0)
            yield ends[min(first + 256, len(requests)) - 1]

    def seed(self, art: Artifact, seed: int) -> None:
        """Start every random stream from a master seed, from the next sequence on."""
        writes = self.plan(art).seed_writes(seed)
        for _ in self.words([*writes, (protocol.OWN_WORDS + 2, protocol.seed_word(seed))]):
            pass

    def run(self, sequences: Sequence[np.ndarray], limit: float = 600.0) -> Iterator[Answer]:
        """Answers of sequences, in order; the next one is loaded while one is run.

        Raises :class:`LineError` when an answer takes longer than ``limit`` seconds.
        """
        loads = iter(sequences)
        following = next(loads, None)
        ready = [] if following is None else self._load(following)
        self.transport.write(ready)
        ahead: list[Request] = []
        while following is not None:
            length = len(following).to_bytes(2, "little")
            following = next(loads, None)
            ahead += [(Command.RUN, length)]
            self.transport.write(ahead, limit=2.0)
            begin = time.perf_counter()
            if following is not None:
                self.transport.write(self._load(following))
            while not self.transport.poll() & Status.RESULT:
                if time.perf_counter() - begin > limit:
                    raise LineError(f"the board at {self.port} has no result after {limit:g} s")
            seconds = time.perf_counter() - begin
            yield self._answer(seconds)
            ahead = [(Command.TAKE, b"")]
        self.transport.write(ahead)

    def _load(self, values: np.ndarray) -> list[Request]:
        """SAMPLES requests of one sequence."""
        size = self.identity.sample_bytes
        mask, step = (1 << 8 * size) - 1, (protocol.REQUEST_DATA - 2) // size
        return [(Command.SAMPLES, at.to_bytes(2, "little") + b"".join(
            (int(value) & mask).to_bytes(size, "little") for value in values[at:at + step]))
            for at in range(0, len(values), step)]

    def _answer(self, seconds: float) -> Answer:
        layers, outputs = self.identity.layers, self.identity.outputs
        raw = self.transport.read(protocol.RESULT, result_bytes(layers, outputs))
        at = protocol.LABEL_BYTES
        logits = []
        for _ in range(outputs):
            logits.append(int.from_bytes(raw[at:at + protocol.LOGIT_BYTES], "little", signed=True))
            at += protocol.LOGIT_BYTES
        return Answer(int.from_bytes(raw[:protocol.LABEL_BYTES], "little"),
                      np.array(logits, np.int64), np.frombuffer(raw[at:], "<u4").astype(np.int64),
                      self.registers()["cycles"], seconds)
