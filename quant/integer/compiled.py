"""Recognised networks compiled, fast enough for whole test sets; equal ``quant.integer.reference``.

Random words restart from the seed with every sequence, so they are the same for all sequences of a
batch: they are made once per (artifact, seed). Where they would not fit in MEMORY (16,384 steps of
4 layers of 128 neurons of 8 modes need 403 MB), a group of sequences runs span after span of time.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from quant.integer import curves, kernel_run, kernels, sampling
from quant.integer.bounds import bounds, types_of
from quant.integer.memory import Draws, Fire
from quant.integer.operation import wired
from quant.integer.batch import Batch, check_lengths, check_values
from quant.integer.program import Artifact
from quant.integer.reference import decode, encode
from quant.integer.signature import crc_tables

BLOCK = 64      # sequences that one thread runs side by side
MEMORY = 1 << 28    # bytes of random words, and of a group of sequences, that are there at once


class Compiled:
    """An artifact, ready to run many sequences; arguments of ``quant.integer.network``."""

    def __init__(self, art: Artifact, seed: int | None = None, threads: int | None = None):
        self.art, self.seed = art, art.seed if seed is None else seed
        self.threads = threads or len(os.sched_getaffinity(0))
        self._types = S, X, M = types_of(art)
        self.net = art.spiking
        self._net = self._neurons(S, X), self._fused(X, M)
        self._pairs = None if art.block == 1 else self._of_blocks(S, X)
        self._kept = 0, 0, ()       # first step, number of steps, their random words

    def _neurons(self, S, X) -> tuple:
        """Samplers and states of all layers, as ``quant.integer.kernels.run_layer`` takes them."""
        net, zero = self.net, np.zeros(self.art.H, np.int64)
        bits = self.art.random.round_bits if net.rounding == "stochastic" else 0
        coefficients, dbi, rounding, tables = [], [], [], []
        for layer in net.layers:
            f = layer.fmt
            shift = f.a_bar.f_bits
            half, align = 1 << shift >> 1, shift + f.h.f_bits - f.g.f_bits
            coefficients.append(np.stack([layer.a_re, layer.a_im, layer.g_re << align,
                                          layer.g_im << align], -1))
            dbi.append(np.stack([
                layer.d, layer.b << f.p_out_bits - f.h.f_bits, layer.alpha if net.streams else zero,
                layer.beta << f.p_in_bits(net.residual) - f.beta.f_bits if net.streams else zero,
                layer.a if f.a else zero], -1))
            rounding.append([shift, bits, shift - bits, half >> bits, 0] if bits else
                            [shift, 0, 0, max(half - 1, 0), shift > 0])
            tables.append(curves.table(f.h.f_bits) if f.a else zero[:0])
        limits = np.array([[layer.fmt.h.lo, layer.fmt.h.hi] for layer in net.layers], S)
        out = np.zeros((len(tables), max(map(len, tables))), X)
        for row, table in zip(out, tables):     # zero behind each one's end, as T is
            row[:len(table)] = table
        return (np.array(coefficients, S), np.array(dbi, X), np.array(rounding, np.int64), limits,
                out, net.streams)

    def _of_blocks(self, S, X) -> tuple:
        """What ``quant.integer.kernel_pairs`` takes more."""
        more = []
        for layer in self.net.layers:
            align = layer.fmt.a_bar.f_bits + layer.fmt.h.f_bits - layer.fmt.g.f_bits
            more.append(np.stack([layer.a2_re, layer.a2_im, layer.g1_re << align,
                                  layer.g1_im << align], -1))
        wide = S if bounds(self.art).ahead < 1 << 31 else np.int64
        return (np.array(more, S), np.array([layer.d1 for layer in self.net.layers], X),
                np.zeros(0, wide))

    def _fused(self, X, M) -> tuple:
        """What follows the output samplers, as ``quant.integer.kernel_run`` takes it."""
        net, f, H = self.net, self.net.layers[0].fmt, self.art.H
        floor, none = np.full(H, 0 if net.act == "relu" else np.iinfo(X).min), np.zeros(H, int)
        edge = [np.stack([layer.bias, layer.addend, floor, layer.gain if f.gain else none], -1)
                for layer in net.layers]
        lo, hi = (f.x.lo, f.x.hi) if net.streams else (0, 1 << f.p.f_bits)
        curve = curves.table(f.p.f_bits) if net.act == "gelu" else np.zeros(0)
        return (np.array([layer.w.T for layer in net.layers], M, order="C"), np.array(edge, X),
                np.array([np.stack([layer.shift, layer.negate], -1) for layer in net.layers]),
                X(lo), X(hi), curve.astype(X),
                np.array([layer.fmt.gain.f_bits if layer.fmt.gain else -1 for layer in net.layers]),
                -np.array([net.residual == "plain", net.residual == "clampfuse"], X))

    def _span(self) -> int:
        """Steps whose random words fit in MEMORY, at least a few, of whole blocks."""
        art, (_, X, _) = self.art, self._types
        of_sampler = 2 * np.dtype(X).itemsize if self.net.sampling != "systematic" else 0
        step = len(art.blocks) * art.H * (2 * of_sampler + art.n * np.dtype(X).itemsize)
        return max(kernels.CHUNK, self._whole(MEMORY // step))

    def _draw(self, first: int, steps: int):
        """Random words and thresholds of ``steps`` steps from ``first``, kept for a next call."""
        if first == self._kept[0] and steps <= self._kept[1]:
            return self._kept[2]
        self._kept = 0, 0, ()
        art, rand, X = self.art, self.art.random, self._types[1]
        word = np.uint32 if X == np.int32 else np.int64
        draws = Draws(rand, self.seed, art.H, art.n, steps, first, art.block)
        samplers = [[(op, formats[0].f_bits) for op, formats in wired(ops, {"x": art.x_format})[0]
                     if isinstance(op, Fire)] for ops in art.blocks]
        systematic = self.net.sampling == "systematic"

        # Axes: sampler of the layer, layer, step (one with systematic: the start), neuron.
        f_bits = np.array([[bits for _, bits in pair] for pair in samplers]).T.copy()
        shape = 2, len(samplers), 1 if systematic else steps, art.H
        limits, r = np.empty(shape, X), np.empty(shape, word)   # limits: not used with systematic
        r_round = np.zeros((len(samplers), draws.blocks, art.H, art.n), word)
        for j, pair in enumerate(samplers):
            for kind, (op, bits) in enumerate(pair):
                r[kind, j] = op.words(bits, draws)
                limits[kind, j] = sampling.limit(r[kind, j].astype(np.int64), bits, rand)
            if self.net.rounding == "stochastic":
                r_round[j] = draws.rounding(j)
        self._kept = first, steps, (limits, r, r_round, f_bits, systematic)
        return self._kept[2]

    def _encode(self, values, live):
        """(table (H, V) of the encoder's outputs, indices (B, L) into it, saturations (B,))."""
        seen, index = np.unique(np.where(live, values, values[0, 0]), return_inverse=True)
        check_values(self.art, seen)
        outputs, over = zip(*(encode(int(v), self.art) for v in seen))
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
        N, H = len(art.blocks), art.H
        lengths = check_lengths(art, B, L, lengths)
        order = np.argsort(-lengths, kind="stable")     # blocks of like length
        total, over, spikes = (np.zeros((B, *shape), np.int64)
                               for shape in ((H,), (N + 1,), (N, 2)))
        whole = self._whole(int(lengths.max()))
        traces = self._traces(B * record, whole)
        size = self._group(int(lengths.max()), record)
        for part in (order[k:k + size] for k in range(0, B, size)):
            steps = int(lengths[part[0]])
            found, traced = self._run(values[part, :steps], lengths[part], record)
            total[part], over[part], spikes[part] = found
            for kept, array in zip(traces, traced if record else ()):
                kept[part, :, :array.shape[2]] = array
        s_in, s_out, signature = traces
        trace = s_in[:, :, :lengths.max()], s_out[:, :, :lengths.max()], signature
        logits = decode(total, lengths, art)
        N = len(art.blocks)
        stream = np.arange(N + 1) == N
        return Batch(art, lengths, logits, logits.argmax(1),
                     {"h": over * ~stream, "x": over * stream}, spikes, *trace)

    def _group(self, steps: int, record: bool) -> int:
        """Sequences of up to ``steps`` steps that run together: few enough for MEMORY."""
        N, H, n = len(self.art.blocks), self.art.H, self.art.n
        size = 32 * steps       # bytes that finding a step's column of the encoder's table takes
        size += 2 * N * H * steps if record else 0
        if steps > self._span():
            size += 8 * N * H * (2 * n + 2)     # its states, kept between spans
        return BLOCK * max(self.threads, MEMORY // (BLOCK * size))

    def _run(self, values, lengths, record: bool):
        """(totals, saturations, spikes) and traces of one group, longest sequence first; traces are
        of whole blocks of steps."""
        B, steps = len(values), self._whole(values.shape[1])
        values = np.pad(values, ((0, 0), (0, steps - values.shape[1])))
        N, H, (S, X, _) = len(self.art.blocks), self.art.H, self._types
        block = min(BLOCK, -(-B // 16) * 16)
        padded = -(-B // block) * block
        live = np.arange(steps) < lengths[:, None]
        table, index, encoder_over = self._encode(values, live)
        index = np.concatenate([index, np.zeros((padded - B, steps), np.int64)])
        sizes = np.concatenate([lengths, np.zeros(padded - B, np.int64)])

        found = tuple(np.zeros((padded // block, *shape, block), np.int64)
                      for shape in ((H,), (N + 1,), (N, 2)))
        trace = self._traces(B * record, steps)
        net, states, span = (table, *self._net), {}, self._span()

        def run_block(c, first, draws):
            part = slice(c * block, (c + 1) * block)
            state = states.pop(c, None) or tuple(
                np.zeros(shape, kind) for shape, kind in (
                    ((N, H, self.art.n, block), S), ((N, H, self.art.n, block), S),
                    ((2, N, H, block), X)))
            last = min(first + span, steps)
            kernel_run.run_block(index[part], sizes[part], (first, last), state, net, self._pairs,
                                 draws, crc_tables(), tuple(a[c] for a in found),
                                 tuple(a[part] for a in trace))
            if last < steps:
                states[c] = state
        with ThreadPoolExecutor(self.threads) as pool:
            for first in range(0, steps, span):
                draws = self._draw(first, min(span, steps - first))
                list(pool.map(lambda c: run_block(c, first, draws), range(padded // block)))

        if record:      # a block runs to its longest sequence's end
            for array, there in zip(trace, (live, live, live[:, ::self.art.block])):
                np.moveaxis(array, 2, 1)[~there] = 0
        found = [np.moveaxis(a, -1, 1).reshape(padded, *a.shape[1:-1])[:B] for a in found]
        found[1][:, N] += encoder_over
        return found, trace

    def _traces(self, B: int, steps: int) -> tuple:
        """Room for the spikes and signatures of B sequences, as :class:`Batch` has them."""
        shape = B, len(self.art.blocks), steps * (B > 0)
        return (np.zeros((*shape, self.art.H), np.int8), np.zeros((*shape, self.art.H), np.int8),
                np.zeros((*shape[:2], shape[2] // self.art.block), np.uint32))

    def _whole(self, steps: int) -> int:
        """So many that they are whole blocks of steps."""
        return -(-steps // self.art.block) * self.art.block
