"""A diagonal state space model fitted to given convolution kernels.

For matrices whose eigenvectors are too badly conditioned to diagonalise, such as HiPPO-LegS at its
initialisation: its N eigenvalues are the real -1 .. -N, yet N / 2 complex modes reproduce a kernel
to a few parts in a thousand, because badly conditioned modes are nearly redundant.
"""

import math

import numpy as np

SLOWEST = 2.0 ** -14    # least decay per step: |A_bar| <= exp(-SLOWEST), which 16 bits can hold
FASTEST = 12.0          # most: exp(-12) is nothing
BATCH = 32              # neurons fitted together; bounds the memory of the Jacobian


def start_modes(n: int) -> list[np.ndarray]:
    """Continuous modes (n,) from which the fit starts, of systems whose time unit is 1 / dt."""
    k = np.arange(n)
    i = np.arange(2 * n)
    q = np.sqrt(2 * i + 1)
    skew = np.tril(np.outer(q, q), -1)
    imag = np.linalg.eigvals(-0.5 * (skew - skew.T)).imag
    legs = -0.5 + 1j * np.sort(imag[imag > 0])
    return [legs, 3 * legs.real + 0.6j * legs.imag, -0.5 + 1j * math.pi * k]


class _Fit:
    """State of a Levenberg-Marquardt search; mu = log A_bar and g (H, n), one neuron per row."""

    def __init__(self, mu: np.ndarray, K: np.ndarray, ridge: float):
        self.mu, self.K, self.ridge = mu, K, ridge
        self.lags = np.arange(K.shape[1])
        self._solve()

    def _solve(self) -> None:
        """The best g for these modes: linear least squares with a ridge."""
        n = self.mu.shape[1]
        self.powers = np.exp(self.mu[..., None] * self.lags)                    # (H, n, L)
        energy = (np.abs(self.powers) ** 2).sum(-1)
        self.weight = self.ridge * np.concatenate([energy, energy], 1)          # (H, 2n)
        X = np.concatenate([self.powers.real, -self.powers.imag], 1)            # (H, 2n, L)
        gram = X @ X.transpose(0, 2, 1)
        at = np.arange(2 * n)
        gram[:, at, at] += self.weight
        v = np.linalg.solve(gram, X @ self.K[..., None])[..., 0]
        self.g = v[:, :n] + 1j * v[:, n:]
        self.rest = (v[:, None] @ X)[:, 0] - self.K                             # (H, L)
        self.cost = (self.rest ** 2).sum(1) + (self.weight * v * v).sum(1)

    def step(self, damping: np.ndarray) -> "_Fit":
        """The state after one damped Gauss-Newton step in (g, log decay, angle)."""
        n = self.mu.shape[1]
        slope = self.g[..., None] * self.powers * self.lags
        J = np.concatenate([self.powers.real, -self.powers.imag,
                            slope.real * self.mu.real[..., None], -slope.imag], 1)  # (H, 4n, L)
        hessian = J @ J.transpose(0, 2, 1)
        descent = -(J @ self.rest[..., None])[..., 0]
        descent[:, :2 * n] -= self.weight * np.concatenate([self.g.real, self.g.imag], 1)
        at = np.arange(4 * n)
        hessian[:, at[:2 * n], at[:2 * n]] += self.weight
        size = hessian[:, at, at]
        hessian[:, at, at] += damping[:, None] * size + 1e-14 * size.max(1, keepdims=True)
        move = np.linalg.solve(hessian, descent[..., None])[..., 0]
        decay = np.clip(-self.mu.real * np.exp(np.clip(move[:, 2 * n:3 * n], -0.5, 0.5)),
                        SLOWEST, FASTEST)
        angle = self.mu.imag + np.clip(move[:, 3 * n:], -0.3, 0.3)
        return _Fit(-decay + 1j * angle, self.K, self.ridge)

    def take(self, other: "_Fit", better: np.ndarray) -> None:
        """Replace the rows where ``better`` (H,) by those of ``other``."""
        for name in ("mu", "g", "powers", "weight", "rest", "cost"):
            getattr(self, name)[better] = getattr(other, name)[better]


def fit(K: np.ndarray, n: int, dt: np.ndarray, ridge: float = 1e-7,
        steps: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """(A_bar, g), each (H, n), with ``sum_k Re(g_k A_bar_k^j)`` near K[:, j].

    Levenberg-Marquardt on the modes, with the best g for each (variable projection, Golub and
    Pereyra 1973), from several starts; the best of each neuron is kept. Deterministic.

    Parameters
    ----------
    K : (H, L)
        Kernels, without the part of D.
    dt : (H,)
        Time step of each neuron, by which the starts are scaled.
    ridge
        Weight of the modes' energies beside the squared error: without it modes of large g that
        cancel each other gain a little accuracy and cost the state's format many bits.
    """
    A_bar, g = (np.empty((len(K), n), complex) for _ in range(2))
    for first in range(0, len(K), BATCH):
        part = slice(first, first + BATCH)
        best = None
        for start in start_modes(n):
            half = dt[part, None] / 2 * start
            mu = np.log((1 + half) / (1 - half))                                # bilinear
            mu = np.clip(mu.real, -FASTEST, -SLOWEST) + 1j * mu.imag
            found, damping = _Fit(mu, K[part], ridge), np.full(len(mu), 1e-2)
            for _ in range(steps):
                tried = found.step(damping)
                better = tried.cost < found.cost
                found.take(tried, better)
                damping = np.clip(np.where(better, damping / 5, damping * 4), 1e-12, 1e8)
            if best is None:
                best = found
            else:
                best.take(found, found.cost < best.cost)
        A_bar[part], g[part] = np.exp(best.mu), best.g
    return A_bar, g
