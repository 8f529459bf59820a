"""The loop over time and layers of ``quant.integer.compiled``, in numba, over ``kernels`` or, with
two steps per update of the states, ``kernel_pairs``.
"""

import numpy as np

from quant.integer import kernel_pairs, kernels, signature
from quant.integer.jit import kept
from quant.integer.kernel_pairs import run_pairs
from quant.integer.kernels import CHUNK, crc, fuse, mix, run_layer


@kept(kernels, kernel_pairs, signature)
def run_block(index, lengths, span, state, net, pairs, draws, tables, out, trace):
    """Some steps of one block of B sequences; runs without the interpreter's lock.

    index : (B, L) int64 columns of the encoder's table; lengths : (B,) int64; span : first step
    and the one behind the last, the steps of ``draws``; state : Re h, Im h (N, H, n, B) and the
    samplers' phases (2, N, H, B) before and after; net, draws, tables : of
    ``quant.integer.compiled``; pairs : of ``kernel_pairs``, None: one step per update, else L and
    the span are of whole blocks of steps; out : total (H, B), saturations (N + 1, B) and spikes
    (N, 2, B) int64 to add to; trace : arrays of ``quant.integer.batch.Batch`` to fill for the first
    of the sequences, empty when not wanted.
    """
    table, neurons, fused = net
    coefficients, stream = neurons[0], neurons[5]
    w, edge, signs, x_lo, x_hi, curve, gain_bits, keeps = fused
    phase, signature = state[2], trace[2]
    total, over, spikes = out
    B, N, H, S = len(lengths), len(w), coefficients.shape[1], coefficients.dtype.type
    x = np.zeros((CHUNK, H, B), table.dtype)
    mask, z = np.zeros((CHUNK, H, B), w.dtype), np.zeros((H, B), w.dtype)
    over_x = np.zeros(B, table.dtype)
    alive = np.zeros((CHUNK, B), coefficients.dtype)        # -1 until the sequence has ended
    counts = np.zeros((3, B), coefficients.dtype)           # of a layer and chunk
    words = np.zeros((CHUNK, H, B), np.uint32)
    if draws[4] and span[0] == 0:                           # systematic: where the phases start
        for b in range(B):
            phase[..., b] = draws[1][:, :, 0]
    end, each = min(lengths.max(), span[1]), 1
    if pairs is not None:
        each, end = 2, end + end % 2
    for t0 in range(span[0], end, CHUNK):
        steps = min(CHUNK, end - t0)
        for t in range(steps):
            for b in range(B):
                alive[t, b] = S(-1) if t0 + t < lengths[b] else S(0)
            for i in range(H):
                for b in range(B):
                    x[t, i, b] = table[i, index[b, t0 + t]]
        for j in range(N):
            counts[:] = 0
            if pairs is None:
                run_layer(j, t0, steps, t0 - span[0], x, alive, state, neurons, draws, mask, words,
                          counts, trace)
            else:
                run_pairs(j, t0, steps, t0 - span[0], x, alive, state, neurons, pairs, draws, mask,
                          words, counts, trace)
            for t in range(steps):
                mix(w[j], mask[t], z)
                over_x[:] = 0
                for i in range(H):
                    fuse(z[i], x[t, i], signs[j, i, 0], edge[j, i], signs[j, i, 1] != 0, curve,
                         gain_bits[j], keeps, x_lo, x_hi, over_x)
                if len(signature) and t % each == 0:
                    now = t // each
                    signature[:, j, t0 // each + now] = crc(words[now], tables)[:len(signature)]
                if stream:
                    for b in range(B):
                        over[N, b] += over_x[b] & alive[t, b]
            for b in range(B):
                over[j, b] += counts[0, b]
                spikes[j, 0, b] += counts[1, b]
                spikes[j, 1, b] += counts[2, b]
        for t in range(steps):
            for i in range(H):
                for b in range(B):
                    total[i, b] += x[t, i, b] & alive[t, b]
