"""What a state engine must answer: the reference's operations, one step after the other."""

import numpy as np

from quant.integer.memory import Draws
from quant.integer.reference import Running, word_of
from quant.integer.signature import crc32
from rtl.parts.streams import marks
from rtl.spec import LayerSpec


def bits(flags) -> int:
    """An integer whose bit j is ``flags[j]``."""
    return sum(int(flag) << j for j, flag in enumerate(flags))


def expected_words(spec: LayerSpec, words: list[dict], seed: int | None = None) -> list[dict]:
    """An engine's words for x words: dictionaries of raw integers as in :mod:`rtl.parts.streams`.

    words : ``x`` (P G,) and marks; whole blocks, sequences back to back, the first block of all
    with ``first``. seed : master seed other than the artifact's.
    """
    art, geo, cut = spec.art, spec.geo, spec.cut
    G, P, seed = geo.G, geo.P, art.seed if seed is None else seed
    if len(words) % geo.words:
        raise ValueError(f"{len(words)} words are not whole blocks of {geo.words}")
    blocks = [words[j:j + geo.words] for j in range(0, len(words), geo.words)]
    starts = [j for j, block in enumerate(blocks) if block[0]["first"]] + [len(blocks)]
    longest = P * max(b - a for a, b in zip(starts, starts[1:]))
    draws = Draws(art.random, seed, art.H, art.n, longest, block=P)
    out = []
    for block in blocks:
        if block[0]["first"]:
            layer, saturations = Running(art.blocks[spec.number], {"x": art.x_format}, draws), 0
        x = np.array([word["x"] for word in block], np.int64).reshape(geo.words, P, G)
        neurons, over, values = run_block(layer, x.swapaxes(0, 1).reshape(P, -1), block[0])
        for w, word in enumerate(block):
            c = slice(w * G, (w + 1) * G)
            saturations += int(over[c].sum())
            found = {name: sent(values[name][:, c].ravel(), cut.formats[name]) for name in cut.sent}
            if spec.spikes_enter:
                found["s_in"] = bits(values[cut.u][:, c].ravel())
            out.append(found | {name: word[name] for name in marks(geo)} | {
                "end": int(w == geo.words - 1),
                "signature": crc32(neurons[:c.stop]) if spec.hw.signature else 0,
                "saturations": saturations})
    return out


def run_block(layer: Running, x: np.ndarray, about: dict) -> tuple[np.ndarray, np.ndarray, dict]:
    """A layer's block of steps: neuron words (H,), saturated parts (H,) and values (P, H) by name.

    x : (P, H); about : its marks. What is missing, of a second step, is 0.
    """
    P, H = x.shape
    neurons, over, made = np.zeros(H, np.int64), np.zeros(H, np.int64), []
    for p in range(P - about.get("half", 0)):
        layer(x=x[p])
        if about["last"] and p == P - 1 - about.get("half", 0):
            layer.end()
        neurons, over = neurons ^ word_of(layer, p), over + saturated(layer, updated=False)
        made.append(dict(layer.values))
    missing = [{name: np.zeros(H, np.int64) for name in made[0]}] * (P - len(made))
    return neurons, over + saturated(layer, updated=True), {
        name: np.array([each[name] for each in made + missing]) for name in made[0]}


def sent(values, fmt):
    """What a word has of G values: spikes as one integer, else one of each neuron."""
    return bits(values) if fmt.width == 1 and not fmt.signed else [int(v) for v in values]


def saturated(layer: Running, updated: bool) -> np.ndarray:
    """(H,) saturated parts of a step's states and membranes; ``updated``: of states that a block
    of steps updates once, else of all others."""
    found = 0
    for memory in layer.memory:
        over = getattr(memory, "saturated", None)
        if over is not None and (memory in layer.in_blocks) == updated:
            found = found + over.reshape(len(over), -1).sum(1)
    return found
