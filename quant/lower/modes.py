"""A dense recurrence as independent complex modes: by eigenvectors, or by a fit to its kernel.

With ``h <- A_bar h + B_bar s, y = Re(C h)`` and A_bar = V diag(l) V^-1 the modes are l_k with
g_k = (C V)_k (V^-1 B_bar)_k. Rounding errors grow by the condition number of V, so above
``CONDITION`` modes are fitted to the kernel instead (``quant.lower.kernel_fit``). Modes that nearly
cancel also make states much larger than the output is, and one neuron's states set the format of
a layer's: from ``REACH`` times on, a fit of as many modes loses less than the lost fraction bits.
"""

from dataclasses import dataclass

import numpy as np
import torch

from golden.base import cli
from golden.model.dplr import Dense, modes
from quant.lower.kernel_fit import fit

CONDITION = 1e4         # of the eigenvectors; above, a fit is better than rounded eigenvalues
REACH = 4.0             # times the output's range, from which on states are too large
IDLE = 0.5              # A_bar of a mode that a neuron does not need; its g is 0


class DiagonaliseError(cli.UserError):
    """A network that does not become diagonal; the message says what it has and what is needed."""


@dataclass(frozen=True)
class Diagonal:
    """A layer as modes, and how far it is from the dense one.

    A_bar : (H, n) complex, g : (S, H, n), S the sides of the kernel: ``h <- A_bar h + g s``,
    ``y = sum_k Re h_k + D s``, the future's from the end and one step later; fitted : (H,) bool;
    condition : (H,); error : (H,) rms error of the kernel over its rms, in float64.
    """

    A_bar: np.ndarray
    g: np.ndarray
    fitted: np.ndarray
    condition: np.ndarray
    error: np.ndarray

    def report(self) -> dict:
        """Plain numbers for tables and manifests."""
        finite = self.condition[np.isfinite(self.condition)]
        return {"modes": int(self.A_bar.shape[1]), "neurons": len(self.fitted),
                "fitted": int(self.fitted.sum()),
                "condition": float(finite.max()) if len(finite) else None,
                "singular": int(len(self.condition) - len(finite)),
                "error_max": float(self.error.max()),
                "error_rms": float(np.sqrt(np.mean(self.error ** 2)))}


def dense_kernel(dense: Dense, steps: int) -> np.ndarray:
    """``Re(C A_bar^j B_bar)``, (H, steps), float64: the kernel without the part of D."""
    A_bar, h, C = (t.detach().cpu().numpy() for t in dense[:3])
    K = np.empty((len(C), steps))
    for j in range(steps):
        K[:, j] = (C * h).sum(1).real
        h = (A_bar @ h[..., None])[..., 0]
    return K


def modes_kernel(A_bar: np.ndarray, g: np.ndarray, steps: int) -> np.ndarray:
    """``sum_k Re(g_k A_bar_k^j)``, (H, steps)."""
    K, term = np.empty((len(g), steps)), g
    for j in range(steps):
        K[:, j] = term.real.sum(1)
        term = term * A_bar
    return K


def reach(A_bar: np.ndarray, g: np.ndarray, steps: int) -> np.ndarray:
    """Largest real or imaginary part that 0-1 inputs can give a state, over the output's, (H,)."""
    parts = np.zeros((4, *g.shape))
    out, term = np.zeros((2, len(g))), g
    for _ in range(steps):
        for k, part in enumerate((term.real, -term.real, term.imag, -term.imag)):
            parts[k] += np.maximum(part, 0)
        total = term.real.sum(1)
        out += np.maximum([total, -total], 0)
        term = term * A_bar
    return parts.max((0, 2)) / np.maximum(out.max(0), np.finfo(float).tiny)


def merge(A_bar: np.ndarray, g: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """One mode of each conjugate pair, and every real one: per neuron (modes,) A_bar and g.

    Only the real part is read, so of ``g A^j + g' conj(A)^j`` the mode ``(g + conj g') A^j`` is
    left. A pair is recognised by its imaginary parts' signs, not by equality.
    """
    merged = [], []
    for a, v in zip(A_bar, g):
        tiny = 1e-9 * np.abs(a)
        up, down = np.flatnonzero(a.imag > tiny), np.flatnonzero(a.imag < -tiny)
        real = np.flatnonzero(np.abs(a.imag) <= tiny)
        up, down = up[np.lexsort(a[up].view(float).reshape(-1, 2).T)], list(down)
        both = []
        for k in up:
            j = min(down, key=lambda j: abs(a[j] - a[k].conj()))
            down.remove(j)
            both.append(v[k] + v[j].conj())
        merged[0].append(np.concatenate([a[up], a[real].real]))
        merged[1].append(np.concatenate([np.array(both, complex), v[real]]))
    return merged


def diagonal(dense: Dense, steps: int, dt: np.ndarray, count: int | None = None,
             least: int = 1, largest: float = REACH, future: Dense | None = None) -> Diagonal:
    """The modes of a layer.

    Parameters
    ----------
    future
        Of a two-sided kernel the later side, of the same A_bar and B_bar; both get the same modes.
    steps
        Length of the kernels that are fitted and compared.
    dt : (H,)
        Time steps, by which a fit's start is scaled.
    count
        Modes of a fitted neuron; None: half of the states (two-sided: three quarters), or as many
        as the diagonalised have.
    least
        At least this many modes, so that several layers have equally many.
    largest
        Neurons with states beyond so many times the output's range are fitted too; infinity:
        only those above ``CONDITION``.

    Raises :class:`DiagonaliseError` for matrices that are not stable or not finite.
    """
    sides = [dense] if future is None else [dense, future]
    if not all(bool(torch.isfinite(torch.view_as_real(t.detach().resolve_conj())).all())
               for side in sides for t in side[:3]):
        raise DiagonaliseError("A_bar, B_bar or C contain values that are not finite")
    found = [modes(side) for side in sides]
    A_bar, _, condition = found[0]
    H, N = A_bar.shape
    wild = np.flatnonzero(np.abs(A_bar).max(1) >= 1)
    if len(wild):
        worst = np.abs(A_bar[wild[0]]).max()
        raise DiagonaliseError(f"{len(wild)} of {H} neurons have an eigenvalue with |A_bar| >= 1, "
                               f"neuron {wild[0]} has {worst:.6g}: the state would not decay")
    fitted = condition >= CONDITION
    K = np.stack([dense_kernel(side, steps) for side in sides], 1)          # (H, S, steps)
    merged = [merge(A_bar[~fitted], g[~fitted]) for _, g, _ in found]
    some = N * (len(sides) + 1) // 4
    n = max([count or some if fitted.any() else 1, least, *map(len, merged[0][0])])
    A, g = np.full((H, n), IDLE, complex), np.zeros((len(sides), H, n), complex)
    for place, values in (A, merged[0][0]), *((g[s], both[1]) for s, both in enumerate(merged)):
        for row, one in zip(np.flatnonzero(~fitted), values):
            place[row, :len(one)] = one
    for side in g:
        fitted |= reach(A, side, steps) > largest
    if fitted.any():
        A[fitted], own = fit(K[fitted], n, dt[fitted])
        g[:, fitted] = own.swapaxes(0, 1)
    made = np.stack([modes_kernel(A, side, steps) for side in g], 1)
    size = np.maximum(np.sqrt((K ** 2).sum((1, 2))), np.finfo(float).tiny)
    error = np.sqrt(((made - K) ** 2).sum((1, 2))) / size
    return Diagonal(A, g, fitted, condition, error)
