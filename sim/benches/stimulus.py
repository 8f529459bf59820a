"""Operands and words for benches: corners first, then seeded random."""

from itertools import product

import numpy as np

from quant.integer.artifact import Artifact
from golden.base.qformat import QFormat
from rtl.parts.config import Geometry


def corners_and_random(formats: dict[str, QFormat], n: int, seed: int) -> dict[str, np.ndarray]:
    """Raw int64 arrays of length ``2**len(formats) + n``, one per operand name."""
    corners = np.array(list(product(*[(q.lo, q.hi) for q in formats.values()]))).T
    rng = np.random.default_rng(seed)
    return {name: np.concatenate([corner, rng.integers(q.lo, q.hi, n, endpoint=True)])
            for (name, q), corner in zip(formats.items(), corners)}


def as_words(operands: dict[str, np.ndarray]) -> list[dict[str, int]]:
    """One dictionary per operand set."""
    count = len(next(iter(operands.values())))
    return [{name: int(raw[j]) for name, raw in operands.items()} for j in range(count)]


def framed(rows: np.ndarray, geo: Geometry, lengths) -> list[dict]:
    """Rows (steps, H) as words with ``first`` and ``last``: sequences of ``lengths`` steps."""
    words, t = [], 0
    for length in lengths:
        for k in range(length):
            words += [{"x": part.tolist(), "first": int(k == 0), "last": int(k == length - 1)}
                      for part in rows[t + k].reshape(geo.words, geo.G)]
        t += length
    return words


def block_inputs(art: Artifact, lengths, seed: int) -> np.ndarray:
    """Block inputs (steps, H): probabilities, a fifth of them at 0, 1 and the format's ends."""
    rng, q = np.random.default_rng(seed), art.x_format
    shape = (sum(lengths), art.H)
    one = 1 << q.f_bits
    ends = [q.lo, 0, one, q.hi] if art.spiking.residual == "plain" else [0, one]
    x = rng.integers(0, one + 1, shape)
    return np.where(rng.random(shape) < 0.2, rng.choice(ends, shape), x)


def bits(flags) -> int:
    """An integer whose bit j is ``flags[j]``."""
    return sum(int(flag) << j for j, flag in enumerate(flags))
