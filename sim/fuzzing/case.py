"""A fuzzed case: a network of some shape and what it is given; described in JSON, made from it."""

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from golden.base.forms import amount, whole
from quant.integer.artifact import Artifact
from quant.integer.memory import Fire
from quant.integer.synthetic import LIMITS
from sim.fuzzing.shape import LONGEST, Shape, is_shape

VALUES = ("random", "lowest", "highest", "alternating")


def with_directions(art: Artifact, base: Artifact) -> Artifact:
    """A network with another one's direction numbers, which are constants of the hardware."""
    return replace(art, blocks=tuple(
        tuple(replace(op, directions=other.directions) if isinstance(op, Fire) else op
              for op, other in zip(*pair)) for pair in zip(art.blocks, base.blocks)))


@dataclass(frozen=True)
class Case:
    """A network of some shape and what it is given."""

    shape: Shape
    seed: int                   # of the coefficients and the values
    stress: float               # share of coefficients at their limits
    limits: str | None          # all of them at one
    values: str                 # one of VALUES
    lengths: list[int]
    master: int                 # seed of the random streams
    stall: float                # probability per cycle, on both streams; 0: cycles are compared
    interrupt: int              # cycles of a first attempt that ends with a reset

    @cached_property
    def artifact(self) -> Artifact:
        art = self.shape.artifact(self.seed, self.stress, self.limits)
        return replace(with_directions(art, self.shape.base), seed=self.master).check()

    def broken_rule(self) -> str | None:
        """The first rule that the case breaks, or its shape; or None."""
        if not self.lengths or max(self.lengths) > self.shape.length:
            return f"there are sequences, of up to {self.shape.length} steps"
        return self.shape.broken_rule()

    @property
    def sequences(self) -> list[np.ndarray]:
        """Raw samples or tokens."""
        rng = np.random.default_rng(self.seed)
        sample = self.artifact.sample
        lo, hi = (0, self.shape.vocab - 1) if sample is None else (sample.lo, sample.hi)
        found = []
        for length in self.lengths:
            random = rng.integers(lo, hi + 1, length)
            ends = np.where(np.arange(length) % 2, hi, lo)
            found.append({"random": random, "lowest": np.full(length, lo),
                          "highest": np.full(length, hi), "alternating": ends}[self.values])
        return found

    def to_dict(self) -> dict:
        return {f.name: getattr(self, f.name) for f in fields(self)} | {
            "shape": self.shape.to_dict()}

    @classmethod
    def from_dict(cls, values: dict) -> "Case":
        return cls(**values | {"shape": Shape.from_dict(values["shape"])})


# Of a case in a file; ``Case.broken_rule`` says the rest.
FORM = {"shape": is_shape, "seed": whole(), "stress": lambda value: amount(value) and value <= 1,
        "limits": (None, LIMITS.__contains__), "values": VALUES.__contains__,
        "lengths": [whole(1, LONGEST)], "master": whole(1),
        "stall": lambda value: amount(value) and value < 1, "interrupt": whole(0, 1 << 20)}
