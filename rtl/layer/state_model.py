"""What a state engine must answer: the reference's operations, one step after the other."""

import numpy as np

from quant.integer.artifact import Artifact
from quant.integer.memory import Draws
from quant.integer.reference import Running, word_of
from quant.integer.signature import crc32
from rtl.parts.config import Geometry


def bits(flags) -> int:
    """An integer whose bit j is ``flags[j]``."""
    return sum(int(flag) << j for j, flag in enumerate(flags))


def expected_spikes(art: Artifact, number: int, geo: Geometry, words: list[dict],
                    signature: bool = True, seed: int | None = None) -> list[dict]:
    """Spike words for x words: both dictionaries of raw integers as in :mod:`rtl.parts.streams`.

    Parameters
    ----------
    words : list of dict
        ``x`` (G,), ``first``, ``last``; whole steps, sequences back to back. The first step of all
        has ``first``.
    signature : bool
        As in the hardware configuration; without it the field is 0.
    seed : int, optional
        Master seed other than the artifact's.
    """
    G, seed = geo.G, art.seed if seed is None else seed
    if len(words) % geo.words:
        raise ValueError(f"{len(words)} words are not whole steps of {geo.words}")
    steps = [words[j:j + geo.words] for j in range(0, len(words), geo.words)]
    starts = [j for j, step in enumerate(steps) if step[0]["first"]] + [len(steps)]
    draws = Draws(art.random, seed, art.H, art.n, max(b - a for a, b in zip(starts, starts[1:])))
    out = []
    for step in steps:
        if step[0]["first"]:
            block, saturations = Running(art.blocks[number], {"x": art.x_format}, draws), 0
        block(x=np.concatenate([np.asarray(word["x"], np.int64) for word in step]))
        _, states, _ = block.memory
        neurons, over = word_of(block), states.saturated.sum(1)
        for w, word in enumerate(step):
            c = slice(w * G, (w + 1) * G)
            saturations += int(over[c].sum())
            out.append({"s_out": bits(block.values["s_out"][c]),
                        "s_in": bits(block.values["s_in"][c]), "first": word["first"],
                        "last": word["last"], "end": int(w == geo.words - 1),
                        "signature": crc32(neurons[:c.stop]) if signature else 0,
                        "saturations": saturations})
    return out
