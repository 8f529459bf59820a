"""Bit-exact integer reference: runs a network's blocks, one sequence and one step at a time.

Everything else must equal it on every input. Written to be read: what an operation computes stands
in ``quant.integer.ops`` and ``quant.integer.memory``. ``quant.integer.network`` runs the same whole
test sets at a time and is tested against this.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from golden.base.qformat import QFormat
from quant.integer.artifact import Artifact
from quant.integer.memory import Draws
from quant.integer.operation import Operation, need, wired
from quant.integer.ops import Limit
from quant.integer.recurrence import BlockRecurrence, Recurrence
from quant.integer.signature import SECOND, SUM, crc32, rotl


class Running:
    """Some operations on their way through one sequence.

    ``values`` are those of the last step, by name; ``memory`` the samplers and recurrences in their
    order; ``over`` counts saturations by the value's name, those of states as ``h``.
    """

    def __init__(self, ops: tuple[Operation, ...], formats: dict[str, QFormat], draws: Draws):
        self.given = ops, formats, draws
        wires, self.formats = wired(ops, formats)
        self.inputs = [inputs for _, inputs in wires]
        self.steps = [(op, op.begin(inputs, draws) if op.states else partial(op.apply, inputs))
                      for op, inputs in wires]
        self.memory = [call for op, call in self.steps if op.states]
        self.values, self.counts = {}, {}

    def foresee(self, xs: list[np.ndarray]) -> None:
        """Let what goes backwards run through the sequence, of which ``xs`` are all x in front.

        Must come before the first step; what it reads is made by a run ahead of this one.
        """
        ops, formats, draws = self.given
        for i, (op, call) in enumerate(self.steps):
            if op.backwards:
                ahead, inputs = Running(ops[:i], formats, draws), []
                ahead.foresee(xs)
                for x in xs:
                    ahead(x=x)
                    inputs.append(ahead.values[op.reads[0]])
                call.foresee(inputs)

    def __call__(self, **values) -> np.ndarray:
        """x behind the last operation, for the values in front of the first."""
        for op, call in self.steps:
            made = call(*(values[name] for name in op.reads))
            if isinstance(op, Limit):
                made, saturated = made
                if op.counted:
                    self.counts[op.makes] = (self.counts.get(op.makes, 0)
                                             + np.count_nonzero(saturated))
            values[op.makes] = made
        self.values = values
        return values["x"]

    @property
    def in_blocks(self) -> list[BlockRecurrence]:
        """The recurrences that are updated once in two steps."""
        return [memory for memory in self.memory if isinstance(memory, BlockRecurrence)]

    def end(self) -> None:
        """Must come behind a sequence's last step: a block of steps that is not whole ends here."""
        for memory in self.in_blocks:
            memory.end()

    @property
    def over(self) -> dict[str, int]:
        found = dict(self.counts)
        for op, call in self.steps:
            for name in op.saturates if op.states else ():
                found[name] = found.get(name, 0) + call.over
        return found


@dataclass(frozen=True)
class Record:
    """What a network did on one sequence of L steps, in N blocks; int64 raws.

    values : by name (N, L, H), as they stand behind a block's last operation; h_re, h_im :
    (N, L, H, n), of States, with two steps per update (N, blocks of steps, H, n); logits :
    (outputs,); label : arg max, the lowest index on a tie; over : saturated elements by the value's
    name (N + 1,), the last one the encoder's.
    """

    values: dict[str, np.ndarray]
    h_re: np.ndarray
    h_im: np.ndarray
    logits: np.ndarray
    label: int
    over: dict[str, np.ndarray]


def execute(art: Artifact, values: np.ndarray, seed: int | None = None,
            keep: tuple[str, ...] | None = None,
            after: Callable[[int, int, Running], None] | None = None) -> Record:
    """Run one sequence of raw samples or tokens ``values`` (L,), streams restarted from ``seed``.

    keep : names of values to record, None: all, states too; after : called with block, step and
    the block's :class:`Running` behind every step of a block, block after block; a sequence's end
    belongs to its last step.
    """
    L, N, updates = len(values), len(art.blocks), -(-len(values) // art.block)
    if not 1 <= L <= art.length:
        raise ValueError(f"a sequence has 1..{art.length} steps, not {L}")
    draws = Draws(art.random, art.seed if seed is None else seed, art.H, art.n, L,
                  block=art.block)
    first = Running(art.first, {"v": art.input_format}, draws)
    blocks = [Running(ops, {"x": art.x_format}, draws) for ops in art.blocks]
    everything = keep is None
    if everything:
        keep = tuple({op.makes: None for ops in art.blocks for op in ops})
    kept = {name: np.zeros((N, L, art.H), np.int64) for name in keep}
    h_re, h_im = (np.zeros((N, updates * everything, art.H, art.n), np.int64)
                  for _ in range(2))
    xs = [first(v=np.array([value])) for value in values]
    for j, block in enumerate(blocks):
        block.foresee(xs)
        for t in range(L):
            xs[t] = block(x=xs[t])
            if t == L - 1:
                block.end()
            for name in keep:
                if name in block.values:
                    kept[name][j, t] = block.values[name]
            if everything:
                for memory in block.memory:
                    if isinstance(memory, Recurrence):
                        at = j, t // art.block
                        h_re[at], h_im[at] = memory.h_re, memory.h_im
            if after:
                after(j, t, block)
    logits = decode(sum(xs), L, art)
    runs = [*blocks, first]
    names = dict.fromkeys(name for run in runs for name in run.over)
    over = {name: np.array([run.over.get(name, 0) for run in runs], np.int64) for name in names}
    return Record(kept, h_re, h_im, logits, int(np.argmax(logits)), over)


def encode(value: int, art: Artifact) -> tuple[np.ndarray, int]:
    """First block's input (H,) of one sample or token, and saturated elements."""
    first = Running(art.first, {"v": art.input_format}, None)
    return first(v=np.array([value])), sum(first.over.values())


def decode(total, length: int, art: Artifact):
    """Logits ``W sum_t x_t + length b``: no division, exact for any length; (..., outputs).

    total : (..., H); length : (...). Of a network with two inputs they are the features, which
    ``quant.integer.head`` goes on with.
    """
    return total @ art.decoder_w.raw.T + np.asarray(length)[..., None] * art.decoder_b.raw


@dataclass(frozen=True)
class Trace:
    """Everything that is compared with hardware, of one sequence of L steps and N layers."""

    s_in: np.ndarray            # (N, L, H) spikes that enter the states; (N, L, 0): values do
    s_out: np.ndarray           # (N, L, H) spikes that enter the mixer: 0 and 1, or -1, 0 and 1
    signature: np.ndarray       # (N, L) uint32, with two steps per update (N, blocks of steps)
    logits: np.ndarray          # (outputs,) int64
    label: int                  # arg max, the lowest index on a tie; no class if there is a head
    saturations: np.ndarray     # (N + 1,) int64: memories per layer, then the residual stream


def word_of(block: Running, step: int = 0) -> np.ndarray:
    """What a block adds to its neuron words (H,) behind a step, ``quant.integer.signature``.

    step : its number in a block of steps. The words are the XOR over a block of steps.
    """
    word = rotl(block.values["y"], SUM)
    for place, memory in enumerate(block.memory):
        word = word ^ memory.shown(place)
    word = rotl(word, SECOND) if step else word
    for memory in block.in_blocks:
        word = word ^ memory.written()
    return word


def run(art: Artifact, values: np.ndarray, seed: int | None = None) -> Trace:
    """:func:`execute`, and what is compared of it; :class:`ArtifactError` as :func:`traced`."""
    names, L = traced(art), len(values)
    signature = np.zeros((len(art.blocks), -(-L // art.block)), np.uint32)
    words = np.zeros(art.H, np.int64)

    def sign(j, t, block):
        nonlocal words
        at, step = divmod(t, art.block)
        words = word_of(block, step) ^ (words if step else 0)
        if step == art.block - 1 or t == L - 1:
            signature[j, at] = crc32(words)

    found = execute(art, values, seed, names, sign)
    none = np.zeros((len(art.blocks), L, 0))
    spikes = (found.values.get(name, none).astype(np.int8) for name in ("s_in", "s_out"))
    return Trace(*spikes, signature, found.logits, found.label,
                 saturations(found.over, art))


def traced(art: Artifact) -> tuple[str, ...]:
    """Names of the spikes in a network's traces, s_out and in front of it s_in where it is made.

    Raises :class:`ArtifactError` for a network that has no traces.
    """
    draws = Draws(art.random, art.seed, art.H, art.n, 1, block=art.block)
    for number, ops in enumerate(art.blocks):
        made = {op.makes for op in ops}
        for name, what in (("y", "what the spikes are made of"), ("s_out", "the spikes")):
            need(name in made, f"layer {number}: nothing makes {name}, {what}, so the network has "
                               f"no traces; name it so in the wiring")
        for op, run in Running(ops, {"x": art.x_format}, draws).steps:
            need(not op.states or hasattr(run, "shown"),
                 f"layer {number}, {op}: it shows the signature nothing, so the network has no "
                 f"traces; give what its begin returns a method shown")
    made = {op.makes for ops in art.blocks for op in ops}
    return tuple(name for name in ("s_in", "s_out") if name in made)


def saturations(over: dict[str, np.ndarray], art: Artifact) -> np.ndarray:
    """(N + 1,): memories per layer, then the residual stream of all layers and the encoder.

    ``over`` as in :class:`Record`. What else saturates (inputs of states, factors of a gate) is in
    reports, but not compared with hardware: a signature shows what it changes.
    """
    none = np.zeros(len(art.blocks) + 1, np.int64)
    memories = sum((over.get(name, none) for name in art.memories), none)
    return np.append(memories[:-1], over.get("x", none).sum())
