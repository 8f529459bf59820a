"""A board as an object: who it is, its model, its seed, and sequences through it."""

import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from golden.base.cli import UserError
from host.line import LineError
from host.requests import configure, load, seeding
from host.transport import Request, Transport
from quant.integer.artifact import Artifact
from rtl import cycles
from rtl.link import protocol as protocol
from rtl.link.identity import (AGAIN, Identity, IdentityError, model_digest, result_bytes,
                               shape_digest)
from rtl.link.protocol import Command, Status
from rtl.parts.config import HardwareError
from rtl.plan import Plan, plan

Seed = list[Request]        # CONFIG requests
NO_MODEL = bytes(8)         # what a board says whose upload was not finished
# A sequence is given up after so many times its predicted cycles and some more: a number that is
# read while it counts can be seen up to twice as large. Or if there are so few in a second.
TOO_MANY, SLACK, LEAST_SPEED = 4, 1000, 100
LONGEST_PAUSE = 0.02        # seconds between two looks for a result


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
        transport.begin()

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
        have, fits = self.registers()["model"], self.fits(art)
        if fits and have == model_digest(art):
            return
        said = "no whole model (an upload was not finished)" if have == NO_MODEL else \
            f"model {have.hex()}"
        if fits:
            raise ModelError(f"the board at {self.port} has {said}, not {model_digest(art).hex()} "
                             f"({art.task}); upload it: {hint}")
        raise ModelError(f"the board at {self.port} has {said}, built for {self.identity.task} "
                         f"({self.identity}), and its bitstream cannot take "
                         f"{model_digest(art).hex()} ({art.task}): {self._way(art)}")

    def _way(self, art: Artifact) -> str:
        """What to do with a network that does not fit the bitstream."""
        build = f"build one for it: make bitstream TASK={art.task}"
        same = all(getattr(self.identity, name) == value for name, value in (
            ("layers", len(art.blocks)), ("H", art.H), ("n", art.n), ("outputs", art.outputs),
            ("length", art.length), ("vocab", art.vocab)))
        if not same:
            return f"shape, options and lanes must be equal; {build}"
        return (f"its sizes are equal, so its number formats or options are others; give it the "
                f"formats of the network that the bitstream was built for (python -m host.adapt "
                f"--artifact THIS --like THAT --out NEW), or {build}")

    def plan(self, art: Artifact) -> Plan:
        """The core that the board would have, were it built for ``art``."""
        return plan(art, self.identity.hardware(art))

    def fits(self, art: Artifact) -> bool:
        """Whether this bitstream can take the network: all but coefficients and seed is equal.

        Raises :class:`LineError` if the board says of itself what cannot be true together.
        """
        try:
            planned = self.plan(art)
        except HardwareError:
            return False        # its lanes do not divide this network
        if self.identity.shape != shape_digest(planned):
            return False
        said = self.identity.contradiction(planned)
        if said:
            raise LineError(f"the board at {self.port} contradicts itself: its shape digest is "
                            f"that of {art.task}, but it says {said}; {AGAIN}")
        return True

    def upload(self, art: Artifact) -> Iterator[int]:
        """Write every coefficient; yields the words written so far, at last their number.

        An upload that is not finished leaves a board that says it has no model.
        """
        if not self.fits(art):
            raise ModelError(f"{art.task} does not fit the bitstream at {self.port}, built for "
                             f"{self.identity.task} ({self.identity}): {self._way(art)}")
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
        requests, done = configure(writes), 0
        for first in range(0, len(requests), 256):
            part = requests[first:first + 256]
            self.transport.write(part)
            done += sum((len(data) - 3) // 4 for _, data in part)
            yield done

    def seed_requests(self, art: Artifact, seed: int) -> Seed:
        """What starts every random stream from a master seed."""
        return seeding(self.plan(art), seed)

    def seed(self, art: Artifact, seed: int) -> None:
        """Start every random stream from a master seed, from the next sequence on."""
        self.transport.write(self.seed_requests(art, seed))

    def predict(self, art: Artifact, lengths: Iterable[int]) -> dict[int, int]:
        """Cycles of sequences on this board, by their numbers of steps."""
        hardware = self.identity.hardware(art)
        return {steps: cycles.predict(art, hardware, [steps]).cycles for steps in set(lengths)}

    def run(self, sequences: Sequence[np.ndarray], predicted: dict[int, int],
            seeds: Sequence[Seed] = ()) -> Iterator[Answer]:
        """Answers of sequences, in order; the next one is loaded while one is run.

        predicted : as of :meth:`predict`; seeds : as of :meth:`seed_requests`, every sequence is
        run under each of them in turn, though it is sent once. None: under the seed that is set.
        Raises :class:`LineError` when a sequence gets on no more, or takes far longer.
        """
        loads = iter(sequences)
        following = next(loads, None)
        ahead = [] if following is None else self._load(following)
        while following is not None:
            steps = len(following)
            following = next(loads, None)
            for number, seed in enumerate(seeds or [[]]):
                go = (Command.AGAIN, b"") if number else (Command.RUN, steps.to_bytes(2, "little"))
                self.transport.write([*ahead, *seed, go])
                begin = time.perf_counter()
                if following is not None and not number:
                    self.transport.write(self._load(following))
                taken = self._result(predicted[steps])
                yield self._answer(taken, time.perf_counter() - begin)
                ahead = [(Command.TAKE, b"")]
        self.transport.write(ahead)

    def _result(self, predicted: int) -> int:
        """Wait for the result; returns the cycles that it took.

        A board, or a simulation of whatever speed, shows the cycles that it has worked so far.
        """
        begin = time.monotonic()
        while True:
            taken = protocol.number(self.transport.read(protocol.COUNTERS, 4))
            status, elapsed = self.transport.status, time.monotonic() - begin
            if Status.RESULT in status:
                return taken
            why = ""
            if Status.RUNNING not in status:
                why = "runs nothing any more"
            elif taken > TOO_MANY * predicted + SLACK:
                why = f"has no result after {taken} cycles, {predicted} are predicted"
            elif elapsed > self.transport.patience and taken < LEAST_SPEED * elapsed:
                why = f"has no result: {taken} of {predicted} cycles in {elapsed:.1f} s"
            if why:
                raise LineError(f"the board at {self.port} {why}; switch it off and on, and start "
                                f"once more")
            time.sleep(min(LONGEST_PAUSE, elapsed / 64))

    def _load(self, values: np.ndarray) -> list[Request]:
        """The requests that load one sequence, in the form that is the shorter one for it."""
        return load(values, self.identity.sample_bytes)

    def _answer(self, taken: int, seconds: float) -> Answer:
        layers, outputs = self.identity.layers, self.identity.outputs
        raw = self.transport.read(protocol.RESULT, result_bytes(layers, outputs))
        at = protocol.LABEL_BYTES
        logits = []
        for _ in range(outputs):
            logits.append(int.from_bytes(raw[at:at + protocol.LOGIT_BYTES], "little", signed=True))
            at += protocol.LOGIT_BYTES
        return Answer(protocol.number(raw[:protocol.LABEL_BYTES]), np.array(logits, np.int64),
                      np.frombuffer(raw[at:], "<u4").astype(np.int64), taken, seconds)
