"""What a state engine must answer: the reference's functions, one step after the other."""

import numpy as np

from quant.integer import lfsr, reference
from quant.integer.artifact import Artifact
from quant.integer.sampling import SpikeSampler
from rtl.config import Geometry


def bits(flags) -> int:
    """An integer whose bit j is ``flags[j]``."""
    return sum(int(flag) << j for j, flag in enumerate(flags))


def expected_spikes(art: Artifact, number: int, geo: Geometry, words: list[dict],
                    signature: bool = True, seed: int | None = None) -> list[dict]:
    """Spike words for x words: both as dictionaries of raw integers, as in :mod:`rtl.streams`.

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
    layer, G = art.layers[number], geo.G
    seed = art.seed if seed is None else seed
    if len(words) % geo.words:
        raise ValueError(f"{len(words)} words are no whole steps of {geo.words}")
    steps = [words[j:j + geo.words] for j in range(0, len(words), geo.words)]

    starts = [j for j, step in enumerate(steps) if step[0]["first"]] + [len(steps)]
    longest = max(b - a for a, b in zip(starts, starts[1:]))
    all_round = reference.rounding_words(art, number, seed, longest)

    out = []
    for step in steps:
        if step[0]["first"]:
            t, saturations = 0, 0
            h_re, h_im = (np.zeros((art.H, art.n), np.int64) for _ in range(2))
            sampler_in, sampler_out = (SpikeSampler(art, number, kind, seed, longest)
                                       for kind in (lfsr.SAMPLER_IN, lfsr.SAMPLER_OUT))
        r_round = all_round[t]
        x = np.concatenate([np.asarray(word["x"], np.int64) for word in step])
        p = reference.input_probability(x, layer, art.residual)
        s, r_in = sampler_in(p)
        running = []
        for w in range(geo.words):
            c = slice(w * G, (w + 1) * G)
            h_re[c], h_im[c], over = reference.state_update(
                h_re[c], h_im[c], s[c, None], layer.a_re[c], layer.a_im[c], layer.g_re[c],
                layer.g_im[c], r_round[c], art.rounding, layer.fmt, art.random)
            saturations += over
            running.append(saturations)
        y = reference.drive(h_re, s, layer)
        spikes, r_out = sampler_out(y)
        neurons = reference.neuron_word(h_re, h_im, r_round, p, r_in, y, r_out)
        for w in range(geo.words):
            c = slice(w * G, (w + 1) * G)
            out.append({"s_out": bits(spikes[c]), "s_in": bits(s[c]), "first": step[w]["first"],
                        "last": step[w]["last"], "end": int(w == geo.words - 1),
                        "signature": reference.crc32(neurons[:c.stop]) if signature else 0,
                        "saturations": running[w]})
        t += 1
    return out
