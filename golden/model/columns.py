"""Sequences as columns: (B, L) samples to (N,), time cut into chunks, and back.

Inside a network tensors are (H, N) with N = C M B in the order (C, M, B), which
``golden.model.ssm.chunked_conv`` wants: step t = m C + c of sequence b is column (c M + m) B + b.
"""

import torch
import torch.nn.functional as F


class Columns:
    """How one batch of samples or tokens v (B, L) is laid out.

    ``lengths`` (B,) are the steps that count, None: all; ``chunks`` are (C, M), C M >= L, and steps
    from L on are padding.
    """

    def __init__(self, v: torch.Tensor, lengths: torch.Tensor | None, chunks: tuple[int, int]):
        self.B, self.L = v.shape
        self.shape = *chunks, self.B
        self.device, self.lengths = v.device, lengths
        if lengths is None and chunks[0] * chunks[1] != self.L:
            self.lengths = torch.full((self.B,), self.L, device=v.device)

    def of(self, v: torch.Tensor) -> torch.Tensor:
        """(B, L) to (N,), zeros behind the end."""
        C, M, B = self.shape
        return F.pad(v, (0, C * M - self.L)).reshape(B, M, C).permute(2, 1, 0).reshape(-1)

    def valid(self, dtype: torch.dtype) -> torch.Tensor | None:
        """(N,), 1 where a step belongs to its sequence; None: everywhere."""
        if self.lengths is None:
            return None
        C, M, _ = self.shape
        t = (torch.arange(C, device=self.device)[:, None, None]
             + C * torch.arange(M, device=self.device)[None, :, None])
        return (t < self.lengths).reshape(-1).to(dtype)

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """(H, N) to (B, L, H)."""
        C, M, B = self.shape
        return x.reshape(-1, C, M, B).permute(3, 2, 1, 0).reshape(B, M * C, -1)[:, :self.L]

    def mean(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Mean over the steps that count, (H, N) to (B, H), summed in ``dtype``."""
        valid = self.valid(x.dtype)
        total = x if valid is None else x * valid
        total = total.view(len(x), -1, self.B).sum(1, dtype=dtype)
        return (total / (self.L if valid is None else self.lengths)).T
