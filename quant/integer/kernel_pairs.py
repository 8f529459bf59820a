"""Two steps per update of the states, for ``quant.integer.compiled``; see ``kernels``.

``pairs`` are the coefficients of a2 and aligned g1 (N, H, n, 4) S, d1 (N, H) X, and an empty array
of the type that holds a neuron's ``sum Re(A_bar h)``, S or int64.
"""

import numba as nb
import numpy as np

from quant.integer import kernels, signature
from quant.integer.jit import kept
from quant.integer.kernels import accumulate, gelu, low, right, rotl, sample, sign_mode
from quant.integer.signature import DRAWS, SECOND, SUM, TOOK


@kept(kernels, signature)
def fire(kind, j, i, at, p, phase, draws, r, mask):
    """mask = -1 where sampler ``kind`` of neuron i fires for p (B,), else 0; r (B,): its words."""
    threshold, words, _, f_bits, systematic = draws
    if systematic:
        r[:] = phase[kind, j, i]
        accumulate(p, phase[kind, j, i], f_bits[kind, j], mask)
    else:
        r[:] = words[kind, j, at, i]
        sample(p, threshold[kind, j, at, i], mask)


@kept(kernels, signature)
def ahead(h_re, h_im, coefficients, shift, total, y):
    """Adds to y (B,) the sum of Re(A_bar h) of one neuron's modes, rounded once, half to even."""
    wide, out = total.dtype.type, y.dtype.type
    half = nb.int64(1) << shift >> 1
    total[:] = 0
    for k in range(h_re.shape[0]):
        a_re, a_im = wide(coefficients[k, 0]), wide(coefficients[k, 1])
        for b in range(len(total)):
            total[b] = wide(total[b] + wide(wide(a_re * wide(h_re[k, b]))
                                            - wide(a_im * wide(h_im[k, b]))))
    for b in range(len(total)):
        rounded = total[b]
        if shift > 0:
            odd = right(rounded, shift) & wide(1)
            rounded = right(wide(rounded + wide(half - 1) + odd), shift)
        y[b] = out(y[b] + out(rounded))


@kept(kernels, signature)
def update(h_re, h_im, s, a2, g, word, rounding, lo, hi, y, over):
    """``h <- saturate(round(a2 h + g1 s1 + g s2))`` of one neuron's modes; adds Re h to y.

    s : (2, B), 0 or -1; a2 : (n, 4), a2 and aligned g1; g : (n, 4), the last two aligned g; the
    rest as of ``kernels.update``.
    """
    int_ = h_re.dtype.type
    wide = y.dtype.type
    shift, bits, left = rounding[0], rounding[1], rounding[2]
    constant, flag = rounding[3], int_(rounding[4])
    for k in range(h_re.shape[0]):
        a_re, a_im, g1_re, g1_im = a2[k, 0], a2[k, 1], a2[k, 2], a2[k, 3]
        g_re, g_im = g[k, 2], g[k, 3]
        r = nb.int64(word[k])
        add_re = int_(constant + ((r & ((nb.int64(1) << bits) - 1)) << left))
        add_im = int_(constant + ((r >> bits) << left))
        for b in range(h_re.shape[1]):
            x_re, x_im = h_re[k, b], h_im[k, b]
            re = int_(int_(a_re * x_re) - int_(a_im * x_im))
            im = int_(int_(a_re * x_im) + int_(a_im * x_re))
            re = int_(re + int_((g1_re & s[0, b]) + (g_re & s[1, b])))
            im = int_(im + int_((g1_im & s[0, b]) + (g_im & s[1, b])))
            re = right(int_(re + add_re + (flag & right(re, shift))), shift)
            im = right(int_(im + add_im + (flag & right(im, shift))), shift)
            new_re = min(max(re, lo), hi)
            new_im = min(max(im, lo), hi)
            over[b] = int_(over[b] + int_(new_re != re) + int_(new_im != im))
            h_re[k, b], h_im[k, b] = new_re, new_im
            y[b] = wide(y[b] + new_re)


@kept(kernels, signature)
def sign(words, h_re, h_im, r_round, p, r, y, there):
    """Neuron words (B,) uint32 of one block of steps: p, y (2, B), r (sampler, 2, B); there : (B,),
    -1 where the second step is, else 0."""
    for b in range(len(words)):
        words[b] = 0
        for q in range(2):
            word = (rotl(low(p[q, b]), TOOK) ^ rotl(low(y[q, b]), SUM)
                    ^ rotl(low(r[0, q, b]), DRAWS[0]) ^ rotl(low(r[1, q, b]), DRAWS[1]))
            words[b] ^= rotl(word, SECOND) & low(there[b]) if q else word
    for k in range(len(h_re)):
        sign_mode(words, h_re[k], h_im[k], r_round[k], k)


@kept(kernels, signature)
def run_pairs(j, t0, steps, at, x, alive, state, net, pairs, draws, masks, words, counts, trace):
    """``kernels.run_layer`` with two steps per update; ``steps`` is even, words (CHUNK, H, B) are
    those of a block of steps each."""
    coefficients, dbi, rounding, limits, curves, stream = net
    more, d1, wide = pairs
    r_round = draws[2]
    h_re, h_im, phase = state
    s_in, s_out, _ = trace
    H, B, S, X = x.shape[1], x.shape[2], coefficients.dtype.type, x.dtype.type
    gelu_out, record = curves.shape[1] > 0, len(s_in) > 0
    p, y, q = np.zeros((2, B), x.dtype), np.zeros((2, B), x.dtype), np.zeros(B, x.dtype)
    s, over = np.zeros((2, B), coefficients.dtype), np.zeros(B, coefficients.dtype)
    r, total = np.zeros((2, 2, B), draws[1].dtype), np.zeros(B, wide.dtype)
    for i in range(H):
        bias, alpha, beta, scale = dbi[j, i, 1], dbi[j, i, 2], dbi[j, i, 3], dbi[j, i, 4]
        for t in range(0, steps, 2):
            for e in range(2):
                d = d1[j, i] if e == 0 else dbi[j, i, 0]
                for b in range(B):
                    p[e, b] = X(X(alpha * x[t + e, i, b]) + beta) if stream else x[t + e, i, b]
                fire(0, j, i, at + t + e, p[e], phase, draws, r[0, e], s[e])
                for b in range(B):
                    s[e, b] &= alive[t + e, b]
                    y[e, b] = X((X(0) if gelu_out else bias) + (d & X(s[e, b])))
            over[:] = 0
            word = r_round[j, (at + t) // 2, i]
            ahead(h_re[j, i], h_im[j, i], coefficients[j, i], rounding[j, 0], total, y[0])
            update(h_re[j, i], h_im[j, i], s, more[j, i], coefficients[j, i], word, rounding[j],
                   limits[j, 0], limits[j, 1], y[1], over)
            for e in range(2):
                p_out = y[e]
                if gelu_out:
                    p_out = q
                    for b in range(B):
                        q[b] = X(X(scale * gelu(y[e, b], curves[j])) + bias)
                fire(1, j, i, at + t + e, p_out, phase, draws, r[1, e], masks[t + e, i])
                for b in range(B):
                    counts[1, b] = S(counts[1, b] - s[e, b])
                    counts[2, b] = S(counts[2, b] - (S(masks[t + e, i, b]) & alive[t + e, b]))
            for b in range(B):
                counts[0, b] = S(counts[0, b] + (over[b] & alive[t, b]))
            if record:
                sign(words[t // 2, i], h_re[j, i], h_im[j, i], word, p, r, y, alive[t + 1])
                for e in range(2):
                    for b in range(len(s_in)):
                        s_in[b, j, t0 + t + e, i] = s[e, b] != 0
                        s_out[b, j, t0 + t + e, i] = masks[t + e, i, b] != 0
