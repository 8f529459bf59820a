"""Binary S4D and GSU in integers for whole test sets; equals ``quant.gated_reference.run``.

Layer after layer, each over all steps of a block of sequences: only the states go step by step, in
numba; sums of columns are float64 matrix products, exact because every sum stays below 2**53; the
rest is the reference's own functions on whole tensors.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba as nb
import numpy as np

from quant import gated_reference as ref
from quant.integer import reference
from quant.integer.artifact import ArtifactError
from quant.gated_artifact import GatedArtifact, GatedLayer

BLOCK = 16          # sequences side by side: about 10 tensors of 8 B a neuron, step and sequence


@dataclass(frozen=True)
class GatedBatch:
    """Results of B sequences on N layers.

    logits : (B, n_classes) int64; labels : (B,); saturations : (B, N + 1, len(COUNTED)) as in
    :class:`quant.gated_reference.Trace`; spikes : (B, N, 1) events that entered the mixers: spikes,
    or ternary values that are not 0.
    """

    logits: np.ndarray
    labels: np.ndarray
    saturations: np.ndarray
    spikes: np.ndarray


@nb.njit(cache=True, nogil=True)
def scan(u, a_re, a_im, g_re, g_im, words, rounding, lo, hi, re_sum, over):
    """``h <- saturate(round(A_bar h + g u))`` over a block; every argument int64.

    u : (H, L, B); g already at the accumulator's scale; words : (L, H, n); rounding : shift, bits,
    as in ``quant.integer.reference.state_update`` (bits 0: half to even); re_sum : (H, L, B), gets
    sum Re h; over : (L, B), gets the saturated parts.
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


def sum_bound(layer: GatedLayer) -> int:
    """No sum of the layer, states aside, is larger in magnitude."""
    f = layer.fmt

    def rows(w, shift, bias, top):
        return int(((abs(w).sum(1) * top) << shift).max() + abs(bias).max())

    def top(fmt):
        return max(-fmt.lo, fmt.hi)

    gsu = not layer.gate_shift.size
    return max(rows(layer.w, layer.shift, layer.bias, 1),
               rows(layer.gate_w, 0 if gsu else layer.gate_shift, layer.gate_bias,
                    top(f.y) if gsu else 1),
               top(f.n) * top(f.gate) + (top(f.x) << f.product_bits - f.x.f_bits),
               top(f.alpha * f.x) + (top(f.beta) << f.alpha.f_bits + f.x.f_bits - f.beta.f_bits),
               (layer.a_re.shape[1] * top(f.h) << f.y_bits - f.h.f_bits) + top(f.drive * f.u),
               top(f.a_bar * f.h) * 2 + (top(f.g * f.u) << f.a_bar.f_bits + f.h.f_bits
                                         - f.g.f_bits - f.u.f_bits))


class GatedIntegerNetwork:
    """An artifact, ready to run many sequences; seed and threads as ``quant.integer.network`` has them."""

    def __init__(self, art: GatedArtifact, seed: int | None = None, threads: int | None = None):
        self.art, self.seed = art, art.seed if seed is None else seed
        self.threads = threads or len(os.sched_getaffinity(0))
        for number, layer in enumerate(art.layers):
            largest = sum_bound(layer)
            if largest >= 1 << 53:
                raise ArtifactError(f"layer {number}: a sum may need {largest.bit_length() + 1} "
                                    f"bits, 54 are the most that can be run; use narrower formats")
        self._words = {}

    def run(self, values: np.ndarray, lengths: np.ndarray | None = None) -> GatedBatch:
        """Run B sequences of raw samples or tokens ``values`` (B, L), of ``lengths`` (B,) steps."""
        art, values = self.art, np.asarray(values)
        B, L = values.shape
        lengths = np.full(B, L) if lengths is None else np.asarray(lengths, np.int64)
        if lengths.shape != (B,) or lengths.min() < 1 or lengths.max() > min(L, art.length):
            raise ValueError(f"{B} lengths of 1..{min(L, art.length)} steps are needed, got "
                             f"{lengths.shape} of {lengths.min()}..{lengths.max()}")
        steps = int(lengths.max())
        live = np.arange(steps) < lengths[:, None]
        values = np.where(live, values[:, :steps], values[0, 0])
        sample = art.edge.sample
        lo, hi = (0, art.vocab - 1) if art.vocab else (sample.lo, sample.hi)
        if values.min() < lo or values.max() > hi:
            raise ValueError(f"values must be in {lo}..{hi}, seen {values.min()}..{values.max()}")
        words = [self._rounding(j, steps) for j in range(len(art.layers))]
        with ThreadPoolExecutor(self.threads) as pool:
            parts = list(pool.map(lambda k: self._block(values[k:k + BLOCK], live[k:k + BLOCK],
                                                        words), range(0, B, BLOCK)))
        total, over, spikes = (np.concatenate(p) for p in zip(*parts))
        logits = total @ art.dec_w.T + lengths[:, None] * art.dec_b
        return GatedBatch(logits, logits.argmax(1), over, spikes)

    def _rounding(self, j: int, steps: int) -> np.ndarray:
        if len(self._words.get(j, ())) < steps:
            self._words[j] = reference.rounding_words(self.art, j, self.seed, steps)
        return self._words[j][:steps]

    def _block(self, values: np.ndarray, live: np.ndarray, words: list[np.ndarray]):
        """(sum of x (B, H), saturations, spikes) of some sequences."""
        art, (B, L), N = self.art, values.shape, len(self.art.layers)
        over = np.zeros((B, N + 1, len(ref.COUNTED)), np.int64)
        spikes = np.zeros((B, N, 1), np.int64)

        def take(j, name, result):
            out, saturated = result
            over[:, j, ref.COUNTED.index(name)] += (saturated.sum(-1) * live).sum(1)
            return out

        x = take(N, "x", ref.encode(values, art))
        for j, layer in enumerate(art.layers):
            f, pre = layer.fmt, art.norm_position == "pre"
            u = take(j, "u", ref.normalise(x, layer, f.u)) if pre else x
            re_sum, saturated = self._states(u, words[j], layer)
            over[:, j, ref.COUNTED.index("h")] += (saturated.T * live).sum(1)
            y = ref.drive(re_sum, u, layer)
            if art.mixer == "glu":
                s = ref.heaviside(y, art.fires_at_zero)
                gate = ref.sigmoid_gate(columns(layer.gate_w, s), layer)
            else:
                z = take(j, "y", ref.gelu(y, layer))
                s = ref.ternary(z, art.threshold)
                gate = take(j, "gate", ref.linear_gate(columns(layer.gate_w, z), layer))
            n = take(j, "n", ref.value(columns(layer.w, s), layer))
            x = take(j, "x", ref.fuse(x, n, gate, layer, art.residual))
            if not pre:
                x = take(j, "x", ref.normalise(x, layer, f.x))
            spikes[:, j, 0] = ((s != 0).sum(-1) * live).sum(1)
        return (x * live[..., None]).sum(1), over, spikes

    def _states(self, u: np.ndarray, words: np.ndarray, layer: GatedLayer):
        """(sum Re h (B, L, H), saturated parts (L, B)) of inputs u (B, L, H)."""
        f, (B, L, H) = layer.fmt, u.shape
        align = f.a_bar.f_bits + f.h.f_bits - f.g.f_bits - f.u.f_bits
        bits = self.art.random.round_bits if self.art.rounding == "stochastic" else 0
        re_sum, over = np.zeros((H, L, B), np.int64), np.zeros((L, B), np.int64)
        scan(np.ascontiguousarray(u.transpose(2, 1, 0)), layer.a_re, layer.a_im,
             layer.g_re << align, layer.g_im << align, words,
             (f.a_bar.f_bits, bits), f.h.lo, f.h.hi, re_sum, over)
        return np.ascontiguousarray(re_sum.transpose(2, 1, 0)), over


def columns(w: np.ndarray, s: np.ndarray) -> np.ndarray:
    """``gated_reference.columns`` by a float64 product, exact below 2**53."""
    return np.rint(s.astype(np.float64) @ w.T.astype(np.float64)).astype(np.int64)
