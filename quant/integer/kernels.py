"""Kernels of ``quant.integer.compiled``, in numba.

A block is up to 64 sequences, the innermost axis of every buffer, so that each inner loop is a
vector operation over sequences. A block runs in chunks of time: layer after layer, and in a layer
neuron after neuron, so that one neuron's states stay in the first-level cache for a whole chunk.

Types: ``S`` holds states and their accumulators, ``X`` everything between blocks (p, x, y, z),
``M`` the sums of mixer columns; ``quant.integer.bounds`` proves which are wide enough. numba widens
small integers to 64 bits, so every result is cast back: that is exact, for the bounds hold.
"""

import numba as nb
import numpy as np
from numba.extending import overload

from quant.integer import signature
from quant.integer.jit import FAST, kept
from quant.integer.signature import DRAWS, IM, MODE, RE, ROUNDING, SUM, TOOK

CHUNK = 16      # time steps


def right(x, by):
    """``x >> by`` in x's type; LLVM narrows the shift only when it sees that by < 32."""


@overload(right)
def _right(x, by):
    narrow = nb.int32 if x.bitwidth == 32 else nb.int64
    most = x.bitwidth - 1
    return lambda x, by: narrow(x >> (by & most))


@nb.njit(**FAST)
def sample(p, threshold, mask):
    """mask = -1 where ``p > threshold``, else 0."""
    one = mask.dtype.type
    for b in range(len(p)):
        mask[b] = one(-1) if p[b] > threshold else one(0)


@nb.njit(**FAST)
def accumulate(p, phase, f_bits, mask):
    """mask = -1 where ``phase + clamp(p, 0, 1)`` carries, else 0; the rest stays in phase (B,)."""
    int_, one = mask.dtype.type, phase.dtype.type(1 << f_bits)
    low = phase.dtype.type(one - 1)
    for b in range(len(p)):
        total = phase.dtype.type(phase[b] + min(max(p[b], phase.dtype.type(0)), one))
        mask[b] = int_(-int_(total >= one))
        phase[b] = total & low


@nb.njit(**FAST)
def update(h_re, h_im, s, coefficients, word, rounding, lo, hi, y, over):
    """``h <- saturate(round(A_bar h + g s))`` of one neuron's modes; adds Re h to y.

    h_re, h_im : (n, B) S; s : (B,) S, 0 or -1; coefficients : (n, 4) S, A_bar and aligned g;
    word : (n,) rounding words; rounding : shift, bits, left shift of the bits, constant, flag:
    the sum to be shifted gets the constant, the random bits, and ``flag & (sum >> shift)`` (half
    to even is ``+ half - 1`` and the odd bit); over : (B,) counts of saturated parts.
    """
    int_ = h_re.dtype.type
    wide = y.dtype.type
    shift, bits, left = rounding[0], rounding[1], rounding[2]
    constant, flag = rounding[3], int_(rounding[4])
    for k in range(h_re.shape[0]):
        a_re, a_im = coefficients[k, 0], coefficients[k, 1]
        g_re, g_im = coefficients[k, 2], coefficients[k, 3]
        r = nb.int64(word[k])
        add_re = int_(constant + ((r & ((nb.int64(1) << bits) - 1)) << left))
        add_im = int_(constant + ((r >> bits) << left))
        for b in range(h_re.shape[1]):
            x_re, x_im = h_re[k, b], h_im[k, b]
            re = int_(int_(a_re * x_re) - int_(a_im * x_im))
            im = int_(int_(a_re * x_im) + int_(a_im * x_re))
            re = int_(re + (g_re & s[b]))
            im = int_(im + (g_im & s[b]))
            re = right(int_(re + add_re + (flag & right(re, shift))), shift)
            im = right(int_(im + add_im + (flag & right(im, shift))), shift)
            new_re = min(max(re, lo), hi)
            new_im = min(max(im, lo), hi)
            over[b] = int_(over[b] + int_(new_re != re) + int_(new_im != im))
            h_re[k, b], h_im[k, b] = new_re, new_im
            y[b] = wide(y[b] + new_re)


@nb.njit(**FAST)
def mix(w, mask, z):
    """z = W s for one step: w (H_in, H_out), mask (H_in, B) 0 or -1, z (H_out, B), all M."""
    int_ = z.dtype.type
    H = len(w)
    z[:] = 0
    for j in range(0, H - 3, 4):
        for i in range(H):
            w0, w1, w2, w3 = w[j, i], w[j + 1, i], w[j + 2, i], w[j + 3, i]
            for b in range(z.shape[1]):
                z[i, b] = int_(z[i, b] + int_(w0 & mask[j, b]) + int_(w1 & mask[j + 1, b])
                               + int_(w2 & mask[j + 2, b]) + int_(w3 & mask[j + 3, b]))
    for j in range(H - H % 4, H):
        for i in range(H):
            for b in range(z.shape[1]):
                z[i, b] = int_(z[i, b] + int_(w[j, i] & mask[j, b]))


@nb.njit(**FAST)
def gelu(y, curve):
    """``max(y, 0) - T(|y|)``, see ``quant.integer.curves``; curve is T, its last element zero."""
    tail = curve[min(abs(y), len(curve) - 1)]
    return curve.dtype.type(max(y, 0) - tail)


@nb.njit(**FAST)
def fuse(z, x, shift, edge, negate, curve, gain_bits, keeps, lo, hi, over):
    """x <- clip(gain (+-act(z << shift + bias) + x) + addend + x), one neuron.

    edge : bias, addend, floor (of a ReLU 0), gain; curve : GELU's table or empty; gain_bits : its
    fraction bits, below 0 none;
    keeps : -1 where x joins before the gain, and behind it, or 0.
    """
    int_ = x.dtype.type
    bias, addend, floor, gain = edge[0], edge[1], edge[2], edge[3]
    for b in range(len(x)):
        v = int_(int_(int_(z[b]) << (shift & 31)) + bias)
        v = max(v, floor)
        if len(curve):
            v = gelu(v, curve)
        v = int_(-v) if negate else v
        v = int_(v + (x[b] & keeps[0]))
        if gain_bits >= 0:
            v = int_(v * gain)
            if gain_bits > 0:       # half to even: half - 1 and the odd bit
                odd = int_((v >> gain_bits) & 1)
                v = int_(int_(v + int_((1 << gain_bits - 1) - 1) + odd) >> gain_bits)
        v = int_(int_(v + addend) + (x[b] & keeps[1]))
        x[b] = min(max(v, lo), hi)
        over[b] = int_(over[b] + int_(x[b] != v))


@kept(signature)
def sign(words, h_re, h_im, r_round, p, r_in, y, r_out):
    """``quant.integer.reference.word_of`` of one neuron; words (B,) uint32."""
    for b in range(len(words)):
        words[b] = (rotl(low(p[b]), TOOK) ^ rotl(low(y[b]), SUM) ^ rotl(low(r_in[b]), DRAWS[0])
                    ^ rotl(low(r_out[b]), DRAWS[1]))
    for k in range(len(h_re)):
        sign_mode(words, h_re[k], h_im[k], r_round[k], k)


@kept(signature)
def sign_mode(words, h_re, h_im, r_round, k):
    """Adds what mode k shows of one neuron, h (B,), to its words (B,) uint32."""
    word = rotl(low(r_round), MODE * k + ROUNDING)
    for b in range(len(words)):
        words[b] ^= (word ^ rotl(low(h_re[b]), MODE * k + RE)
                     ^ rotl(low(h_im[b]), MODE * k + IM))


@nb.njit(**FAST)
def low(x):
    """The low 32 bits."""
    return np.uint32(nb.int64(x) & 0xFFFFFFFF)


@nb.njit(**FAST)
def rotl(x, by):
    """``quant.integer.signature.rotl`` of a uint32."""
    by = np.uint32(by % 32)
    return np.uint32(x << by) | np.uint32(x >> np.uint32((32 - by) % 32))


@nb.njit(**FAST)
def crc(words, tables):
    """``quant.integer.signature.crc32`` of the words (H, B) of one step; (B,) uint32."""
    out = np.full(words.shape[1], 0xFFFFFFFF, np.uint32)
    for i in range(words.shape[0]):
        for b in range(words.shape[1]):
            v = out[b] ^ words[i, b]
            out[b] = (tables[0, v & 255] ^ tables[1, v >> 8 & 255]
                      ^ tables[2, v >> 16 & 255] ^ tables[3, v >> 24])
    return out


@kept(signature)
def run_layer(j, t0, steps, at, x, alive, state, net, draws, masks, words, counts, trace):
    """Samplers and states of layer j through a chunk of steps from ``t0`` on, neuron after neuron.

    at : the chunk's first step in ``draws``; x (CHUNK, H, B), alive (CHUNK, B) : of its steps;
    masks : to be filled, of the output sampler, 0 or -1 (CHUNK, H, B) M; words : the neuron words
    (CHUNK, H, B); counts : (3, B), of saturated parts and of both samplers' spikes, to add to; the
    rest as of :func:`run_block`.
    """
    coefficients, dbi, rounding, limits, curves, stream = net
    threshold, r_sampler, r_round, f_bits, systematic = draws
    h_re, h_im, phase = state
    s_in, s_out, _ = trace
    H, B, S, X = x.shape[1], x.shape[2], coefficients.dtype.type, x.dtype.type
    gelu_out, record = curves.shape[1] > 0, len(s_in) > 0
    p, y, q = np.zeros(B, x.dtype), np.zeros(B, x.dtype), np.zeros(B, x.dtype)
    s, over = np.zeros(B, coefficients.dtype), np.zeros(B, coefficients.dtype)
    r = np.zeros((2, B), r_sampler.dtype)
    for i in range(H):
        d, bias, alpha, beta, scale = (dbi[j, i, 0], dbi[j, i, 1], dbi[j, i, 2], dbi[j, i, 3],
                                       dbi[j, i, 4])
        for t in range(steps):
            for b in range(B):
                p[b] = X(X(alpha * x[t, i, b]) + beta) if stream else x[t, i, b]
                over[b] = S(0)
            if record:
                for kind in range(2):
                    if systematic:
                        r[kind] = phase[kind, j, i]
                    else:
                        r[kind] = r_sampler[kind, j, at + t, i]
            if systematic:
                accumulate(p, phase[0, j, i], f_bits[0, j], s)
            else:
                sample(p, threshold[0, j, at + t, i], s)
            for b in range(B):
                y[b] = X((X(0) if gelu_out else bias) + (d & X(s[b])))
            update(h_re[j, i], h_im[j, i], s, coefficients[j, i], r_round[j, at + t, i],
                   rounding[j], limits[j, 0], limits[j, 1], y, over)
            p_out = y
            if gelu_out:
                p_out = q
                for b in range(B):
                    q[b] = X(X(scale * gelu(y[b], curves[j])) + bias)
            if systematic:
                accumulate(p_out, phase[1, j, i], f_bits[1, j], masks[t, i])
            else:
                sample(p_out, threshold[1, j, at + t, i], masks[t, i])
            for b in range(B):
                counts[0, b] = S(counts[0, b] + (over[b] & alive[t, b]))
                counts[1, b] = S(counts[1, b] - (s[b] & alive[t, b]))
                counts[2, b] = S(counts[2, b] - (S(masks[t, i, b]) & alive[t, b]))
            if record:
                sign(words[t, i], h_re[j, i], h_im[j, i], r_round[j, at + t, i], p, r[0], y, r[1])
                for b in range(len(s_in)):
                    s_in[b, j, t0 + t, i] = s[b] != 0
                    s_out[b, j, t0 + t, i] = masks[t, i, b] != 0
