"""States of ``quant.integer.memory`` over all steps of a group of sequences, in numba."""

import numpy as np

from quant.integer import kernels, signature
from quant.integer.jit import kept
from quant.integer.memory import States
from quant.integer.operation import round_half_even
from quant.integer.signature import FUTURE, TOOK, of_blocks, rotl


@kept(kernels, signature)
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


@kept(kernels, signature)
def scan_blocks(u, a, a2, g1, g, words, rounding, lo, hi, ahead, re_sum, over, shown):
    """Two steps per update; every argument int64, as of :func:`scan` but

    u : (H, 2 L, B), of L blocks of steps; a, a2, g1, g : (2, H, n), real and imaginary part;
    ahead : (H, L, B), gets ``sum Re(A_bar h)`` of the states before each block, exact.
    """
    H, L, B = re_sum.shape
    shift, bits = rounding
    half = (1 << shift) >> 1
    mask = (1 << bits) - 1
    for i in range(H):
        for k in range(a.shape[2]):
            h_re, h_im = np.zeros(B, np.int64), np.zeros(B, np.int64)
            for t in range(L):
                add_re = add_im = half - 1
                word = 0
                if bits > 0:
                    word = words[t, i, k]
                    add_re = ((word & mask) << shift - bits) + (half >> bits)
                    add_im = ((word >> bits) << shift - bits) + (half >> bits)
                for b in range(B):
                    x, y, u1, u2 = h_re[b], h_im[b], u[i, 2 * t, b], u[i, 2 * t + 1, b]
                    ahead[i, t, b] += a[0, i, k] * x - a[1, i, k] * y
                    re = a2[0, i, k] * x - a2[1, i, k] * y + g1[0, i, k] * u1 + g[0, i, k] * u2
                    im = a2[0, i, k] * y + a2[1, i, k] * x + g1[1, i, k] * u1 + g[1, i, k] * u2
                    if bits == 0:
                        re, im = re + (re >> shift & 1), im + (im >> shift & 1)
                    re, im = (re + add_re) >> shift, (im + add_im) >> shift
                    h_re[b], h_im[b] = min(max(re, lo), hi), min(max(im, lo), hi)
                    over[t, b] += (h_re[b] != re) + (h_im[b] != im)
                    re_sum[i, t, b] += h_re[b]
                if len(shown) > 0:
                    kernels.sign_mode(shown[i, t], h_re, h_im, word, k)


def along_blocks(op: States, u_fmt, u: np.ndarray, words: np.ndarray, bits: int,
                 place: int | None):
    """:func:`along` with two steps per update; inputs are 0 behind a sequence's end.

    Saturated parts (B, L) stand at a block's first step; words for the signature are those of
    blocks of steps, (B, blocks, H).
    """
    B, steps, H = u.shape
    L, align = -(-steps // 2), op.align(u_fmt)
    u = np.pad(u, ((0, 0), (0, 2 * L - steps), (0, 0)))
    ahead, re_sum = np.zeros((H, L, B), np.int64), np.zeros((H, L, B), np.int64)
    over = np.zeros((2 * L, B), np.int64)
    shown = np.zeros((H * (place is not None), L, B), np.uint32)
    a, a2, g1, g = (np.stack([getattr(op, f"{name}_{part}").raw for part in ("re", "im")])
                    for name in ("a", "a2", "g1", "g"))
    scan_blocks(np.ascontiguousarray(u.transpose(2, 1, 0)), a, a2, g1 << align, g << align,
                np.ascontiguousarray(words), (op.a_re.fmt.f_bits, bits), op.h.lo, op.h.hi, ahead,
                re_sum, over[::2], shown)
    ahead = round_half_even(ahead.transpose(2, 1, 0), op.a_re.fmt.f_bits)
    y = np.empty(u.shape, np.int64)
    y[:, ::2] = op.output(u_fmt, ahead, u[:, ::2], op.d1)
    y[:, 1::2] = op.output(u_fmt, re_sum.transpose(2, 1, 0), u[:, 1::2])
    word = np.ascontiguousarray(shown.transpose(2, 1, 0))
    return (y[:, :steps], over[:steps].T,
            word ^ of_blocks(rotl(u, TOOK), 2) if place == 0 else word)


def along(op: States, u_fmt, u: np.ndarray, words: np.ndarray, bits: int, place: int | None):
    """``Operation.along`` of inputs u (B, L, H), all steps at once, but saturated parts (B, L).

    What goes backwards takes the inputs from the last one on, and y before each; inputs must be 0
    behind a sequence's end, where states then stay 0.
    """
    if op.block == 2:
        return along_blocks(op, u_fmt, u, words, bits, place)
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
    if op.backwards:
        word = rotl(word.astype(np.int64), FUTURE)
    elif place == 0:
        word = word ^ rotl(u, TOOK)
    return op.output(u_fmt, re_sum, u), over[way].T, word
