"""The head of two inputs, quantisation-aware; in float64 it equals ``quant.integer.head``.

A quotient of features and steps is rounded twice, to float64 and then to the mean's format. That is
one rounding as long as mean and divisor together have fewer than 53 bits.
"""

import torch
import torch.nn.functional as F
from torch import nn

from quant.integer.head import Head
from quant.tune.quantizers import fixed, grid, integers_of, raw, weight_of


class QuantHead(nn.Module):
    """``W2 relu(W1 (a, b, a - b, a b) + b1) + b2``, on its grids where there are formats."""

    def __init__(self, head: Head):
        super().__init__()
        self.fmt = fmt = head.fmt
        self.w1, self.w2 = (fixed(getattr(head, name), fmt and getattr(fmt, name))
                            for name in ("w1", "w2"))
        self.b1, self.b2 = (nn.Parameter(torch.from_numpy(getattr(head, name)))
                            for name in ("b1", "b2"))

    def on_grid(self, name: str, value: torch.Tensor | None = None) -> torch.Tensor:
        """The parameter ``name``, or a value in its format."""
        value = getattr(self, name) if value is None else value
        return grid(value, getattr(self.fmt, name)) if self.fmt else value

    def hidden(self, mean: torch.Tensor) -> torch.Tensor:
        """Hidden values (B, F) of means (2 B, F), a's rows before b's."""
        a, b = self.on_grid("mean", mean).chunk(2)
        together = torch.cat([a, b, a - b, a * b], dim=1)
        return self.on_grid("hidden", F.relu(together @ weight_of(self.w1).T
                                             + self.on_grid("b1")))

    def forward(self, mean: torch.Tensor) -> torch.Tensor:
        """Logits (B, n_classes) of the means over time of the features (2 B, F)."""
        return self.hidden(mean) @ weight_of(self.w2).T + self.on_grid("b2")

    def integers(self) -> Head:
        """The head in integers."""
        b1, b2 = (raw(getattr(self, name), getattr(self.fmt, name)) for name in ("b1", "b2"))
        return Head(self.fmt, integers_of(self.w1), b1, integers_of(self.w2), b2)
