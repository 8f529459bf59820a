"""A network as operations in integers, and every rule that its parts must keep."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from reprlib import repr as shown

from golden.base.names import LONGEST, is_task
from golden.base.qformat import QFormat
from quant.formats import RandomFormat
from quant.integer import lfsr, sampling
from quant.integer.head import Head
from quant.integer.membrane import Integrate
from quant.integer.memory import Fire, States
from quant.integer.operation import Operation, Tensor, check_fields, inside, need, wired
from quant.integer.spiking import Spiking, recognise


MEMORIES = States, Integrate    # what a block must have one of, and whose first tensor says H
LONGEST_SEQUENCE = 1 << 31      # steps
BLOCKS = 1, 2                   # steps per update of the states


def part_of(place: str) -> str:
    """How messages name the part of a network that a place of :meth:`Program.operations` is in."""
    return "encoder" if place.startswith("first") else f"layer {place.split('.')[0]}"


@dataclass(frozen=True, kw_only=True)
class Program:
    """Operations in front of the blocks and of each block, and the decoder."""

    vocab: int                   # 0: samples
    sample: QFormat | None       # of the input; None: tokens
    first: tuple[Operation, ...]                # from v, a sample or token, to the first x
    blocks: tuple[tuple[Operation, ...], ...]   # each from x to x
    decoder_w: Tensor            # (outputs, H): a row for each class, or for each feature
    decoder_b: Tensor            # (outputs,)
    head: Head | None = None     # of two inputs' features, see quant.integer.head
    block: int = 1               # steps per update of the states, 1 or 2

    @cached_property
    def _memories(self) -> tuple[Operation, ...]:
        return tuple(op for ops in self.blocks for op in ops if isinstance(op, MEMORIES))

    @property
    def H(self) -> int:
        """Neurons of a block."""
        return len(next(iter(self._memories[0].tensors.values())).raw)

    @property
    def n(self) -> int:
        """Modes of a neuron; 0 without a state space model."""
        return next((op.a_re.raw.shape[1] for op in self._memories if isinstance(op, States)), 0)

    @cached_property
    def memories(self) -> tuple[str, ...]:
        """Names by which reports count what memories of the blocks saturate."""
        return tuple(dict.fromkeys(name for ops in self.blocks for op in ops if op.states
                                   for name in op.saturates))

    @property
    def recurrences(self) -> int:
        """Numbers of state space models, each with a stream of random words of its own: one for
        each block, whether it has one or not, and one for each that is more than that."""
        return max(len(self.blocks), sum(isinstance(op, States) for op in self._memories))

    @property
    def inputs(self) -> int:
        """Sequences that make one example."""
        return 1 if self.head is None else 2

    @property
    def outputs(self) -> int:
        """Sums that the network gives out: the classes' logits, or the features of a head."""
        return len(self.decoder_w.raw)

    @property
    def input_format(self) -> QFormat:
        """Of v, a sample or a token's number."""
        return self.sample or QFormat(max(1, (self.vocab - 1).bit_length()), 0, False)

    @cached_property
    def x_format(self) -> QFormat:
        """Of what flows between blocks and the decoder sums."""
        formats = wired(self.first, {"v": self.input_format})[1]
        need("x" in formats, "encoder: nothing makes x")
        return formats["x"]

    def parts(self):
        """(place, operations) of the encoder, place ``first``, and of every block, 0 and up."""
        return ("first", self.first), *enumerate(self.blocks)

    def operations(self):
        """All of them as (place, operation, formats of its inputs); a place such as ``1.3``."""
        formats = {"v": self.input_format}
        for where, ops in self.parts():
            for i, (op, inputs) in enumerate(wired(ops, formats)[0]):
                yield f"{where}.{i}", op, inputs
            formats = {"x": self.x_format}

    def on_tensors(self, change: Callable[[str, str, Tensor], Tensor]) -> "Program":
        """The same with ``change(place, name, tensor)`` in place of every tensor of a block."""
        def part(where, ops):
            return tuple(op.on_tensors(lambda name, t, i=i: change(f"{where}.{i}", name, t))
                         for i, op in enumerate(ops))
        return replace(self, first=part("first", self.first),
                       blocks=tuple(part(j, ops) for j, ops in enumerate(self.blocks)))


@dataclass(frozen=True, kw_only=True)
class Artifact(Program):
    """A whole network in integers."""

    task: str
    n_classes: int
    length: int                  # longest sequence, steps; wider sums are sized by it
    seed: int                    # default master seed of the random words
    random: RandomFormat
    permutation: str | None = None      # name of the fixed order of a sequence's steps
    info: dict = field(default_factory=dict)    # accuracies, versions, ranges

    @cached_property
    def spiking(self) -> Spiking:
        """What hardware and the compiled network run; ``ArtifactError`` names what they lack."""
        return recognise(self)

    def check(self) -> "Artifact":
        """Return self, or raise ``ArtifactError`` naming layer, operation, tensor and rule."""
        need(self.blocks and all(any(isinstance(op, MEMORIES) for op in ops)
                                 for ops in self.blocks),
             f"the artifact has no layers, or one without a memory "
             f"({', '.join(kind.__name__ for kind in MEMORIES)})")
        need(not any(op.backwards for op in self.first),
             "encoder: only an operation of a layer can go backwards in time")
        self._check_facts()
        for where, ops in self.parts():
            for i, op in enumerate(ops):
                need(self.block == 1 or not op.backwards,
                     f"{part_of(f'{where}.{i}')}, {op}: a network that goes backwards in time has "
                     f"one step per update; export it with --block 1")
                check_fields(op, lambda condition, text: need(
                    condition, f"{part_of(f'{where}.{i}')}, {op}: {text}"))
        for op in self._memories:               # before H and n are read off them
            name, tensor = next(iter(op.tensors.items()))
            axes = op.SHAPES.get(name, ("H",))
            need(tensor.raw.ndim == len(axes), f"{op}, {name}: shape {tensor.raw.shape}, expected "
                                               f"({', '.join(axes)})")
        sizes = {"H": self.H, "n": self.n, "vocab": self.vocab}
        whole = -(-self.length // self.block) * self.block      # steps of whole blocks
        why = lfsr.misfit(self.random, whole, self.recurrences, self.H, self.n)
        need(not why, why)
        for place, op, inputs in self.operations():
            where = f"{part_of(place)}, {op}"
            for name, tensor in op.tensors.items():
                inside(f"{where}, {name}", tensor.raw, tensor.fmt, tuple(
                    sizes.get(s, s) for s in op.SHAPES.get(name, ("H",))))
            op.check(lambda condition, text: need(condition, f"{where}: {text}"), *inputs)
            if isinstance(op, Fire):
                sampling.check(op, inputs[0].f_bits, self.random, self.length,
                               lambda condition, text: need(condition, f"{where}: {text}"))
            if isinstance(op, States):
                need(op.block == self.block,
                     f"{where}: it has {op.block} steps per update, the network {self.block}")
                bits = self.random.round_bits
                need(op.rounding != "stochastic" or op.a_re.fmt.f_bits > bits > 0,
                     f"{where}: a_bar {op.a_re.fmt} needs more fraction bits than the {bits} of "
                     f"stochastic rounding, at least 1")
        for kind, name, count in ((Fire, "number", 2 * len(self.blocks)),
                                  (States, "layer", self.recurrences)):
            given = [getattr(op, name) for _, op, _ in self.operations() if isinstance(op, kind)]
            need(len(set(given)) == len(given) and set(given) <= set(range(count)),
                 f"{kind.__name__}, {name}: each must have one of its own in 0..{count - 1}, for "
                 f"its random words, not {given}")
        for number, ops in enumerate(self.blocks):
            need("x" in [op.makes for op in ops], f"layer {number}: nothing makes x")
            made = wired(ops, {"x": self.x_format})[1]["x"]
            need(made == self.x_format,
                 f"layer {number}: x is {made}, it must have one format in all layers, "
                 f"{self.x_format}")
        outputs = self.outputs if self.head else self.n_classes
        inside("decoder_w", self.decoder_w.raw, self.decoder_w.fmt, (outputs, self.H))
        inside("decoder_b", self.decoder_b.raw, self.decoder_b.fmt, (outputs,))
        need(self.decoder_b.fmt.f_bits == self.decoder_w.fmt.f_bits + self.x_format.f_bits,
             f"decoder_b {self.decoder_b.fmt} must have the fraction bits of decoder_w * the "
             f"decoder's sum")
        if self.head:
            self.head.check(self)
        return self

    def _check_facts(self) -> None:
        """The facts beside the operations: their types and ranges."""
        need(is_task(self.task), f"task must be a task's name, such as digits or "
                                 f"package.module:Class, not {shown(self.task)}")
        need(self.permutation is None or (type(self.permutation) is str
                                          and len(self.permutation) <= LONGEST),
             f"permutation must be a name or none, not {shown(self.permutation)}")
        need(type(self.block) is int and self.block in BLOCKS,
             f"block, steps per update of the states, must be 1 or 2, not {shown(self.block)}")
        for name, least in (("n_classes", 1), ("length", 1), ("vocab", 0)):
            value = getattr(self, name)
            need(type(value) is int and value >= least,
                 f"{name} must be a whole number of at least {least}, not {shown(value)}")
        need(self.length <= LONGEST_SEQUENCE, f"length must be at most {LONGEST_SEQUENCE}")
        need((self.vocab > 0) == (self.sample is None),
             "the sample format must be there for samples and missing for tokens")
        need(type(self.seed) is int and 0 < self.seed < 1 << self.random.width,
             f"seed must be in 1..2**{self.random.width} - 1, not {shown(self.seed)}")
