"""Modes fitted to kernels."""

import numpy as np

from quant.lower.kernel_fit import SLOWEST, fit, start_modes


def fitted(K, *args, **options):
    """Of one kernel of each neuron."""
    A_bar, g = fit(K[:, None], *args, **options)
    return A_bar, g[:, 0]


def kernels(A_bar, g, steps):
    return (g[..., None] * A_bar[..., None] ** np.arange(steps)).sum(1).real


def legs(N: int, H: int, steps: int):
    """Kernels of HiPPO-LegS with random C, exactly, in its real lower triangular form."""
    rng = np.random.default_rng(N)
    q = np.sqrt(2 * np.arange(N) + 1)
    A = -np.tril(np.outer(q, q), -1) - np.diag(np.arange(N) + 1.0)
    dt = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), H))
    K = np.empty((H, steps))
    for i, C in enumerate(rng.standard_normal((H, N))):
        left = np.linalg.inv(np.eye(N) - dt[i] / 2 * A)
        A_bar, h = left @ (np.eye(N) + dt[i] / 2 * A), left @ q * dt[i]
        for j in range(steps):
            K[i, j], h = C @ h, A_bar @ h
    return K, dt


def relative(K, other):
    return np.sqrt(((K - other) ** 2).sum(1) / (K ** 2).sum(1))


def test_finds_modes_that_are_there():
    """Kernels of two modes each, which no start has: only the ridge is left."""
    rng = np.random.default_rng(0)
    dt = np.full(5, 0.05)
    A = -rng.uniform(0.4, 2, (5, 2)) + 1j * rng.uniform(0.5, 6, (5, 2))
    A_bar = np.exp(dt[:, None] * A)
    g = rng.standard_normal((5, 2)) + 1j * rng.standard_normal((5, 2))
    K = kernels(A_bar, g, 80)
    found = fitted(K, 2, dt, ridge=1e-12)
    assert relative(K, kernels(*found, 80)).max() < 1e-4


def test_legs_with_half_its_states():
    K, dt = legs(8, 6, 96)
    A_bar, g = fitted(K, 4, dt)
    assert A_bar.shape == g.shape == (6, 4)
    assert relative(K, kernels(A_bar, g, 96)).max() < 1e-2
    assert np.abs(A_bar).max() < np.exp(-SLOWEST) + 1e-12


def test_the_ridge_bounds_the_modes():
    K, dt = legs(8, 6, 96)
    loose, tight = (np.abs(fitted(K, 4, dt, ridge)[1]).max() for ridge in (1e-10, 1e-5))
    assert tight < loose / 2


def test_rows_do_not_depend_on_each_other():
    K, dt = legs(8, 40, 32)            # more than one batch
    whole, alone = fitted(K, 2, dt, steps=5), fitted(K[35:36], 2, dt[35:36], steps=5)
    for a, b in zip(whole, alone):
        np.testing.assert_allclose(a[35:36], b, rtol=1e-6)


def test_starts_decay():
    assert all(len(start) == 3 and (start.real < 0).all() for start in start_modes(3))
