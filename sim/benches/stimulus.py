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


def block_marks(lengths, P: int) -> list[dict[str, int]]:
    """``rtl.parts.streams.marks`` of every block of P steps of sequences of ``lengths`` steps."""
    return [{"first": int(t == 0), "last": int(t + P >= length)} |
            ({"half": int(t + P > length)} if P > 1 else {})
            for length in lengths for t in range(0, length, P)]


def there(lengths, P: int) -> np.ndarray:
    """(blocks P,) whether each step of the blocks exists."""
    return np.concatenate([np.arange(-(-length // P) * P) < length for length in lengths])


def in_blocks(rows: np.ndarray, geo: Geometry, lengths) -> np.ndarray:
    """Rows (steps, H) word by word (blocks words, P G); a missing step is as the one before it."""
    steps = np.cumsum(there(lengths, geo.P)) - 1
    out = np.asarray(rows)[steps].reshape(-1, geo.P, geo.words, geo.G)
    return out.swapaxes(1, 2).reshape(-1, geo.values)


def from_blocks(words, geo: Geometry, lengths=None) -> np.ndarray:
    """The inverse, and without ``lengths`` with all the steps of whole blocks."""
    rows = np.array(words).reshape(-1, geo.words, geo.P, geo.G).swapaxes(1, 2).reshape(-1, geo.H)
    return rows if lengths is None else rows[there(lengths, geo.P)]


def framed(rows: np.ndarray, geo: Geometry, lengths) -> list[dict]:
    """Rows (steps, H) as words with their marks: sequences of ``lengths`` steps."""
    marks = block_marks(lengths, geo.P)
    return [{"x": part.tolist()} | marks[j // geo.words]
            for j, part in enumerate(in_blocks(rows, geo, lengths))]


def without_missing(words: list[dict], geo: Geometry, names=("x",)) -> list[dict]:
    """Words whose values in a step that is missing are 0: nothing depends on them."""
    return [word | {name: word[name][:geo.G] + [0] * geo.G for name in names}
            if word.get("half") else word for word in words]


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
    """Values (steps, H) by name as words with their marks and ``end``."""
    geo = spec.geo
    parts = {name: in_blocks(values[name], geo, lengths) for name in formats}
    marks = block_marks(lengths, geo.P)
    return [{name: sent(parts[name][t * geo.words + j], fmt) for name, fmt in formats.items()} |
            mark | {"end": int(j == geo.words - 1)}
            for t, mark in enumerate(marks) for j in range(geo.words)]


def rows_of(words: list[dict], name: str, fmt: QFormat, geo: Geometry, lengths=None) -> np.ndarray:
    """The values (steps, H) of a name in words of sequences; without ``lengths`` of all steps."""
    if fmt == BIT:
        rows = [[word[name] >> g & 1 for g in range(geo.values)] for word in words]
    else:
        rows = [word[name] for word in words]
    return from_blocks(rows, geo, lengths)


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
    for t in range(len(words) // geo.words):
        step = slice(t * geo.words, (t + 1) * geo.words)
        for word in words[step]:
            word |= {"signature": int(rng.integers(1 << 32)), "saturations": int(rng.integers(99))}
        for word in out[step]:
            word |= {name: words[step][-1][name] for name in ("signature", "saturations")}
    return words, out
