"""What a state engine must answer: the reference's functions, one step after the other."""

import numpy as np

from quant import lfsr, reference
from quant.artifact import Artifact
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
    layer, rand, G = art.layers[number], art.random, geo.G
    if len(words) % geo.words:
        raise ValueError(f"{len(words)} words are no whole steps of {geo.words}")
    steps = [words[j:j + geo.words] for j in range(0, len(words), geo.words)]

    def stream(kind, per_step):
        start = lfsr.stream_start(rand, art.seed if seed is None else seed,
                                  lfsr.stream_index(number, kind))
        draws = lfsr.words(rand, start, lfsr.word_bits(rand, kind), len(steps) * per_step)
        return draws.reshape(len(steps), per_step)

    all_in, all_out = stream(lfsr.SAMPLER_IN, art.H), stream(lfsr.SAMPLER_OUT, art.H)
    all_round = np.zeros((len(steps), art.H, art.n), np.int64)
    if art.rounding == "stochastic":
        all_round = stream(lfsr.ROUNDING, art.H * art.n).reshape(all_round.shape)

    out = []
    for step in steps:
        if step[0]["first"]:
            t, saturations = 0, 0
            h_re, h_im = (np.zeros((art.H, art.n), np.int64) for _ in range(2))
        r_in, r_out, r_round = all_in[t], all_out[t], all_round[t]
        x = np.concatenate([np.asarray(word["x"], np.int64) for word in step])
        p, f_bits = reference.input_probability(x, layer, art.residual)
        s = reference.fires(p, f_bits, r_in, rand)
        running = []
        for w in range(geo.words):
            c = slice(w * G, (w + 1) * G)
            h_re[c], h_im[c], over = reference.state_update(
                h_re[c], h_im[c], s[c, None], layer.a_re[c], layer.a_im[c], layer.g_re[c],
                layer.g_im[c], r_round[c], art.rounding, layer.fmt, rand)
            saturations += over
            running.append(saturations)
        y = reference.drive(h_re, s, layer)
        spikes = reference.fires(y, layer.fmt.h.f_bits, r_out, rand)
        neurons = reference.neuron_word(h_re, h_im, r_round, p, r_in, y, r_out)
        for w in range(geo.words):
            c = slice(w * G, (w + 1) * G)
            out.append({"s_out": bits(spikes[c]), "s_in": bits(s[c]), "first": step[w]["first"],
                        "last": step[w]["last"], "end": int(w == geo.words - 1),
                        "signature": reference.crc32(neurons[:c.stop]) if signature else 0,
                        "saturations": running[w]})
        t += 1
    return out
