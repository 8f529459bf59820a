"""The membranes of ``quant.integer.membrane`` over all steps of a group of sequences, in numba."""

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True)
def scan(y, leak, theta, subtract, shifts, lo, hi, u, saturated):
    """Membranes u before the reset and where they saturated, of inputs y, all (B, L, H); int64.

    leak : (H,); shifts : of ``leak v`` and of y to the left, of their sum to the right.
    """
    B, L, H = y.shape
    of_v, of_y, drop = shifts
    half = (1 << drop) >> 1
    for b in range(B):
        v = np.zeros(H, np.int64)
        for t in range(L):
            for i in range(H):
                total = (leak[i] * v[i] << of_v) + (y[b, t, i] << of_y)
                if drop > 0:        # half to even: half - 1 and the odd bit
                    total = (total + half - 1 + (total >> drop & 1)) >> drop
                now = min(max(total, lo), hi)
                fired = now >= theta
                u[b, t, i], saturated[b, t, i] = now, now != total
                v[i] = now - theta * fired if subtract else now * (not fired)
