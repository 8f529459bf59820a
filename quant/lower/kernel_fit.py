"""A diagonal state space model fitted to given convolution kernels, one or several of a neuron.

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
    """State of a Levenberg-Marquardt search; mu = log A_bar (H, n), g (H, S, n) of S kernels."""

    def __init__(self, mu: np.ndarray, K: np.ndarray, ridge: float):
        self.mu, self.K, self.ridge = mu, K, ridge
        self.lags = np.arange(K.shape[2])
        self._solve()

    def _solve(self) -> None:
        """The best g for these modes: linear least squares with a ridge."""
        n = self.mu.shape[1]
        self.powers = np.exp(self.mu[..., None] * self.lags)                    # (H, n, L)
        energy = (np.abs(self.powers) ** 2).sum(-1)
        self.weight = self.ridge * np.concatenate([energy, energy], 1)[:, None]     # (H, 1, 2n)
        X = np.concatenate([self.powers.real, -self.powers.imag], 1)            # (H, 2n, L)
        gram = X @ X.transpose(0, 2, 1)
        at = np.arange(2 * n)
        gram[:, at, at] += self.weight[:, 0]
        v = np.linalg.solve(gram, X @ self.K.swapaxes(1, 2)).swapaxes(1, 2)     # (H, S, 2n)
        self.g = v[..., :n] + 1j * v[..., n:]
        self.rest = v @ X - self.K                                              # (H, S, L)
        self.cost = (self.rest ** 2).sum((1, 2)) + (self.weight * v * v).sum((1, 2))

    def step(self, damping: np.ndarray) -> "_Fit":
        """The state after one damped Gauss-Newton step in (g, log decay, angle)."""
        (H, n), (_, S, L), gains = self.mu.shape, self.K.shape, 2 * self.mu.shape[1]
        J = np.zeros((H, S * gains + 2 * n, S, L))      # a kernel has gains of its own, no others
        for s in range(S):
            slope = self.g[:, s, :, None] * self.powers * self.lags
            J[:, s * gains:s * gains + n, s] = self.powers.real
            J[:, s * gains + n:(s + 1) * gains, s] = -self.powers.imag
            J[:, -2 * n:-n, s] = slope.real * self.mu.real[..., None]
            J[:, -n:, s] = -slope.imag
        J = J.reshape(H, -1, S * L)
        hessian = J @ J.transpose(0, 2, 1)
        descent = -(J @ self.rest.reshape(H, S * L, 1))[..., 0]
        descent[:, :-2 * n] -= (self.weight * np.concatenate([self.g.real, self.g.imag], 2)
                                ).reshape(H, -1)
        at = np.arange(S * gains + 2 * n)
        hessian[:, at[:-2 * n], at[:-2 * n]] += np.tile(self.weight[:, 0], S)
        size = hessian[:, at, at]
        hessian[:, at, at] += damping[:, None] * size + 1e-14 * size.max(1, keepdims=True)
        move = np.linalg.solve(hessian, descent[..., None])[..., 0]
        decay = np.clip(-self.mu.real * np.exp(np.clip(move[:, -2 * n:-n], -0.5, 0.5)),
                        SLOWEST, FASTEST)
        angle = self.mu.imag + np.clip(move[:, -n:], -0.3, 0.3)
        return _Fit(-decay + 1j * angle, self.K, self.ridge)

    def take(self, other: "_Fit", better: np.ndarray) -> None:
        """Replace the rows where ``better`` (H,) by those of ``other``."""
        for name in ("mu", "g", "powers", "weight", "rest", "cost"):
            getattr(self, name)[better] = getattr(other, name)[better]


def fit(K: np.ndarray, n: int, dt: np.ndarray, ridge: float = 1e-7,
        steps: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """(A_bar (H, n), g (H, S, n)), with ``sum_k Re(g_sk A_bar_k^j)`` near K[:, s, j].

    Levenberg-Marquardt on the modes, with the best g for each (variable projection, Golub and
    Pereyra 1973), from several starts; the best of each neuron is kept. Deterministic.

    Parameters
    ----------
    K : (H, S, L)
        Kernels, without the part of D, S of each neuron with the same modes.
    dt : (H,)
        Time step of each neuron, by which the starts are scaled.
    ridge
        Weight of the modes' energies beside the squared error: without it modes of large g that
        cancel each other gain a little accuracy and cost the state's format many bits.
    """
    A_bar, g = np.empty((len(K), n), complex), np.empty((*K.shape[:2], n), complex)
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
