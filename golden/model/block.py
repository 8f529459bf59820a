"""A block: steps with the names of the values that they read and make."""

from dataclasses import dataclass

import torch
from torch import nn

from golden.model.ops import Pass, Step


@dataclass(frozen=True)
class Wired:
    """A step with the names of the values that it reads and makes."""

    op: Step
    reads: tuple[str, ...]
    makes: tuple[str, ...]

    def run(self, values: dict[str, torch.Tensor], now: Pass) -> None:
        values[self.makes[0]] = self.op(*(values[name] for name in self.reads), now)


class Block(nn.Module):
    """Steps by name, from {name: (wiring such as "z x -> x", step)}; a missing step is None."""

    def __init__(self, steps: dict[str, tuple[str, Step | None]]):
        super().__init__()
        self.steps = []
        for name, (wiring, op) in steps.items():
            if op is not None:
                self.add_module(name, op)
                reads, makes = wiring.split(" -> ")
                self.steps.append(Wired(op, tuple(reads.split()), (makes,)))
