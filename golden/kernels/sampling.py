"""The forms of the SpikeSampler: how spikes of probability p are drawn over the time of a sequence.

* ``bernoulli``: independent draws, the paper's;
* ``sobol``: ``[p > u]`` with u a Sobol sequence over time, one dimension per sampler of the
  network, each neuron's bits flipped by a random mask (Owen's digital shift);
* ``systematic``: a spike wherever ``phase + sum p`` passes an integer, the phase uniform in [0, 1):
  every spike is still Bernoulli(p) over the phase, but the count of any stretch of time is within 1
  of its expectation (systematic sampling, Madow 1949; a first-order sigma-delta);
* ``mean``: p itself, no spikes: the mean-field network that the others approach.

All have the same expectation, hence the same surrogate gradient: 1 inside [0, 1], 0 outside.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.quasirandom import SobolEngine

SOBOL_BITS = 24
PIECE = 1 << 22         # elements whose float64 intermediates are there at once


@dataclass(frozen=True)
class Draw:
    """Which draws a sampler makes: in which form, and as which sampler of the network.

    ``chunks`` (C, M, B) are the columns of what is sampled: step t = m C + c of sequence b.
    """

    form: str = "bernoulli"
    number: int = 0         # from 0, two per block
    chunks: tuple[int, int, int] = (1, 1, 1)

    def to_time(self, x: torch.Tensor) -> torch.Tensor:
        """(H, N) columns as (H, T, B)."""
        C, M, B = self.chunks
        return x.view(-1, C, M, B).transpose(1, 2).reshape(len(x), M * C, B)

    def from_time(self, x: torch.Tensor) -> torch.Tensor:
        """Inverse of :meth:`to_time`."""
        C, M, B = self.chunks
        return x.view(-1, M, C, B).transpose(1, 2).reshape(len(x), -1)


@lru_cache(maxsize=64)
def sobol_words(number: int, chunks: tuple[int, int, int]) -> torch.Tensor:
    """Integers of ``SOBOL_BITS`` bits, (C M,) in the order of the columns.

    Dimension ``number + 1`` of Joe and Kuo's direction numbers (the first is van der Corput's).
    """
    C, M, _ = chunks
    points = SobolEngine(number + 2, scramble=False).draw(C * M, dtype=torch.float64)[:, -1]
    return (points * (1 << SOBOL_BITS)).long().view(M, C).T.reshape(-1)


def masks(rows: int, chunks: tuple[int, int, int], device=None) -> torch.Tensor:
    """A random mask per neuron and sequence, (H, B)."""
    return torch.randint(0, 1 << SOBOL_BITS, (rows, chunks[2]), device=device)


def spikes(p: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Spikes (or with ``mean`` the probabilities) of p (H, N), in plain PyTorch, no gradient."""
    if draw.form == "bernoulli":
        wide = torch.promote_types(p.dtype, torch.float32)      # bfloat16 has too few values
        return (p > torch.rand_like(p, dtype=wide)).to(p.dtype)
    if draw.form == "mean":
        return p.clamp(0, 1)
    rows = max(1, PIECE // p.shape[1])
    if draw.form == "sobol":
        words = sobol_words(draw.number, draw.chunks).to(p.device)[:, None]
        found = (_sobol(*part, words, draw) for part in zip(
            p.split(rows), masks(len(p), draw.chunks, p.device).split(rows)))
    else:
        phase = torch.rand(len(p), 1, draw.chunks[2], dtype=torch.float64, device=p.device)
        found = (_systematic(*part, draw) for part in zip(p.split(rows), phase.split(rows)))
    return torch.cat(list(found))


def _sobol(p: torch.Tensor, mask: torch.Tensor, words: torch.Tensor, draw: Draw) -> torch.Tensor:
    u = (words ^ mask[:, None]).double() / (1 << SOBOL_BITS)
    return (p.view(len(p), -1, draw.chunks[2]) > u).to(p.dtype).reshape(p.shape)


def _systematic(p: torch.Tensor, phase: torch.Tensor, draw: Draw) -> torch.Tensor:
    total = draw.to_time(p.clamp(0, 1).double()).cumsum(1)
    total = torch.cat([phase, phase + total], dim=1).floor()
    return draw.from_time(total.diff(dim=1)).to(p.dtype)
