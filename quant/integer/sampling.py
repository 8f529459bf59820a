"""The SpikeSampler in integers: how spikes of probability p are drawn over the time of a sequence.

Part of the specification, like ``quant.integer.reference``, which it serves. p is a raw integer of any sign
and size with f fraction bits; its clamp to [0, 1] is part of every form. A sampler has one stream
of k-bit words; ``quant.integer.lfsr`` says which.

* ``bernoulli``: word ``t H + i`` is neuron i's draw at step t; a spike where p > u, independent of
  all others.
* ``sobol``: the stream gives one word per neuron and sequence, its mask. The draw of step t is
  point t of the sampler's own Sobol dimension XOR the mask (Owen's digital shift); then p > u. The
  points come in Gray code order (Antonov and Saleev 1979): the next point is the last one XOR the
  direction number of the trailing zeros of t + 1. They repeat after 2**k steps, so a sequence has
  at most as many.
* ``systematic``: the stream gives one word per neuron and sequence, its start phase. A step adds
  clamp(p) to the phase; the carry is the spike, the rest the new phase (Madow 1949). The phase has
  p's own f fraction bits, so the sum is exact. If k > f the phase starts from the word's upper f
  bits: uniform, and the bits cut off could never make a carry. If k < f it starts from the word
  (centred: and a half) times 2**(f - k).

Over the start words every spike of each form is Bernoulli(p), to within 2**-k where p is finer
than k bits; ``systematic`` keeps the running count of spikes within 1 of the sum of p.
"""

from dataclasses import dataclass

import numpy as np

from quant.integer import lfsr
from quant.formats import RandomFormat
from quant.rules import choice, need

FORMS = ("bernoulli", "sobol", "systematic")


def fires(p, f_bits: int, r, random: RandomFormat):
    """1 where ``p 2**-f_bits > u``; u is (r + 1/2) 2**-k, or r 2**-k un-centred.

    The clamp of p to [0, 1] is implied: u lies in [0, 1).
    """
    u, u_bits = (2 * r + 1, random.k + 1) if random.centred else (r, random.k)
    f = max(f_bits, u_bits)
    return ((p << f - f_bits) > (u << f - u_bits)).astype(np.int64)


def sobol_points(directions, count: int, first: int = 0) -> np.ndarray:
    """``count`` points of one dimension from ``first`` on; directions (columns,) of k bits."""
    points = np.zeros(first + count, np.int64)
    for t in range(1, first + count):
        points[t] = points[t - 1] ^ directions[(t & -t).bit_length() - 1]
    return points[first:]


def start_phase(r, f_bits: int, random: RandomFormat):
    """Phase of ``f_bits`` fraction bits of the word r of k bits."""
    if f_bits <= random.k:
        return r >> random.k - f_bits
    finer = f_bits - random.k
    return (r << finer) + (random.centred << finer >> 1)


def accumulate(p, f_bits: int, phase):
    """(spikes, new phase): the carry and the rest of ``phase + clamp(p, 0, 1)``."""
    total = phase + np.clip(p, 0, 1 << f_bits)
    return total >> f_bits, total & (1 << f_bits) - 1


def sampler_number(layer: int, kind: int) -> int:
    """Number of a sampler in the network; kind is ``lfsr.SAMPLER_IN`` or ``SAMPLER_OUT``."""
    return 2 * layer + kind


def direction_columns(length: int) -> int:
    """Direction numbers that sequences of up to ``length`` steps need, at least 1."""
    return max(1, (length - 1).bit_length())


def check(art) -> None:
    """Everything that a sampling form asks of an artifact; raises ``ArtifactError``."""
    k, columns = art.random.k, direction_columns(art.length)
    choice("sampling", art.sampling, FORMS)
    if art.sampling == "systematic":
        for number in range(len(art.layers)):
            for kind in (lfsr.SAMPLER_IN, lfsr.SAMPLER_OUT):
                f_bits = sampler_bits(art, number, kind)
                need(1 <= f_bits <= 32, f"layer {number}: a sampler's p has {f_bits} fraction bits, "
                                        f"systematic sampling needs 1 to 32")
    if art.sampling != "sobol":
        need(not art.directions.size, f"there are Sobol directions with sampling {art.sampling}")
        return
    need(columns <= k, f"sobol with k = {k} random bits repeats after {1 << k} steps, the longest "
                       f"sequence has {art.length}")
    shape = 2 * len(art.layers), columns
    need(art.directions.shape == shape, f"directions: shape {art.directions.shape}, "
                                        f"expected {shape}")
    lowest = art.directions & -art.directions
    wrong = np.argwhere((lowest != 1 << k - 1 - np.arange(columns))
                        | (art.directions < 0) | (art.directions >> k != 0))
    need(not len(wrong), f"directions: {len(wrong)} of {art.directions.size} are no direction "
                         f"numbers of {k} bits, first at sampler, column "
                         f"{wrong[0] if len(wrong) else ''}")


def sampler_bits(art, layer: int, kind: int) -> int:
    """Fraction bits of the p that a sampler is given."""
    fmt = art.layers[layer].fmt
    return fmt.p_in_bits(art.residual) if kind == lfsr.SAMPLER_IN else fmt.p_out_bits


def sampler_words(art, layer: int, kind: int, seed: int, steps: int, first: int = 0
                  ) -> np.ndarray:
    """(steps, H) draws of a sampler from step ``first`` on, int64.

    With ``systematic`` its start phases (1, H), whatever ``first`` is.
    """
    rand = art.random
    start = lfsr.stream_start(rand, seed, lfsr.stream_index(layer, kind))
    rows, skip = (steps, first * art.H) if art.sampling == "bernoulli" else (1, 0)
    r = lfsr.words(rand, start, lfsr.word_bits(rand, kind), rows * art.H, skip)
    r = r.reshape(rows, art.H)
    if art.sampling == "sobol":
        directions = art.directions[sampler_number(layer, kind)]
        return sobol_points(directions, steps, first)[:, None] ^ r
    if art.sampling == "systematic":
        return start_phase(r, sampler_bits(art, layer, kind), rand)
    return r


@dataclass
class SpikeSampler:
    """A sampler of a network on its way through one sequence of ``steps`` steps."""

    art: object
    layer: int
    kind: int
    seed: int
    steps: int

    def __post_init__(self):
        self.f_bits = sampler_bits(self.art, self.layer, self.kind)
        self.words = sampler_words(self.art, self.layer, self.kind, self.seed, self.steps)
        self.t, self.phase = 0, self.words[0]

    def __call__(self, p) -> tuple[np.ndarray, np.ndarray]:
        """The next step's spikes (H,) and the words that decided them.

        The words are the draws, or with ``systematic`` the phases that p was added to.
        """
        if self.art.sampling == "systematic":
            word = self.phase
            s, self.phase = accumulate(p, self.f_bits, word)
        else:
            word = self.words[self.t]
            s = fires(p, self.f_bits, word, self.art.random)
        self.t += 1
        return s, word
