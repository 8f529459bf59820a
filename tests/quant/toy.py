"""Small tasks for tests of the export, instant to load; and artifacts with something changed."""

from dataclasses import replace

import numpy as np

from golden.base.qformat import SQ, UQ
from golden.tasks import Split
from quant.integer.artifact import Artifact
from quant.integer.record import described
from quant.integer.operation import Operation, Tensor
from quant.integer.program import Program

COUNTS = {"train": 48, "val": 8, "test": 12}


class Toy:
    """Noise below or above a level: 2 classes, samples of 4 bits, 9 to 20 steps."""

    name, n_classes, length, vocab, sample_format = "toy", 2, 20, 0, UQ(0, 4)

    def load(self, split: str, data_dir=None) -> Split:
        rng = np.random.default_rng(list(COUNTS).index(split))
        labels = rng.integers(0, 2, COUNTS[split])
        lengths = rng.integers(9, 21, COUNTS[split])
        values = rng.integers(0, 9, (COUNTS[split], 20)) + 7 * labels[:, None]
        return Split(np.where(np.arange(20) < lengths[:, None], values, 0), lengths, labels)


class ToySigned(Toy):
    """The same round zero: -8 to 7, 0 behind the end."""

    name, sample_format = "toysigned", SQ(1, 3)

    def load(self, split: str, data_dir=None) -> Split:
        found = super().load(split)
        live = np.arange(20) < found.lengths[:, None]
        return Split(np.where(live, found.values - 8, 0), found.lengths, found.labels)


class ToyTokens(Toy):
    """The same as tokens 1 to 16, 0 behind the end."""

    name, vocab, sample_format = "toytokens", 17, None

    def load(self, split: str, data_dir=None) -> Split:
        found = super().load(split)
        live = np.arange(20) < found.lengths[:, None]
        return Split(np.where(live, found.values + 1, 0), found.lengths, found.labels)


def changed(art: Artifact, layer: int | None = None, **change) -> Artifact:
    """An artifact of samplers with other parts of its recognised form, unchecked.

    change : fields of ``quant.integer.spiking.Spiking``, with ``layer`` of that layer of it.
    """
    net = art.spiking
    if layer is not None:
        layers = list(net.layers)
        layers[layer] = replace(layers[layer], **change)
        change = {"layers": tuple(layers)}
    net = replace(net, **change)
    return replace(art, sample=net.edge.sample, **net.parts())


def place_of(program: Program, block: int, kind: type, makes: str | None = None) -> str:
    """Place, such as ``1.3``, of the first operation of a kind [that makes a value] in a block."""
    return next(f"{block}.{i}" for i, op in enumerate(program.blocks[block])
                if isinstance(op, kind) and makes in (None, op.makes))


def op_at(program: Program, place: str) -> Operation:
    """The operation at a place."""
    where, i = place.split(".")
    return (program.first if where == "first" else program.blocks[int(where)])[int(i)]


def at(program: Program, place: str) -> tuple[Operation, tuple]:
    """The operation at a place, and the formats of what it reads."""
    return next((op, inputs) for where, op, inputs in program.operations() if where == place)


def with_op(program: Program, place: str, **change) -> Program:
    """A program with other fields of the operation at a place; a tensor's may be its integers."""
    where, i = place.split(".")
    ops, op = list(dict(program.parts())["first" if where == "first" else int(where)]), op_at(
        program, place)
    ops[int(i)] = replace(op, **{
        name: Tensor(value, op.tensors[name].fmt) if isinstance(value, np.ndarray) else value
        for name, value in change.items()})
    if where == "first":
        return replace(program, first=tuple(ops))
    blocks = list(program.blocks)
    blocks[int(where)] = tuple(ops)
    return replace(program, blocks=tuple(blocks))


def content(art: Artifact) -> dict:
    """Everything that a file keeps of an artifact, for ``np.testing.assert_equal``."""
    same = {name: getattr(art, name) for name in ("task", "n_classes", "length", "vocab", "sample",
                                                  "seed", "random", "info")}
    same |= {place: (described(op), {name: t.raw for name, t in op.tensors.items()})
             for place, op, _ in art.operations()}
    same |= {"decoder": [vars(art.decoder_w), vars(art.decoder_b)]}
    return same | ({"head": vars(art.head)} if art.head else {})
