"""A network in the number formats of another one of the same operations."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np

from golden.base.qformat import QFormat
from quant.integer.head import TENSORS
from quant.integer.operation import ArtifactError, Operation, Tensor, round_half_even
from quant.integer.ops import Table
from quant.integer.program import Artifact, Program, part_of


def in_formats_of(program: Program, like: Program,
                  moved: Callable[[str, Tensor, QFormat], Tensor],
                  taken: tuple[str, ...] = ("bits",)) -> Program:
    """A program in the formats of another one, of the same operations.

    ``moved(name, tensor, format)`` gives a tensor in its new format; ``taken`` are options that
    are the other one's too. Raises :class:`ArtifactError` naming the first operation that is
    another, or has another option.
    """
    def one(place, op: Operation, other: Operation) -> Operation:
        if type(op) is not type(other) or op.wiring != other.wiring:
            raise ArtifactError(f"{place} has {op}, the other network has {other} there")
        new, tensors = {}, other.tensors
        for name in (f.name for f in fields(op) if not f.metadata.get("training")):
            mine, its = getattr(op, name), getattr(other, name)
            if isinstance(its, QFormat) or name in taken:
                new[name] = its
            elif name not in tensors and mine != its or (mine is None) != (its is None):
                raise ArtifactError(f"{place}, {op}: {name} is {mine}, but {its} in the "
                                    f"other network; changing formats cannot make them equal")
        return replace(op, **new).on_tensors(lambda name, t: moved(
            f"{place}, {op}, {name}", t, tensors[name].fmt))

    def part(place, ops, others):
        if len(ops) != len(others):
            raise ArtifactError(f"{place} has {len(ops)} operations, the other network has "
                                f"{len(others)}")
        return tuple(one(place, op, other) for op, other in zip(ops, others))

    if len(program.blocks) != len(like.blocks):
        raise ArtifactError(f"{len(program.blocks)} layers, the other network has "
                            f"{len(like.blocks)}")
    return replace(
        program, sample=like.sample, first=part("encoder", program.first, like.first),
        blocks=tuple(part(f"layer {j}", *pair)
                     for j, pair in enumerate(zip(program.blocks, like.blocks))),
        decoder_w=moved("decoder_w", program.decoder_w, like.decoder_w.fmt),
        decoder_b=moved("decoder_b", program.decoder_b, like.decoder_b.fmt))


def adapt(art: Artifact, like: Artifact) -> tuple[Artifact, dict[str, int]]:
    """``art`` in the formats of ``like``, and the number of saturated elements by tensor.

    Every coefficient is rounded half to even and saturated. Raises :class:`ArtifactError` naming
    what of the shape or the options is not equal.
    """
    for what in ("n_classes", "inputs", "outputs", "length", "vocab", "random", "H", "n", "block"):
        if getattr(art, what) != getattr(like, what):
            raise ArtifactError(f"{what} is {getattr(art, what)}, but {getattr(like, what)} in the "
                                f"other network; changing formats cannot make them equal")
    saturated = {}

    def moved(name: str, tensor: Tensor, new: QFormat) -> Tensor:
        drop = tensor.fmt.f_bits - new.f_bits
        if drop and name.endswith(", w"):       # a factor of 2**shift on integers
            raise ArtifactError(f"{name} is {tensor.fmt}, but {new} in the other network: their "
                                f"fraction bits must be equal")
        raw = round_half_even(tensor.raw, drop) if drop > 0 else tensor.raw << -drop
        kept = np.asarray(np.clip(raw, new.lo, new.hi))     # of one number alone, too
        count = int(np.count_nonzero(kept != raw))
        saturated.update({name: count} if count else {})
        return Tensor(kept, new)

    made = in_formats_of(art, like, moved)
    for (place, op, _), (_, other, _) in zip(art.operations(), like.operations()):
        if isinstance(op, Table) and op.index != other.index:       # its entries are of others
            raise ArtifactError(f"{part_of(place)}, {op}: index is {op.index}, but {other.index} "
                                f"in the other network; export one of them with the other's "
                                f"--table-bits")
    head = art.head and replace(art.head, fmt=like.head.fmt, **{
        name: moved(f"head, {name}", art.head.tensor(name), getattr(like.head.fmt, name)).raw
        for name in TENSORS})
    return replace(made, head=head).check(), saturated
