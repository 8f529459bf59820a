"""Proven bounds of a network's sums, from its coefficients, and the integer types for them."""

from dataclasses import dataclass

import numpy as np

from quant.integer.memory import Fire, States
from quant.integer.operation import ArtifactError, Operation, top, wired
from quant.integer.ops import Mix
from quant.integer.program import Artifact


@dataclass
class Bounds:
    """Largest magnitudes: of sums of a state, of sums of columns of W, of all other values; ahead:
    of a neuron's ``sum Re(A_bar h)`` with two steps per update."""

    state: int = 0
    mixer: int = 0
    stream: int = 0
    ahead: int = 0

    def meet(self, ops: tuple[Operation, ...], formats: dict, tops: dict[str, int]) -> None:
        """Follow the values of some operations, of ``tops`` in front of the first."""
        tops = dict(tops)
        for op, inputs in wired(ops, formats)[0]:
            bound = op.bound(inputs, *(tops[name] for name in op.reads))
            if isinstance(op, States):
                self.state = max(self.state, bound)
                self.ahead = max(self.ahead, op.ahead_bound())
                bound = op.output_bound(inputs, tops[op.reads[0]])
            elif isinstance(op, Mix):
                rows = abs(op.w.raw).sum(1, dtype=object).max()
                self.mixer = max(self.mixer, int(rows) * tops[op.reads[0]])
            elif isinstance(op, Fire):          # thresholds, and sums of phases
                bound = max(bound, 2 << max(0, inputs[0].f_bits))
            self.stream = max(self.stream, bound)
            tops[op.makes] = min(bound, top(op.format(*inputs)))


def bounds(art: Artifact) -> Bounds:
    """Of all operations of a network; raises :class:`ArtifactError` beyond 64 bits."""
    found = Bounds()
    found.meet(art.first, {"v": art.input_format}, {"v": top(art.input_format)})
    for ops in art.blocks:
        found.meet(ops, {"x": art.x_format}, {"x": top(art.x_format)})
    most = max(found.state, found.stream, found.ahead, 2 << art.random.k)
    if most >= 1 << 63:
        raise ArtifactError(f"a sum of this artifact may need {most.bit_length() + 1} bits, 64 are "
                            f"the most that can be run; use narrower formats")
    return found


def types_of(art: Artifact) -> tuple[type, type, type]:
    """(states, streams, mixer sums): (int32, int32, int16) where proven, else all int64.

    Two variants rather than eight: each costs seconds to compile, once.
    """
    found, words = bounds(art), max(art.random.k, 2 * art.random.round_bits)
    if max(found.state, found.stream) < 1 << 31 and found.mixer < 1 << 15 and words <= 32:
        return np.int32, np.int32, np.int16
    return np.int64, np.int64, np.int64
