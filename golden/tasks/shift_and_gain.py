"""Augmentation of sound: each clip a little earlier or later, and louder or softer."""

import math

import torch

from golden.tasks import audio
from golden.tasks.audio import Encoding

GAIN = 6.0          # decibels, at most, up or down
PIECE = 256         # clips at once: an index is 8 bytes a step


def shift_and_gain(values: torch.Tensor, generator: torch.Generator, encoding: Encoding,
                   shift: int, ragged: bool) -> torch.Tensor:
    """Other raw sequences like ``values`` (B, L), in the same encoding.

    Each is moved by a whole number of steps from -shift to shift, with silence where it came from,
    and its sound multiplied by -6 to 6 decibels, both uniform; what gets too loud is cut off. With
    ``ragged``, clips end where their last value that is not 0 stands, and still do afterwards.
    """
    draws = 2 * torch.rand(2, len(values), generator=generator, device=values.device) - 1
    steps = (draws[0] * (shift + 0.5)).round().clamp(-shift, shift).long()
    gains = 10 ** (draws[1] * GAIN / 20)
    out = torch.empty_like(values)
    for part in torch.arange(len(values), device=values.device).split(PIECE):
        rows = slice(int(part[0]), int(part[-1]) + 1)
        raw = moved(values[rows], steps[rows], encoding)
        raw = louder(raw, gains[rows], encoding).to(values.dtype)
        out[rows] = raw * inside(values[rows]) if ragged else raw
    return out


def inside(values: torch.Tensor) -> torch.Tensor:
    """(B, L) bool: up to the last value of each row that is not 0."""
    place = torch.arange(1, values.shape[1] + 1, device=values.device)
    end = ((values != 0) * place).amax(1)
    return place <= end[:, None]


def moved(values: torch.Tensor, steps: torch.Tensor, encoding: Encoding) -> torch.Tensor:
    """Rows of ``values`` later by ``steps`` (B,), silence where nothing is known."""
    L = values.shape[1]
    place = torch.arange(L, device=values.device) - steps[:, None]
    raw = values.gather(1, place.clamp(0, L - 1))
    known = (place >= 0) & (place < L)
    if encoding.vocab:
        known &= raw != 0           # what was behind the clip's end
    return torch.where(known, raw, encoding.silence)


def louder(raw: torch.Tensor, gains: torch.Tensor, encoding: Encoding) -> torch.Tensor:
    """Raw values of the sound times ``gains`` (B,)."""
    if encoding.first is None:
        samples = encoding.sample_format
        return (raw * gains[:, None]).round().clamp(samples.lo, samples.hi)
    sound = torch.from_numpy(audio.LINEAR).to(raw.device) / 32768               # (256,)
    x = (sound * gains[:, None]).clamp(-1, 1)                                   # (B, 256)
    y = x.sign() * torch.log1p(audio.MU * x.abs()) / math.log1p(audio.MU)
    codes = ((y + 1) * 127.5).round()
    return codes.gather(1, raw.long() - encoding.first) + encoding.first
