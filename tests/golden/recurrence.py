"""The diagonal state space model step by step: what its convolution must equal."""

import torch


def recurrent(made, s: torch.Tensor) -> torch.Tensor:
    """Outputs of a ``DiagonalSSM`` on s (H, L, B); the anti-causal half runs backwards."""
    def run(steps, A_bar, g, d, delay):
        h = torch.zeros(*A_bar.shape, s.shape[2], dtype=A_bar.dtype)
        y = torch.empty_like(s)
        for t in steps:
            if delay:
                y[:, t] = h.real.sum(1)
            h = A_bar[..., None] * h + g[..., None] * s[:, t][:, None]
            if not delay:
                y[:, t] = h.real.sum(1) + d[:, None] * s[:, t]
        return y

    y = run(range(s.shape[1]), *made.discrete(), delay=0)
    if made.two_sided:
        y = y + run(range(s.shape[1] - 1, -1, -1), *made.discrete(future=True), delay=1)
    return y
