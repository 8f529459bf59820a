"""Fused element-wise kernels for training on a CPU, in numba.

Every tensor is (H, N) with N = time x batch; one row belongs to one neuron. Values are stored as
float32 or bfloat16 (seen by numba as uint16, the upper half of a float32) and computed in float32.
``golden.kernels.ops`` wraps these as differentiable functions and has the same in plain PyTorch.

A uniform draw is a hash of (seed, element), so a backward pass could repeat it; quality is that of
the murmur3 finaliser, far above what a straight-through gradient can notice.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, wraps

import numba as nb
import numpy as np
import torch
from numba.extending import overload, register_jitable

FAST = {"nsz", "arcp", "contract", "reassoc"}


def kernel(function: Callable) -> Callable:
    """``function(begin, end, x, ...)`` on rows, compiled and spread over PyTorch's threads.

    Not by numba's own threads: with them, code that was just compiled sums in another order than
    the same code out of the cache, so a training that goes on in another process would differ.
    """
    compiled = nb.njit(fastmath=FAST, nogil=True, cache=True)(function)

    @wraps(function)
    def call(x, *args):
        H, threads = len(x), min(torch.get_num_threads(), len(x))
        if threads == 1:
            compiled(0, H, x, *args)
            return
        parts = [H * k // threads for k in range(threads + 1)]
        list(pool(threads).map(lambda k: compiled(parts[k], parts[k + 1], x, *args),
                               range(threads)))
    return call


@lru_cache
def pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "kernels")


def load(x):
    """Float32 value of a stored element."""


def store(out, i, j, v):
    """Round ``v`` into ``out[i, j]``, to nearest."""


@overload(load)
def _load(x):
    if x == nb.uint16:
        return lambda x: np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)
    return lambda x: x


@overload(store)
def _store(out, i, j, v):
    if out.dtype == nb.uint16:
        def bf16(out, i, j, v):
            bits = np.float32(v).view(np.uint32)
            out[i, j] = np.uint16(np.uint32(bits + np.uint32(0x8000)) >> np.uint32(16))
        return bf16

    def f32(out, i, j, v):
        out[i, j] = v
    return f32


@register_jitable
def uniform(key, j):
    """Uniform in [0, 1) with 24 bits, from a 32-bit key and an index."""
    x = np.uint32(np.uint32(j) * np.uint32(0x9E3779B1) + key)
    x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    x = np.uint32((x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    x = np.uint32(x ^ (x >> np.uint32(16)))
    return np.float32(x >> np.uint32(8)) * np.float32(1.0 / (1 << 24))


def key_of(keys, i):
    """A neuron's key of ``keys`` (H,) or None."""


def dropped(x, key, rate, j):
    """``x`` behind dropout: 0 with probability ``rate``, else x / (1 - rate); key None: x."""


@register_jitable
def masked_sum(x, y, valid, j):
    """``x + y`` where ``valid`` (N,) is 1, ``x`` where it is 0; None: 1 everywhere."""
    if valid is None:       # known when numba compiles
        return x + y
    return x + valid[j] * y


@register_jitable
def norm_slope(g, c1, x, c2, valid, j):
    """``g + c1 x + c2``, of a column that is not valid ``g``."""
    if valid is None:
        return g + c1 * x + c2
    return g + valid[j] * (c1 * x + c2)


@overload(key_of)
def _key_of(keys, i):
    if isinstance(keys, nb.types.NoneType):
        return lambda keys, i: None
    return lambda keys, i: keys[i]


@overload(dropped)
def _dropped(x, key, rate, j):
    if isinstance(key, nb.types.NoneType):
        return lambda x, key, rate, j: x

    def some(x, key, rate, j):
        return x / (np.float32(1.0) - rate) if uniform(key, j) >= rate else np.float32(0.0)
    return some


@kernel
def sample(begin, end, y, b, keys, s):
    """s = [y + b > u], one bias per neuron."""
    for i in range(begin, end):
        bias, key = b[i], keys[i]
        for j in range(y.shape[1]):
            fired = load(y[i, j]) + bias > uniform(key, j)
            store(s, i, j, np.float32(fired))


@kernel
def mean(begin, end, y, b, s):
    """s = clamp(y + b, 0, 1): the expectation of every sampling form."""
    for i in range(begin, end):
        bias = b[i]
        for j in range(y.shape[1]):
            store(s, i, j, min(max(load(y[i, j]) + bias, np.float32(0.0)), np.float32(1.0)))


@kernel
def systematic(begin, end, y, b, phase, chunks, s):
    """Spike where the running sum of clamp(y + b), begun at ``phase`` (H, B), passes an integer.

    Columns are (C, M, B) = ``chunks``, step t = m C + c. ``phase`` is overwritten.
    """
    C, M, B = chunks
    for i in range(begin, end):
        bias = b[i]
        for m in range(M):
            for c in range(C):
                start = (c * M + m) * B
                for k in range(B):
                    p = min(max(load(y[i, start + k]) + bias, np.float32(0.0)), np.float32(1.0))
                    q = phase[i, k] + p
                    fired = np.float32(q >= np.float32(1.0))
                    phase[i, k] = q - fired
                    store(s, i, start + k, fired)


@kernel
def sobol(begin, end, y, b, words, masks, s):
    """s = [y + b > u], u the 24-bit word of the step, ``words`` (C M,), XOR ``masks`` (H, B)."""
    B = masks.shape[1]
    for i in range(begin, end):
        bias = b[i]
        for n in range(words.shape[0]):
            word = words[n]
            for k in range(B):
                u = np.float32(word ^ masks[i, k]) * np.float32(1.0 / (1 << 24))
                store(s, i, n * B + k, np.float32(load(y[i, n * B + k]) + bias > u))


@kernel
def sample_grad(begin, end, y, b, ds, dy, db):
    """Straight-through inside [0, 1]."""
    for i in range(begin, end):
        bias, total = b[i], np.float32(0.0)
        for j in range(y.shape[1]):
            p = load(y[i, j]) + bias
            g = load(ds[i, j]) if (p >= np.float32(0.0)) & (p <= np.float32(1.0)) \
                else np.float32(0.0)
            total += g
            store(dy, i, j, g)
        db[i] = total


# Below, valid (N,) or None says which columns the norm is of; drop (H,) are keys of a dropout of
# probability ``rate`` behind the activation, or None: act(z) = dropped(relu(z + bias)).


@kernel
def relu_stats(begin, end, z, bias, valid, count, drop, rate, mean, var):
    """Mean and variance of act(z) per neuron, over the ``count`` valid columns."""
    for i in range(begin, end):
        b, s1, s2, key = bias[i], np.float32(0.0), np.float32(0.0), key_of(drop, i)
        for j in range(z.shape[1]):
            x = dropped(max(load(z[i, j]) + b, np.float32(0.0)), key, rate, j)
            s1 = masked_sum(s1, x, valid, j)
            s2 = masked_sum(s2, x * x, valid, j)
        mean[i] = s1 / count
        var[i] = max(s2 / count - mean[i] * mean[i], np.float32(0.0))


@kernel
def fuse(begin, end, z, bias, scale, shift, p, residual, keys, draw, drop, rate, p_next, s):
    """p_next = clamp(p + scale act(z) + shift, 0, 1) and, with ``draw``, s = [p_next > u].

    Without ``residual`` p is not read and nothing is added.
    """
    for i in range(begin, end):
        b, a, c, key, dkey = bias[i], scale[i], shift[i], keys[i], key_of(drop, i)
        for j in range(z.shape[1]):
            v = a * dropped(max(load(z[i, j]) + b, np.float32(0.0)), dkey, rate, j) + c
            if residual:
                v += load(p[i, j])
            v = min(max(v, np.float32(0.0)), np.float32(1.0))
            store(p_next, i, j, v)
            if draw:
                store(s, i, j, np.float32(v > uniform(key, j)))


@kernel
def fuse_grad_sums(begin, end, z, bias, scale, shift, p, residual, drop, rate, dp_next, ds, dp,
                   sums):
    """dp = (dp_next + ds) inside the clamp; sums[i] = (sum of dp, sum of dp act(z))."""
    for i in range(begin, end):
        b, a, c, key = bias[i], scale[i], shift[i], key_of(drop, i)
        s1, s2 = np.float32(0.0), np.float32(0.0)
        for j in range(z.shape[1]):
            x = dropped(max(load(z[i, j]) + b, np.float32(0.0)), key, rate, j)
            v = a * x + c
            if residual:
                v += load(p[i, j])
            g = load(dp_next[i, j]) + load(ds[i, j]) \
                if (v >= np.float32(0.0)) & (v <= np.float32(1.0)) else np.float32(0.0)
            store(dp, i, j, g)
            s1 += g
            s2 += g * x
        sums[i, 0] = s1
        sums[i, 1] = s2


@kernel
def fuse_grad(begin, end, z, bias, scale, c1, c2, valid, drop, rate, dp, dz, dbias):
    """dz = (scale dp + [valid] (c1 act(z) + c2)) act'(z)."""
    for i in range(begin, end):
        b, a, k1, k2, total = bias[i], scale[i], c1[i], c2[i], np.float32(0.0)
        key = key_of(drop, i)
        for j in range(z.shape[1]):
            x = load(z[i, j]) + b
            y = dropped(x, key, rate, j)
            g = norm_slope(a * load(dp[i, j]), k1, y, k2, valid, j)
            g = dropped(g, key, rate, j) if x > np.float32(0.0) else np.float32(0.0)
            store(dz, i, j, g)
            total += g
        dbias[i] = total
