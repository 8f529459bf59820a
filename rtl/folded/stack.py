"""The blocks of a network as one: what layers that share the hardware have in their memories."""

from dataclasses import fields, replace

import numpy as np

from quant.integer.operation import Operation, Tensor
from rtl.cut import Cut, Wired
from rtl.parts.config import HardwareError

CHAINS = ("front", "middle", "mixes", "back")
# What says which random words an operation gets: each layer has its own.
OWN = ("number", "layer")


def stacked(cuts: list[Cut]) -> Cut:
    """Every tensor that of all layers, one behind the other: row r of layer j is row j rows + r.

    Raises :class:`HardwareError` for layers of different operations or formats.
    """
    for number, other in enumerate(cuts):
        _compare(cuts[0], other, number)
    whole = {name: tuple(_joined([getattr(cut, name)[k] for cut in cuts])
                         for k in range(len(getattr(cuts[0], name)))) for name in CHAINS}
    for name in ("states", "ternary"):
        wires = [getattr(cut, name) for cut in cuts]
        whole[name] = _joined(wires) if wires[0] else None
    b = [cut.b for cut in cuts]
    return replace(cuts[0], where="layers", b=_tensor(("H",), b) if b[0] else None, **whole)


def _wires(cut: Cut) -> list[Wired]:
    return [*cut.front, *([cut.states] if cut.states else []), *cut.middle,
            *([cut.ternary] if cut.ternary else []), *cut.mixes, *cut.back]


def _compare(first: Cut, other: Cut, number: int) -> None:
    """Refuse a layer that is not as the first one."""
    def refuse(what, ours, its):
        raise HardwareError(f"folded: {what} is {ours} in layer 0, but {its} in layer {number}; "
                            f"layers share the hardware only with the same operations and "
                            f"formats: export with --one-format" + (
                                "" if first.future else ", or leave out --folded"))

    ours, its = _wires(first), _wires(other)
    names = [", ".join(str(wire.op) for wire in wires) for wires in (ours, its)]
    if names[0] != names[1]:
        refuse("a block", *names)
    for one, two in zip(ours, its):
        for name, seen in facts(one).items():
            if seen != facts(two).get(name):
                refuse(f"{name} of {one.op}", seen, facts(two).get(name))
        for name, tensor in _shared(one.op).items():
            if not np.array_equal(tensor.raw, _shared(two.op)[name].raw):
                refuse(f"the content of {name} of {one.op}", "one", "another one")
    b = [str(cut.b.fmt) if cut.b else "missing" for cut in (first, other)]
    if b[0] != b[1]:
        refuse("the offset of the states", *b)


def facts(wire: Wired) -> dict[str, str]:
    """Everything of an operation but for its numbers, by name."""
    found = {f"input {k}": str(fmt) for k, fmt in enumerate(wire.formats)}
    for field in fields(wire.op):
        value = getattr(wire.op, field.name)
        if field.name not in OWN and not field.metadata.get("training"):
            found[field.name] = str(value.fmt) if isinstance(value, Tensor) else str(value)
    return found


def _axes(op: Operation, name: str) -> tuple:
    return op.SHAPES.get(name, ("H",))


def _shared(op: Operation) -> dict[str, Tensor]:
    """Tensors that are no layer's own: tables of a function."""
    return {name: t for name, t in op.tensors.items()
            if not {"H", "columns"} & set(_axes(op, name)) and _axes(op, name)}


def _joined(wires: list[Wired]) -> Wired:
    op = wires[0].op
    found = {name: _tensor(_axes(op, name), [wire.op.tensors[name] for wire in wires])
             for name in op.tensors if name not in _shared(op)}
    return replace(wires[0], op=replace(op, **found))


def _tensor(axes: tuple, tensors: list[Tensor]) -> Tensor:
    """Neurons behind each other; of a matrix between neurons those that it reads, its columns."""
    raws = [tensor.raw for tensor in tensors]
    along = max((k for k, axis in enumerate(axes) if axis == "H"), default=0)
    raw = np.concatenate(raws, along) if axes else np.stack(raws)
    return Tensor(raw, tensors[0].fmt)
