"""Operands and words for benches: corners first, then seeded random."""

from itertools import product

import numpy as np

from quant.formats import BIT, TERNARY, THRESHOLD
from quant.integer.artifact import Artifact
from golden.base.qformat import QFormat
from rtl.layer.state_model import sent
from rtl.parts.config import Geometry
from rtl.spec import LayerSpec


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
    """Block inputs (steps, H): from 0 to 1, a fifth of them at 0, 1 and the format's ends."""
    rng, q = np.random.default_rng(seed), art.x_format
    shape = (sum(lengths), art.H)
    one = 1 << q.f_bits
    ends = [q.lo, 0, one, q.hi] if q.signed else [0, one]
    x = rng.integers(0, one + 1, shape)
    return np.where(rng.random(shape) < 0.2, rng.choice(ends, shape), x)


def mixed_formats(spec: LayerSpec) -> dict[str, QFormat]:
    """Formats of what a layer's mixers read, by name."""
    return {name: fmt for wire in spec.cut.mixes for name, fmt in zip(wire.op.reads, wire.formats)}


def mixed_values(spec: LayerSpec, steps: int, seed: int) -> dict[str, np.ndarray]:
    """What they read (steps, H): none, all the highest, all the lowest, then random rates."""
    rng, shape, found = np.random.default_rng(seed), (steps, spec.geo.H), {}
    for name, fmt in mixed_formats(spec).items():
        low, high = (-1, 1) if fmt == TERNARY else (fmt.lo, fmt.hi)
        raw = rng.choice([low, high], shape) if high == 1 else rng.integers(low, high + 1, shape)
        raw = np.where(rng.random(shape) < rng.random((steps, 1)), raw, 0)
        raw[:3] = [[0], [high], [low]][:steps]
        found[name] = raw
    return found


def words_of(spec: LayerSpec, formats: dict[str, QFormat], values: dict[str, np.ndarray],
             lengths) -> list[dict]:
    """Values (steps, H) by name as words with ``first``, ``last`` and ``end``."""
    G, words = spec.geo.G, spec.geo.words
    marks = [(int(t == 0), int(t == length - 1)) for length in lengths for t in range(length)]
    return [{name: sent(values[name][t].reshape(words, G)[j], fmt)
             for name, fmt in formats.items()} |
            {"first": first, "last": last, "end": int(j == words - 1)}
            for t, (first, last) in enumerate(marks) for j in range(words)]


def rows_of(words: list[dict], name: str, fmt: QFormat, geo: Geometry) -> np.ndarray:
    """The values (steps, H) of a name in words."""
    if fmt == BIT:
        rows = [[word[name] >> g & 1 for g in range(geo.G)] for word in words]
    else:
        rows = [word[name] for word in words]
    return np.array(rows).reshape(-1, geo.H)


def threshold_steps(part, count: int, seed: int) -> np.ndarray:
    """Values (steps, H) for a :class:`rtl.layer.ternary.Ternary`: zeros, the ends, ties, random.

    A tie is a value whose magnitude is the limit itself, or one more or less.
    """
    rng, H = np.random.default_rng(seed), part.geo.H
    fmt = part.wire.formats[0]
    steps = rng.integers(fmt.lo, fmt.hi + 1, (count, H)) >> rng.integers(0, fmt.width, (count, 1))
    steps[0], steps[1], steps[2] = 0, fmt.lo, fmt.hi
    c, f = int(part.wire.op.threshold.raw), THRESHOLD.f_bits
    for k in range(3, min(count, 12)):
        most = min(fmt.hi, (k << f) >> (k % 3))         # c most is a whole number
        steps[k] = rng.integers(-1, 2, H) + rng.choice([-1, 1], H) * (c * most >> f)
        steps[k, rng.integers(H)] = most
    return np.clip(steps, fmt.lo, fmt.hi)


def threshold_words(part, steps: np.ndarray, seed: int) -> tuple[list[dict], list[dict]]:
    """Words in and words out of it; all that is not its business is random and goes along."""
    rng, geo, spec = np.random.default_rng(seed), part.geo, part.spec
    wire, kept = part.wire, spec.cut.sent
    values = {name: rng.integers(*(spec.cut.formats[name].lo, spec.cut.formats[name].hi + 1),
                                 steps.shape) for name in kept} | {wire.op.reads[0]: steps}
    formats = {name: spec.cut.formats[name] for name in kept}
    words = words_of(spec, formats, values, [len(steps)])
    made = [part.model(step) for step in steps]
    out = words_of(spec, formats | {wire.op.makes: wire.made},
                   values | {wire.op.makes: np.array(made)}, [len(steps)])
    for t in range(len(steps)):
        step = slice(t * geo.words, (t + 1) * geo.words)
        for word in words[step]:
            word |= {"signature": int(rng.integers(1 << 32)), "saturations": int(rng.integers(99))}
        for word in out[step]:
            word |= {name: words[step][-1][name] for name in ("signature", "saturations")}
    return words, out
