"""What a state engine must answer: the reference's operations, one step after the other."""

import numpy as np

from quant.integer.memory import Draws
from quant.integer.reference import Running, word_of
from quant.integer.signature import crc32
from rtl.spec import LayerSpec


def bits(flags) -> int:
    """An integer whose bit j is ``flags[j]``."""
    return sum(int(flag) << j for j, flag in enumerate(flags))


def expected_words(spec: LayerSpec, words: list[dict], seed: int | None = None) -> list[dict]:
    """An engine's words for x words: dictionaries of raw integers as in :mod:`rtl.parts.streams`.

    words : ``x`` (G,), ``first``, ``last``; whole steps, sequences back to back, the first step of
    all with ``first``. seed : master seed other than the artifact's.
    """
    art, geo, cut = spec.art, spec.geo, spec.cut
    G, seed = geo.G, art.seed if seed is None else seed
    if len(words) % geo.words:
        raise ValueError(f"{len(words)} words are not whole steps of {geo.words}")
    steps = [words[j:j + geo.words] for j in range(0, len(words), geo.words)]
    starts = [j for j, step in enumerate(steps) if step[0]["first"]] + [len(steps)]
    draws = Draws(art.random, seed, art.H, art.n, max(b - a for a, b in zip(starts, starts[1:])))
    out = []
    for step in steps:
        if step[0]["first"]:
            block, saturations = Running(art.blocks[spec.number], {"x": art.x_format}, draws), 0
        block(x=np.concatenate([np.asarray(word["x"], np.int64) for word in step]))
        neurons, over = word_of(block), saturated(block)
        for w, word in enumerate(step):
            c = slice(w * G, (w + 1) * G)
            saturations += int(over[c].sum())
            found = {name: sent(block.values[name][c], cut.formats[name]) for name in cut.sent}
            if spec.spikes_enter:
                found["s_in"] = bits(block.values[cut.u][c])
            out.append(found | {
                "first": word["first"], "last": word["last"], "end": int(w == geo.words - 1),
                "signature": crc32(neurons[:c.stop]) if spec.hw.signature else 0,
                "saturations": saturations})
    return out


def sent(values, fmt):
    """What a word has of G values: spikes as one integer, else one of each neuron."""
    return bits(values) if fmt.width == 1 and not fmt.signed else [int(v) for v in values]


def saturated(block: Running) -> np.ndarray:
    """(H,) saturated parts of a step's states and membranes."""
    found = 0
    for memory in block.memory:
        over = getattr(memory, "saturated", None)
        if over is not None:
            found = found + over.reshape(len(over), -1).sum(1)
    return found
