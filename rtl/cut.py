"""A block of operations cut where hardware cuts it: at its states and at its mixers.

.. code-block:: text

    x ─►[front]─► u ─►[states]─► y ─►[middle]─►[ternary]─► spikes, values ─►[mixes]─►[back]─► x
    │              └─►[future]─► +                                                 │
    └────────────────────────────── x again, for the residual ────────────────────┘

``front``, ``middle`` and ``back`` compute each neuron for itself: they become chains
(:mod:`rtl.layer.chain`). ``states``, the state space model, may lack: then the front ends with the
first operation that has a memory. ``future``, the states of later steps, is in two-sided layers
alone, whose sum with y goes on. ``ternary`` needs all neurons of a step, ``mixes`` join neurons.
"""

from dataclasses import dataclass
from functools import cached_property

from golden.base.qformat import QFormat
from quant.integer.artifact import Artifact
from quant.integer.future import Future
from quant.integer.memory import States
from quant.integer.operation import Operation, Tensor, wired
from quant.integer.ops import Add, Limit, Mix, Scale, Ternary
from rtl.parts.config import HardwareError

ELSEWHERE = "run the network with python -m quant.evaluate"


@dataclass(frozen=True)
class Wired:
    """An operation with the formats of what it reads and makes."""

    op: Operation
    formats: tuple[QFormat, ...]
    made: QFormat


@dataclass(frozen=True)
class Cut:
    """One block.

    u : name of the value that enters the states, or leaves the front; b : what is added to the
    states' y, where an offset follows them at once; added : the sum of both sides, where there is a
    future. Without states u enters the middle. Of a part of a block ``i`` is the name of what comes
    in, in the format ``x``.
    """

    where: str
    x: QFormat
    front: tuple[Wired, ...]
    u: str
    states: Wired | None
    b: Tensor | None
    middle: tuple[Wired, ...]
    ternary: Wired | None
    mixes: tuple[Wired, ...]
    back: tuple[Wired, ...]
    future: Wired | None = None
    added: Wired | None = None
    i: str = "x"

    @cached_property
    def formats(self) -> dict[str, QFormat]:
        """Of the values that leave the engine, by name, the last one made under each."""
        found = {self.i: self.x}
        both = [wire for wire in (self.states, self.added) if wire]
        for part in (self.front, both, self.middle):
            for wire in part:
                found[wire.op.makes] = wire.made
        if self.b:
            found[self.states.op.makes] = self.y
        return found

    @property
    def y(self) -> QFormat:
        """Of the states' y with its offset, exact."""
        made = self.states.made
        return Scale(f"{self.states.op.makes} -> y", None, self.b).format(made) if self.b else made

    @property
    def sent(self) -> tuple[str, ...]:
        """Names of the values that leave the engine: what ternary and mixes read. Of a part of a
        block without mixes that is the last thing made."""
        if not self.mixes:
            return self.states.op.makes if self.states else self.u,
        wanted = [name for wire in self.mixes for name in wire.op.reads]
        if self.ternary:
            wanted = [*self.ternary.op.reads, *(name for name in wanted
                                                if name != self.ternary.op.makes)]
        return tuple(dict.fromkeys(wanted))

    @property
    def adds_x(self) -> bool:
        """Whether the back reads the block's x."""
        made = set()
        for wire in self.back:
            if "x" in wire.op.reads and "x" not in made:
                return True
            made.add(wire.op.makes)
        return False

    @property
    def saturates(self) -> bool:
        """Whether the stream x is limited to a format, and that is counted."""
        return any(isinstance(wire.op, Limit) and wire.op.counted and wire.op.makes == "x"
                   for wire in self.back)


def two_sided(art: Artifact) -> bool:
    """Whether something goes backwards in a network."""
    return any(op.backwards for ops in art.blocks for op in ops)


def both_sides(head: list[Wired], refuse) -> tuple[list[Wired], Wired | None, Wired | None]:
    """What stands in front of the mixers, but for the future and its sum with the states; these."""
    at = [k for k, wire in enumerate(head) if wire.op.backwards]
    if not at:
        return head, None, None
    k = at[0]
    past, future, added = (head[j] if 0 <= j < len(head) else None for j in (k - 1, k, k + 1))
    fits = past and added and type(past.op) is States and type(future.op) is Future and \
        past.op.reads == future.op.reads and isinstance(added.op, Add) and \
        added.op.reads == (past.op.makes, future.op.makes)
    if len(at) > 1 or not fits:
        refuse(future.op, "goes backwards, which the RTL has once in a layer: a Future right "
                          "behind its States, of the same input, and then the Add of both")
    return head[:k] + head[k + 2:], future, added


def cut(art: Artifact, number: int) -> Cut:
    """Block ``number`` of an artifact.

    Raises :class:`HardwareError`, naming layer and operation, for one of another form.
    """
    where = f"layer {number}"
    found, formats = wired(art.blocks[number], {"x": art.x_format})
    wires = [Wired(op, inputs, op.format(*inputs)) for op, inputs in found]

    def refuse(op, why):
        raise HardwareError(f"{where}: {op} {why}; {ELSEWHERE}")

    mix = next((k for k, wire in enumerate(wires) if isinstance(wire.op, Mix)), None)
    if mix is None:
        raise HardwareError(f"{where}: it has no Mix, with which hardware joins neurons; "
                            f"{ELSEWHERE}")
    head, mixes = wires[:mix], [wire for wire in wires[mix:] if isinstance(wire.op, Mix)]
    back = [wire for wire in wires[mix:] if not isinstance(wire.op, Mix)]
    for wire in back:
        if wire.op.states:
            refuse(wire.op, "has a memory behind the mixers of its layer, where the RTL has none")
    head, future, added = both_sides(head, refuse)
    at = [k for k, wire in enumerate(head) if isinstance(wire.op, States)]
    for k in at[1:]:
        refuse(head[k].op, "is a second state space model of a layer, which has one in the RTL")
    states, b = head[at[0]] if at else None, None
    if states:
        front, u, middle = head[:at[0]], states.op.reads[0], head[at[0] + 1:]
    else:
        ends = next(k for k, wire in enumerate(head) if wire.op.states)
        front, u, middle = head[:ends + 1], head[ends].op.makes, head[ends + 1:]
    y = states and f"{states.op.makes} -> {states.op.makes}"
    if states and not future and middle and isinstance(middle[0].op, Scale) and \
            middle[0].op.a is None and middle[0].op.wiring == y:
        b, middle = middle[0].op.b, middle[1:]
    ternary = middle[-1] if middle and isinstance(middle[-1].op, Ternary) else None
    middle = middle[:-1] if ternary else middle
    for wire in (*front, *middle, *back):
        if isinstance(wire.op, Ternary):
            refuse(wire.op, "does not stand right in front of the mixers of its layer")
    made, y = {wire.op.makes for wire in head} | {"x"}, added or states
    for part, known in ((front, {"x"}), (middle, {y.op.makes if y else u}),
                        (mixes, made), (back, {"x"} | {wire.op.makes for wire in mixes})):
        known = set(known)
        for wire in part:
            if set(wire.op.reads) - known:
                name = sorted(set(wire.op.reads) - known)[0]
                refuse(wire.op, f"reads {name} across the states or mixers of its layer, which "
                                f"the RTL does not keep")
            if part is not mixes:
                known.add(wire.op.makes)
    return Cut(where, art.x_format, tuple(front), u, states, b, tuple(middle), ternary,
               tuple(mixes), tuple(back), future, added)
