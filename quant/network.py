"""The whole network in integers, fast enough for whole test sets; equals ``quant.reference.run``.

Random words restart from the seed with every sequence, so they are the same for all sequences of a
batch: they are made once per (artifact, seed).
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from quant import gelu, kernels, lfsr, reference, sampling
from quant.artifact import Artifact, ArtifactError

BLOCK = 64      # sequences that one thread runs side by side


@dataclass(frozen=True)
class Batch:
    """Results of B sequences on N layers; the last three only when they were recorded.

    logits : (B, outputs) int64; labels : (B,) int64; saturations : (B, N + 1) int64 as in
    :class:`quant.reference.Trace`; spikes : (B, N, 2) int64, fired input and output samplers;
    s_in, s_out : (B, N, L, H) uint8 and signature : (B, N, L) uint32, zeros after the end.
    """

    lengths: np.ndarray
    logits: np.ndarray
    labels: np.ndarray
    saturations: np.ndarray
    spikes: np.ndarray
    s_in: np.ndarray
    s_out: np.ndarray
    signature: np.ndarray

    def trace(self, b: int) -> reference.Trace:
        """What ``reference.run`` returns for sequence ``b``."""
        if not self.s_in.size:
            raise ValueError("this batch has no traces; run it with record=True")
        L = self.lengths[b]
        return reference.Trace(self.s_in[b, :, :L], self.s_out[b, :, :L], self.signature[b, :, :L],
                               self.logits[b], int(self.labels[b]), self.saturations[b])


def _largest(*arrays) -> int:
    """Largest magnitude in some integer arrays, as a Python integer."""
    return max((abs(int(v)) for a in arrays if np.size(a) for v in (np.min(a), np.max(a))),
               default=0)


def state_bound(art: Artifact) -> int:
    """No sum of a state update is larger in magnitude: from the actual coefficients."""
    bound = 0
    for layer in art.layers:
        f = layer.fmt
        align = f.a_bar.f_bits + f.h.f_bits - f.g.f_bits
        h = max(-f.h.lo, f.h.hi)
        a = _largest(abs(layer.a_re) + abs(layer.a_im))
        bound = max(bound, (a * h) + (_largest(layer.g_re, layer.g_im) << align)
                    + (2 << f.a_bar.f_bits))
    return bound


def stream_bound(art: Artifact) -> int:
    """The same for p, x, y, z and the samplers' thresholds."""
    bound = 0
    for layer in art.layers:
        f = layer.fmt
        x = max(-f.x.lo, f.x.hi) if art.streams else f.p.hi
        y = art.n * max(-f.h.lo, f.h.hi) + _largest(layer.d) + _largest(layer.b)
        row = int(abs(layer.w).sum(1).max())
        z = (row << _largest(layer.shift)) + _largest(layer.bias)
        p = x
        if art.streams:
            p = _largest(layer.alpha) * x + (_largest(layer.beta) << _beta_shift(f))
        if f.a:                     # GELU brings no value further from zero
            y = max(y, _largest(layer.a) * y + (_largest(layer.b) << f.a.f_bits))
        if f.gain:
            z = (z + x) * _largest(layer.gain) + (1 << f.gain.f_bits)
        thresholds = 2 << max(0, f.p_out_bits, f.p_in_bits(art.residual))   # and sums of phases
        bound = max(bound, x, y, z + _largest(layer.addend) + x, p, thresholds)
    return bound


def mixer_bound(art: Artifact) -> int:
    """The same for sums of columns of W."""
    return max(int(abs(layer.w).sum(1).max()) for layer in art.layers)


def _beta_shift(f) -> int:
    return f.alpha.f_bits + f.x.f_bits - f.beta.f_bits


def types_of(art: Artifact) -> tuple[type, type, type]:
    """(states, streams, mixer sums): (int32, int32, int16) where proven, else all int64.

    Two variants rather than eight: each costs seconds to compile, once.
    """
    state, stream, mixer = state_bound(art), stream_bound(art), mixer_bound(art)
    draws = 2 << art.random.k
    largest = max(state, stream, draws)
    if largest >= 1 << 63:
        raise ArtifactError(f"a sum of this artifact may need {largest.bit_length() + 1} bits, 64 "
                            f"are the most that can be run; use narrower formats")
    words = max(art.random.k, 2 * art.random.round_bits)
    if max(state, stream) < 1 << 31 and mixer < 1 << 15 and words <= 32:
        return np.int32, np.int32, np.int16
    return np.int64, np.int64, np.int64


class IntegerNetwork:
    """An artifact, ready to run many sequences.

    Parameters
    ----------
    seed : int or None
        Master seed of the random words; None is the artifact's own.
    threads : int or None
        Blocks that run at once; None is one for each processor of this process.
    """

    def __init__(self, art: Artifact, seed: int | None = None, threads: int | None = None):
        self.art, self.seed = art, art.seed if seed is None else seed
        self.threads = threads or len(os.sched_getaffinity(0))
        self._types = S, X, M = types_of(art)
        stochastic, streams = art.rounding == "stochastic", art.streams
        f0 = art.layers[0].fmt
        coefficients, dbi, edge, signs, rounding = [], [], [], [], []
        for layer in art.layers:
            f = layer.fmt
            shift, bits = f.a_bar.f_bits, art.random.round_bits if stochastic else 0
            align = shift + f.h.f_bits - f.g.f_bits
            coefficients.append(np.stack([layer.a_re, layer.a_im, layer.g_re << align,
                                          layer.g_im << align], -1))
            zero = np.zeros_like(layer.d)
            dbi.append(np.stack([layer.d, layer.b << f.p_out_bits - f.h.f_bits,
                                 layer.alpha if streams else zero,
                                 layer.beta << _beta_shift(f) if streams else zero,
                                 layer.a if f.a else zero], -1))
            floor = 0 if art.act == "relu" else np.iinfo(X).min
            edge.append(np.stack([layer.bias, layer.addend, np.full(art.H, floor),
                                  layer.gain if f.gain else zero], -1))
            signs.append(np.stack([layer.shift, layer.negate], -1))
            half = 1 << shift >> 1
            rounding.append([shift, bits, shift - bits, half >> bits, 0] if stochastic else
                            [shift, 0, 0, max(half - 1, 0), shift > 0])
        lo, hi = (f0.x.lo, f0.x.hi) if streams else (0, 1 << f0.p.f_bits)
        scalars = (X(art.residual in ("plain", "clampfuse")), X(lo), X(hi), streams)
        limits = np.array([[layer.fmt.h.lo, layer.fmt.h.hi] for layer in art.layers], S)
        self._net = (np.array(coefficients, S), np.array(dbi, X),
                     np.array([layer.w.T for layer in art.layers], M, order="C"),
                     np.array(edge, X), scalars, np.array(signs, np.int64),
                     np.array(rounding, np.int64), limits, self._curved(X))
        self._steps, self._draws = 0, ()
        self._tables = lfsr.byte_tables(
            [reference.crc32([reference.MASK ^ 1 << b]) for b in range(32)]).astype(np.uint32)

    def _curved(self, X):
        """GELU's tables, gains and where x joins, as ``quant.kernels`` takes them."""
        art, layers = self.art, self.art.layers
        tables = [gelu.table(layer.fmt.h.f_bits) for layer in layers] if layers[0].fmt.a else []
        out = np.zeros((len(layers), max(map(len, tables), default=0)), X)
        for row, table in zip(out, tables):     # zero behind each one's end, as T is
            row[:len(table)] = table
        act = gelu.table(layers[0].fmt.p.f_bits) if art.act == "gelu" else np.zeros(0)
        gain_bits = [layer.fmt.gain.f_bits if layer.fmt.gain else -1 for layer in layers]
        keeps = art.residual == "plain", art.residual == "clampfuse"
        return out, act.astype(X), np.array(gain_bits, np.int64), np.array(keeps, X)

    def _draw(self, steps: int):
        """Random words and thresholds of the first ``steps`` steps, kept for the next call."""
        if steps <= self._steps:
            return self._draws
        art, rand, X = self.art, self.art.random, self._types[1]
        word = np.uint32 if X == np.int32 else np.int64
        layers, kinds = range(len(art.layers)), (lfsr.SAMPLER_IN, lfsr.SAMPLER_OUT)

        def threshold(r, f_bits):
            """Largest p that does not fire: p 2**-f_bits <= u."""
            u, u_bits = (2 * r + 1, rand.k + 1) if rand.centred else (r, rand.k)
            return u >> u_bits - f_bits if u_bits > f_bits else u << f_bits - u_bits

        # Axes: sampler of the layer, layer, step (one with systematic: the start), neuron.
        f_bits = np.array([[sampling.sampler_bits(art, j, kind) for j in layers] for kind in kinds])
        r = np.array([[sampling.sampler_words(art, j, kind, self.seed, steps) for j in layers]
                      for kind in kinds])
        limits = np.array([[threshold(r[kind, j], int(f_bits[kind, j])) for j in layers]
                           for kind in kinds])      # not used with systematic
        r_round = np.array([reference.rounding_words(art, j, self.seed, steps).astype(word)
                            for j in layers])
        self._steps = steps
        self._draws = (limits.astype(X), r.astype(word), r_round, f_bits,
                       art.sampling == "systematic")
        return self._draws

    def _encode(self, values, live):
        """(table (H, V) of the encoder's outputs, indices (B, L) into it, saturations (B,))."""
        seen, index = np.unique(np.where(live, values, values[0, 0]), return_inverse=True)
        sample = self.art.edge.sample
        lo, hi = (0, self.art.vocab - 1) if self.art.vocab else (sample.lo, sample.hi)
        if seen[0] < lo or seen[-1] > hi:
            raise ValueError(f"values must be in {lo}..{hi}, seen {seen[0]}..{seen[-1]}")
        outputs, over = zip(*(reference.encode(int(v), self.art) for v in seen))
        index = index.reshape(values.shape)
        table = np.ascontiguousarray(np.array(outputs, self._types[1]).T)
        return table, index, (np.array(over)[index] * live).sum(1)

    def run(self, values: np.ndarray, lengths: np.ndarray | None = None,
            record: bool = False) -> Batch:
        """Run B sequences of raw samples or tokens.

        values : (B, L) integers; lengths : (B,) steps that count, None: all L; record : keep every
        spike and signature, 2 N L H + 4 N L bytes a sequence.
        """
        art = self.art
        values = np.asarray(values)
        B, L = values.shape
        N, H = len(art.layers), art.H
        lengths = np.full(B, L) if lengths is None else np.asarray(lengths, np.int64)
        if lengths.shape != (B,) or lengths.min() < 1 or lengths.max() > min(L, art.length):
            raise ValueError(f"{B} lengths of 1..{min(L, art.length)} steps are needed, got "
                             f"{lengths.shape} of {lengths.min()}..{lengths.max()}")
        steps = int(lengths.max())
        order = np.argsort(-lengths, kind="stable")     # blocks of like length
        block = min(BLOCK, -(-B // 16) * 16)
        padded = -(-B // block) * block
        live = np.arange(steps) < lengths[order, None]
        table, index, encoder_over = self._encode(values[order, :steps], live)
        index = np.concatenate([index, np.zeros((padded - B, steps), np.int64)])
        sizes = np.concatenate([lengths[order], np.zeros(padded - B, np.int64)])

        total, over, spikes = (np.zeros((padded // block, *shape, block), np.int64)
                               for shape in ((H,), (N + 1,), (N, 2)))
        kept = padded if record else 0
        trace = (np.zeros((kept, N, steps * record, H), np.uint8),
                 np.zeros((kept, N, steps * record, H), np.uint8),
                 np.zeros((kept, N, steps * record), np.uint32))
        net, draws = (table, *self._net), self._draw(steps)

        def run_block(c):
            part = slice(c * block, (c + 1) * block)
            kernels.run_block(index[part], sizes[part], net, draws, self._tables,
                              (total[c], over[c], spikes[c]), tuple(a[part] for a in trace))
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(run_block, range(padded // block)))

        if record:      # a block runs to its longest sequence's end
            after = ~live
            for array in trace:
                np.moveaxis(array, 2, 1)[:B][after] = 0
        back = np.argsort(order)
        total, over, spikes = (np.moveaxis(a, -1, 1).reshape(padded, *a.shape[1:-1])
                               for a in (total, over, spikes))
        total = total[back]
        over[:B, N] += encoder_over
        logits = total @ art.dec_w.T + lengths[:, None] * art.dec_b
        return Batch(lengths, logits, logits.argmax(1), over[back], spikes[back],
                     *(a[back] if record else a for a in trace))
