"""Numbers that are no longer finite: what ends a training before it writes them."""

import torch
from torch import nn

from golden.base import cli


class Diverged(cli.UserError):
    """The loss, a weight, a statistic or a moment is no longer a finite number."""


class NotFinite(cli.UserError):
    """A network's output is no finite number."""


def not_finite(net: nn.Module, opt: torch.optim.Optimizer | None = None) -> str:
    """The first tensor of a network, or of its optimiser, with such a number; "": none has."""
    for name, t in net.state_dict().items():
        if not torch.isfinite(t).all():
            return name
    names = {p: name for name, p in net.named_parameters()}
    for p, state in (opt.state.items() if opt else ()):
        for kind, t in state.items():
            if isinstance(t, torch.Tensor) and not torch.isfinite(t).all():
                return f"{kind} of {names.get(p, 'a parameter')}"
    return ""


def diverged(where: str, what: str, advice: str) -> Diverged:
    """The error for ``what`` was found ``where``; ``advice`` says what to try."""
    return Diverged(f"{where}: the loss or a weight is no longer a finite number ({what}). What "
                    f"was saved before is kept. Try {advice}")
