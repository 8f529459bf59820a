"""A network in integers, fast enough for whole test sets; equals ``quant.integer.reference``.

What hardware has too runs compiled (``quant.integer.compiled``). Any other network runs operation
after operation, each over all steps of a group of sequences: only states go step by step, in numba;
sums of columns are float64 matrix products where they stay below 2**53, exact; all else is the
operations themselves on whole tensors, another memory's step after step.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numba as nb
import numpy as np

from quant.integer import kernels
from quant.integer.batch import Batch, check_lengths, check_values
from quant.integer.bounds import bounds
from quant.integer.compiled import Compiled
from quant.integer.memory import Draws, States
from quant.integer.operation import ArtifactError, Operation, wired
from quant.integer.ops import Limit, Mix
from quant.integer.program import Artifact
from quant.integer.reference import decode, traced
from quant.integer.signature import SUM, TOOK, crc_tables, rotl

GROUP = 16          # sequences side by side, fewer where they are long
MEMORY = 1 << 28    # bytes of the values of a group
EXACT = 1 << 53     # float64 holds every integer below


@nb.njit(cache=True, nogil=True)
def scan(u, a_re, a_im, g_re, g_im, words, rounding, lo, hi, re_sum, over, shown):
    """``h <- saturate(round(A_bar h + g u))`` over a group; every argument int64.

    u : (H, L, B); g already at the accumulator's scale; words : (L, H, n); rounding : shift, bits,
    as in ``States.update`` (bits 0: half to even); re_sum : (H, L, B), gets sum Re h; over :
    (L, B), gets the saturated parts; shown : (H, L, B) uint32, gets the states' words for the
    signature, or empty.
    """
    H, L, B = u.shape
    shift, bits = rounding
    half = (1 << shift) >> 1
    mask = (1 << bits) - 1
    for i in range(H):
        for k in range(a_re.shape[1]):
            h_re, h_im = np.zeros(B, np.int64), np.zeros(B, np.int64)
            c_re, c_im, d_re, d_im = a_re[i, k], a_im[i, k], g_re[i, k], g_im[i, k]
            for t in range(L):
                add_re = add_im = half - 1
                word = 0
                if bits > 0:
                    word = words[t, i, k]
                    add_re = ((word & mask) << shift - bits) + (half >> bits)
                    add_im = ((word >> bits) << shift - bits) + (half >> bits)
                for b in range(B):
                    re = c_re * h_re[b] - c_im * h_im[b] + d_re * u[i, t, b]
                    im = c_re * h_im[b] + c_im * h_re[b] + d_im * u[i, t, b]
                    if bits == 0:
                        re, im = re + (re >> shift & 1), im + (im >> shift & 1)
                    re, im = (re + add_re) >> shift, (im + add_im) >> shift
                    h_re[b], h_im[b] = min(max(re, lo), hi), min(max(im, lo), hi)
                    over[t, b] += (h_re[b] != re) + (h_im[b] != im)
                    re_sum[i, t, b] += h_re[b]
                if len(shown) > 0:
                    kernels.sign_mode(shown[i, t], h_re, h_im, word, k)


def along(op: States, u_fmt, u: np.ndarray, words: np.ndarray, bits: int, place: int | None):
    """``Operation.along`` of inputs u (B, L, H), all steps at once, but saturated parts (B, L).

    What goes backwards takes the inputs from the last one on, and y before each; inputs must be 0
    behind a sequence's end, where states then stay 0.
    """
    B, L, H = u.shape
    re_sum, over, align = np.zeros((H, L, B), np.int64), np.zeros((L, B), np.int64), op.align(u_fmt)
    shown = np.zeros((H * (place is not None), L, B), np.uint32)
    way = slice(None, None, -1 if op.backwards else 1)
    scan(np.ascontiguousarray(u[:, way].transpose(2, 1, 0)), op.a_re.raw, op.a_im.raw,
         op.g_re.raw << align, op.g_im.raw << align, np.ascontiguousarray(words[way]),
         (op.a_re.fmt.f_bits, bits), op.h.lo, op.h.hi, re_sum, over, shown)
    re_sum = np.ascontiguousarray(re_sum[:, way].transpose(2, 1, 0))
    if op.backwards:
        re_sum = np.concatenate([re_sum[:, 1:], np.zeros((B, 1, H), np.int64)], 1)
    word = np.ascontiguousarray(shown[:, way].transpose(2, 1, 0))
    return (op.output(u_fmt, re_sum, u), over[way].T,
            word ^ rotl(u, TOOK) if place == 0 else word)


class Vectorised:
    """An artifact, ready to run many sequences; arguments as of :class:`IntegerNetwork`."""

    def __init__(self, art: Artifact, seed: int | None = None, threads: int | None = None):
        self.art, self.seed = art, art.seed if seed is None else seed
        self.threads = threads or len(os.sched_getaffinity(0))
        found = bounds(art)
        self.exact = max(found.stream, found.mixer) < EXACT
        self.first = wired(art.first, {"v": art.input_format})[0]
        self.blocks = [wired(ops, {"x": art.x_format})[0] for ops in art.blocks]
        self._words = {}

    def run(self, values: np.ndarray, lengths: np.ndarray | None = None,
            record: bool = False) -> Batch:
        """Run B sequences of raw samples or tokens ``values`` (B, L), of ``lengths`` (B,) steps."""
        art, values = self.art, np.asarray(values)
        names = traced(art) if record else None
        lengths = check_lengths(art, *values.shape, lengths)
        steps = int(lengths.max())
        live = np.arange(steps) < lengths[:, None]
        values = np.where(live, values[:, :steps], values[0, 0])
        check_values(art, values)
        draws = Draws(art.random, self.seed, art.H, art.n, steps)
        for op in (op for block in self.blocks for op, _ in block if isinstance(op, States)):
            self._rounding(op, draws)
        size = max(1, min(GROUP, MEMORY // (80 * steps * art.H)))
        parts = [slice(k, k + size) for k in range(0, len(values), size)]
        with ThreadPoolExecutor(self.threads) as pool:
            found = list(pool.map(
                lambda part: self._group(values[part], live[part], draws, names), parts))
        total, spikes, over, *trace = zip(*found)
        logits = decode(np.concatenate(total), lengths, art)
        return Batch(art, lengths, logits, logits.argmax(1),
                     {name: np.concatenate([group[name] for group in over]) for name in over[0]},
                     *map(np.concatenate, (spikes, *trace)))

    def _rounding(self, op: States, draws: Draws) -> np.ndarray:
        if op.rounding != "stochastic":
            return np.zeros((0, 1, 1), np.int64)
        if len(self._words.get(op.layer, ())) < draws.steps:
            self._words[op.layer] = draws.rounding(op.layer)
        return self._words[op.layer][:draws.steps]

    def _group(self, values: np.ndarray, live: np.ndarray, draws: Draws,
               names: tuple[str, ...] | None):
        """(sum of x (B, H), spikes (B, N, 1), saturations) of some sequences; with the ``names`` of
        recorded spikes also the three of a :class:`Batch`."""
        (B, steps), N, H = live.shape, len(self.blocks), self.art.H
        over, spikes = {}, np.zeros((B, N, 1), np.int64)
        record, present = names is not None, live[..., None]
        s_in, s_out = (np.zeros((B, N, steps, H * (record and name in names)), np.int8)
                       for name in ("s_in", "s_out"))
        signature = np.zeros((B, N, steps * record), np.uint32)
        x = self._through(self.first, {"v": values[..., None]}, N, over, live, draws)["x"]
        for j, block in enumerate(self.blocks):
            words = np.zeros((B, steps, H * record), np.int64)
            made = self._through(block, {"x": x}, j, over, live, draws, words)
            x = made["x"]
            if "s_out" in made:
                spikes[:, j, 0] = ((made["s_out"] != 0).sum(-1) * live).sum(1)
            if record:
                for kept, name in ((s_in, "s_in"), (s_out, "s_out")):
                    kept[:, j] = made[name] * present if name in made else 0
                words ^= rotl(made["y"], SUM)
                by_neuron = np.ascontiguousarray(words.reshape(-1, H).T, np.uint32)
                crc = kernels.crc(by_neuron, crc_tables())
                signature[:, j] = crc.reshape(live.shape) * live
        total = (x * present).sum(1)
        return (total, spikes, over, s_in, s_out, signature) if record else (total, spikes, over)

    def _through(self, block, made: dict, j: int, over: dict, live: np.ndarray, draws: Draws,
                 words: np.ndarray = np.zeros(0)):
        """All values behind a block's operations; adds to ``over`` in column j, and to ``words``,
        where there are any, what memories show of a step."""
        place = 0
        for op, formats in block:
            inputs, saturated = [made[name] for name in op.reads], None
            if op.backwards:
                inputs = [raw * live[..., None] for raw in inputs]
            if op.states:
                made[op.makes], saturated, shown = self._memory(
                    op, formats, inputs, draws, place if words.size else None)
                place += 1
                if words.size:
                    words ^= shown
            else:
                made[op.makes] = self._apply(op, formats, inputs)
                if isinstance(op, Limit):
                    made[op.makes], saturated = made[op.makes]
            for name in op.saturates:
                of = over.setdefault(name, np.zeros((len(live), len(self.blocks) + 1), np.int64))
                of[:, j] += (saturated.reshape(*live.shape, -1).sum(-1) * live).sum(1)
        return made

    def _memory(self, op: Operation, formats, inputs: list[np.ndarray], draws: Draws,
                place: int | None):
        if not isinstance(op, States):
            return op.along(formats, draws, *inputs, place=place)
        bits = draws.random.round_bits if op.rounding == "stochastic" else 0
        return along(op, formats[0], inputs[0], self._rounding(op, draws), bits, place)

    def _apply(self, op: Operation, formats, inputs: list[np.ndarray]):
        if isinstance(op, Mix) and self.exact:
            total = inputs[0].astype(np.float64) @ op.w.raw.T.astype(np.float64)
            return op.shifted(np.rint(total).astype(np.int64))
        return op.apply(formats, *inputs)


def IntegerNetwork(art: Artifact, seed: int | None = None,
                   threads: int | None = None) -> Compiled | Vectorised:
    """An artifact, ready to run many sequences.

    Parameters
    ----------
    seed : int or None
        Master seed of the random words; None is the artifact's own.
    threads : int or None
        Groups that run at once; None is one for each processor of this process.
    """
    try:
        art.spiking
    except ArtifactError:           # nothing that hardware has
        return Vectorised(art, seed, threads)
    return Compiled(art, seed, threads)
