"""The SpikeSampler in integers: how spikes of probability p are drawn over the time of a sequence.

Part of the specification; ``quant.integer.memory.Fire`` is the operation. p is a raw integer of any
sign and size with f fraction bits; its clamp to [0, 1] is part of every form. A sampler has one
stream of k-bit words; ``quant.integer.lfsr`` says which.

* ``bernoulli``: word ``t H + i`` is neuron i's draw at step t; a spike where p > u, independent of
  all others. With two steps per update of the states it is word ``(b H + i) 2 + s`` in step s, 0 or
  1, of block b of steps.
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

import numpy as np

from quant.formats import RandomFormat
from quant.integer.signature import DRAWS, TOOK, rotl

FORMS = ("bernoulli", "sobol", "systematic")


def limit(r, f_bits: int, random: RandomFormat):
    """Largest raw p of ``f_bits`` fraction bits that does not fire for the word r: u rounded down.

    u is (r + 1/2) 2**-k, or r 2**-k un-centred.
    """
    u, u_bits = (2 * r + 1, random.k + 1) if random.centred else (r, random.k)
    return u >> u_bits - f_bits if u_bits > f_bits else u << f_bits - u_bits


def fires(p, f_bits: int, r, random: RandomFormat):
    """1 where ``p 2**-f_bits > u``; the clamp of p to [0, 1] is implied, for u lies in [0, 1)."""
    return (p > limit(r, f_bits, random)).astype(np.int64)


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


def direction_columns(length: int) -> int:
    """Direction numbers that sequences of up to ``length`` steps need, at least 1."""
    return max(1, (length - 1).bit_length())


def check(fire, f_bits: int, random: RandomFormat, length: int, need) -> None:
    """``need(condition, text)`` for everything that a sampling form asks of a sampler.

    fire : a ``quant.integer.memory.Fire``; f_bits : fraction bits of its p; length : most steps.
    """
    k, columns = random.k, direction_columns(length)
    need(fire.form in FORMS, f"sampling must be one of {', '.join(FORMS)}, not {fire.form!r}")
    if fire.form == "systematic":
        need(1 <= f_bits <= 32, f"a sampler's p has {f_bits} fraction bits, systematic sampling "
                                f"needs 1 to 32")
    if fire.form != "sobol":
        need(fire.directions is None, f"there are Sobol directions with sampling {fire.form}")
        return
    need(columns <= k, f"sobol with k = {k} random bits repeats after {1 << k} steps, the longest "
                       f"sequence has {length}")
    raw = fire.directions.raw if fire.directions else np.zeros(0, np.int64)
    need(raw.shape == (columns,), f"directions: shape {raw.shape}, expected {(columns,)}")
    wrong = np.flatnonzero(((raw & -raw) != 1 << k - 1 - np.arange(columns))
                           | (raw < 0) | (raw >> k != 0))
    need(not len(wrong), f"directions: {len(wrong)} of {columns} are not direction numbers of {k} "
                         f"bits, first at column {wrong[0] if len(wrong) else ''}")


def sampler_word(p, word, place: int):
    """Words of a sampler for the signature: its draws, of a block's first memory p too."""
    return rotl(word, DRAWS[1]) if place else rotl(p, TOOK) ^ rotl(word, DRAWS[0])


class Sampler:
    """A sampler, a ``quant.integer.memory.Fire``, on its way through one sequence.

    ``word`` holds what decided the last step's spikes: the draws, or with ``systematic`` the phases
    that p was added to; ``p`` what it was given.
    """

    def __init__(self, op, f_bits: int, draws):
        self.op, self.f_bits, self.random = op, f_bits, draws.random
        self.words = op.words(f_bits, draws)
        self.t, self.phase, self.word, self.p = 0, self.words[0], None, None

    def __call__(self, p):
        """The next step's spikes (H,)."""
        self.p = p
        if self.op.form == "systematic":
            self.word = self.phase
            s, self.phase = accumulate(p, self.f_bits, self.word)
        else:
            self.word = self.words[self.t]
            s = fires(p, self.f_bits, self.word, self.random)
        self.t += 1
        return s

    def shown(self, place: int):
        return sampler_word(self.p, self.word, place)
