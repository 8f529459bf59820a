"""Networks with two inputs: both sequences go through one network, a small head sees both.

A batch of B pairs has 2 B rows: first all first inputs, then all second ones.
"""

import torch
import torch.nn.functional as F
from torch import nn

from golden.model.config import NetworkConfig
from golden.tasks.base import Task, inputs_of


class PairHead(nn.Module):
    """Classes of two sequences from numbers a and b of each: an MLP of (a, b, a - b, a b)."""

    def __init__(self, features: int, n_classes: int):
        super().__init__()
        self.hidden = nn.Linear(4 * features, features)
        self.last = nn.Linear(features, n_classes)

    def forward(self, both: torch.Tensor) -> torch.Tensor:
        """(2 B, features), the rows of a before those of b, to logits (B, n_classes)."""
        a, b = both.chunk(2)
        return self.last(F.relu(self.hidden(torch.cat([a, b, a - b, a * b], dim=1))))


def mismatch(cfg: NetworkConfig, task: Task) -> str | None:
    """Why a network is not for a task by the number of its inputs, or None."""
    if cfg.pair == (inputs_of(task) == 2):
        return None
    takes, has = ("two sequences (pair)", "one") if cfg.pair else ("one sequence", "two")
    return f"the network takes {takes} for an example, task {task.name} has {has}"
