"""Proven bounds of a network's sums, from its coefficients, and the integer types for them."""

import numpy as np

from quant.integer.artifact import Artifact, ArtifactError


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
            p = _largest(layer.alpha) * x + (_largest(layer.beta) << beta_shift(f))
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


def beta_shift(f) -> int:
    """Left shift that brings beta to the fraction bits of ``alpha x``."""
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
