"""Both forms of the state update as numbers: exact, quantised, and inside a whole network.

Either form is a real 2x2 recurrence per complex mode, ``w <- M w + b s`` and ``p = sum w1``, so one
integer simulation serves both: exact sums, one rounding per word, saturation, as in
``quant.integer.reference``. Arrays are (H, n, 2, 2) for M and (H, n, 2) for b.
"""

from dataclasses import dataclass

import numba as nb
import numpy as np

from golden.base.qformat import QFormat, fit_signed

FRACTION = 32       # of M's integers: holds every coefficient of every form exactly
SHIFTS = (0, 3, 6, 9)
FORMS = ("coupled", "delta_global", "delta_mode", "delta_balanced")


@dataclass(frozen=True)
class System:
    """A layer's modes in one form; ``repaired`` counts modes moved back inside the unit circle."""

    M: np.ndarray
    b: np.ndarray
    repaired: int = 0


def mode_shift(A: np.ndarray) -> np.ndarray:
    """Per mode the largest m of SHIFTS with ``2^m |1 - A| <= 2``: w2 then stays near w1's size."""
    m = np.zeros(A.shape, int)
    for shift in SHIFTS:
        m[2.0 ** shift * abs(1 - A) <= 2] = shift
    return m


def coupled(A: np.ndarray, g: np.ndarray) -> System:
    """``h <- A h + g s``, w = (Re h, Im h)."""
    M = np.stack([np.stack([A.real, -A.imag], -1), np.stack([A.imag, A.real], -1)], -2)
    return System(M, np.stack([g.real, g.imag], -1))


def delta(A: np.ndarray, g: np.ndarray, m) -> System:
    """``w1 <- w1 + c1 w1 + 2^-m w2 + b1 s``, ``w2 <- w2 + c2 w1 + b2 s``; w1 is Re h."""
    c1, c2 = 2 * A.real - 2, -2.0 ** m * abs(1 - A) ** 2
    M = np.stack([np.stack([1 + c1, 2.0 ** -m * np.ones_like(c1)], -1),
                  np.stack([c2, np.ones_like(c1)], -1)], -2)
    return System(M, np.stack([g.real, 2.0 ** m * (g * (1 - A.conj())).real], -1))


def _grid(x: np.ndarray, fmt: QFormat) -> np.ndarray:
    return np.clip(np.round(x * 2.0 ** fmt.f_bits), fmt.lo, fmt.hi) * 2.0 ** -fmt.f_bits


def _grid_inputs(b: np.ndarray, width: int) -> np.ndarray:
    return np.stack([_grid(b[..., j], fit_signed(b[..., j], width)) for j in (0, 1)], -1)


def exact(form: str, A: np.ndarray, g: np.ndarray) -> System:
    """The form in float64.

    ``delta_global`` has m = 0: with fitted formats another m for all modes only renames the binary
    points of w2, b2 and c2.
    """
    if form == "coupled":
        return coupled(A, g)
    return delta(A, g, np.zeros(A.shape) if form == "delta_global" else mode_shift(A))


def quantised(form: str, A: np.ndarray, g: np.ndarray, width: int) -> System:
    """Every coefficient in ``width`` bits; each kind has one format for the whole layer.

    ``delta_global``, ``delta_mode``: c1 and c2 as they are; ``delta_balanced``: 2^m c1 and 2^m c2
    are stored (and shifted back by the hardware), so that slow modes keep relative precision.
    """
    system = exact(form, A, g)
    b = _grid_inputs(system.b, width)
    if form == "coupled":
        fmt = QFormat(1, width - 1, True)
        re, im = _grid(A.real, fmt), _grid(A.imag, fmt)
        outside = re ** 2 + im ** 2 >= 1
        scale = np.where(outside, (1 - 2 * 2.0 ** -fmt.f_bits) / np.hypot(re, im), 1)
        re, im = _grid(re * scale, fmt), _grid(im * scale, fmt)
        return System(coupled(re + 1j * im, g).M, b, int(outside.sum()))
    e = mode_shift(A) if form == "delta_balanced" else np.zeros(A.shape)
    c1, c2 = (system.M[..., 0, 0] - 1) * 2.0 ** e, system.M[..., 1, 0] * 2.0 ** e
    fmt1, fmt2 = fit_signed(c1, width), fit_signed(c2, width)
    c1, c2 = _grid(c1, fmt1), _grid(c2, fmt2)
    # Poles inside the unit circle: c2 < 0 and determinant 1 + c1 - 2^-m c2 < 1.
    feedback = system.M[..., 0, 1]
    dead = c2 >= 0
    c2 = np.where(dead, -2.0 ** -fmt2.f_bits, c2)
    limit = feedback * c2
    outside = c1 >= limit
    step = 2.0 ** -fmt1.f_bits
    c1 = np.where(outside, (np.ceil(limit / step) - 1) * step, c1)
    M = system.M.copy()
    M[..., 0, 0], M[..., 1, 0] = 1 + c1 * 2.0 ** -e, c2 * 2.0 ** -e
    return System(M, b, int((dead | outside).sum()))


def kernel(system: System, steps: int) -> np.ndarray:
    """Response of every mode's w1 to one spike, (H, n, steps)."""
    w, out = system.b.copy(), np.empty(system.b.shape[:2] + (steps,))
    for t in range(steps):
        out[..., t] = w[..., 0]
        w = (system.M @ w[..., None])[..., 0]
    return out


@nb.njit(cache=True)
def float_run(M, b, s):
    """(y, largest |w1| and |w2|) of spikes s (B, L, H): y (B, L, H, n) holds every mode's w1."""
    B, L, H = s.shape
    n = b.shape[1]
    y, top = np.zeros((B, L, H, n)), np.zeros(2)
    for q in range(B):
        for i in range(H):
            for k in range(n):
                w1 = w2 = 0.0
                for t in range(L):
                    v1 = M[i, k, 0, 0] * w1 + M[i, k, 0, 1] * w2
                    w2 = M[i, k, 1, 0] * w1 + M[i, k, 1, 1] * w2
                    w1 = v1
                    if s[q, t, i]:
                        w1 += b[i, k, 0]
                        w2 += b[i, k, 1]
                    y[q, t, i, k] = w1
                    top[0], top[1] = max(top[0], abs(w1)), max(top[1], abs(w2))
    return y, top


@dataclass(frozen=True)
class Integers:
    """A quantised system as the integers of :func:`integer_run`."""

    M: np.ndarray           # (H, n, 2, 2) at FRACTION bits, M01 and M10 also scaled between words
    b: np.ndarray           # (H, n, 2) in the word's fraction bits + FRACTION
    f: np.ndarray           # (2,) fraction bits of w1 and w2
    lo: int
    hi: int


def integers(system: System, words: tuple[QFormat, QFormat]) -> Integers:
    """Exact integers of ``system`` for states in the two formats ``words``."""
    f = np.array([fmt.f_bits for fmt in words])
    scale = 2.0 ** (FRACTION - f[None, :] + f[:, None])     # [to, from]
    M, b = system.M * scale, system.b * 2.0 ** (FRACTION + f)
    for name, x in (("M", M), ("b", b)):
        if (x != np.round(x)).any():
            raise ValueError(f"{name} is not exact with {FRACTION} fraction bits")
    return Integers(M.astype(np.int64), b.astype(np.int64), f, words[0].lo, words[0].hi)


@nb.njit(cache=True)
def noise(x):
    """32 random bits, a hash of the counter ``x`` (the murmur3 finaliser)."""
    x = np.uint32(x)
    x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    x = np.uint32((x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ (x >> np.uint32(16)))


@nb.njit(cache=True)
def rounded(acc, word, shift):
    """``acc / 2^shift``: 8 random bits ``word``, or half to even where ``word`` is negative."""
    if word >= 0:
        return (acc + (word << shift - 8) + (1 << shift - 9)) >> shift
    down = acc >> shift
    rest, half = acc - (down << shift), 1 << shift - 1
    return down + (rest > half or (rest == half and down & 1 == 1))


@nb.njit(cache=True)
def advance(w, M, b, fired, r, lo, hi, shift):
    """One step of one mode in place; r is a random word, or -1. Returns saturated words."""
    a1 = M[0, 0] * w[0] + M[0, 1] * w[1]
    a2 = M[1, 0] * w[0] + M[1, 1] * w[1]
    if fired:
        a1, a2 = a1 + b[0], a2 + b[1]
    v1 = rounded(a1, r & 255 if r >= 0 else -1, shift)
    v2 = rounded(a2, r >> 8 & 255 if r >= 0 else -1, shift)
    w[0], w[1] = min(max(v1, lo), hi), min(max(v2, lo), hi)
    return int(w[0] != v1) + int(w[1] != v2)


@nb.njit(cache=True)
def integer_run(M, b, f, lo, hi, s, y, stochastic, shift):
    """Errors against y (B, L, H, n): squared per mode (H, n), squared sum per neuron (H,).

    Also returns the saturated words.
    """
    B, L, H = s.shape
    n = b.shape[1]
    per_mode, per_neuron, over = np.zeros((H, n)), np.zeros(H), 0
    unit = 2.0 ** -f[0]
    w = np.zeros((n, 2), np.int64)
    for q in range(B):
        for i in range(H):
            w[:] = 0
            for t in range(L):
                total = 0.0
                for k in range(n):
                    r = np.int64(-1)
                    if stochastic:
                        r = np.int64(noise(((q * H + i) * L + t) * n + k))
                    over += advance(w[k], M[i, k], b[i, k], s[q, t, i] > 0, r, lo, hi, shift)
                    error = w[k, 0] * unit - y[q, t, i, k]
                    per_mode[i, k] += error * error
                    total += error
                per_neuron[i] += total * total
    return per_mode / (B * L), per_neuron / (B * L), over
