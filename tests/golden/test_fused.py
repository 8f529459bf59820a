"""ClampFuse and its variants against formulas written out in NumPy."""

import math

import numpy as np
import pytest
import torch

from golden.config import NetworkConfig
from golden.fuse import Fuse

H, N = 4, 60
VARIANTS = [(residual, act) for residual in ("clampfuse", "none", "plain")
            for act in ("relu", "gelu", "identity")]


def act_of(name: str, z: np.ndarray) -> np.ndarray:
    if name == "gelu":
        return z * 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
    return np.maximum(z, 0) if name == "relu" else z


def case(residual, act):
    fuse = Fuse(NetworkConfig(n_classes=2, d_model=H, residual=residual, act=act)).double()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for name, low, high in (("gamma", -1, 1), ("beta", -0.5, 0.5), ("mean", -1, 1),
                                ("var", 0.1, 2)):
            getattr(fuse, name).copy_(torch.from_numpy(rng.uniform(low, high, H)))
    z, bias, x = rng.normal(size=(H, N)), rng.normal(size=H), rng.uniform(size=(H, N))
    return fuse, z, bias, x


def expected(fuse, z, bias, x, mean, var):
    """(x_next, p_next) by the formulas of the class's docstring."""
    gamma, beta = fuse.gamma.detach().numpy(), fuse.beta.detach().numpy()

    def norm(v):
        return (gamma[:, None] * (v - mean[:, None]) / np.sqrt(var[:, None] + 1e-5)
                + beta[:, None])
    a = act_of(fuse.act, z + bias[:, None])
    if fuse.residual == "plain":
        return x + a, np.clip(norm(x + a), 0, 1)
    p = np.clip(norm(a) + (x if fuse.residual == "clampfuse" else 0), 0, 1)
    return p, p


@pytest.mark.parametrize("residual, act", VARIANTS)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_variant(residual, act, training, masked, monkeypatch):
    fuse, z, bias, x = case(residual, act)
    fuse.train(training)
    valid = np.ones(N, bool)
    if masked:
        valid[37:] = False
    before = fuse.mean.numpy().copy(), fuse.var.numpy().copy()
    summed = act_of(act, z + bias[:, None]) + (x if residual == "plain" else 0)
    batch = summed[:, valid].mean(1), summed[:, valid].var(1)
    mean, var = batch if training else before
    monkeypatch.setattr(torch, "rand_like", lambda p, dtype=None: torch.full_like(p, 0.4))
    x_next, s = fuse(*(torch.from_numpy(v) for v in (z, bias, x)),
                     torch.from_numpy(valid.astype(float)) if masked else None)
    want_x, want_p = expected(fuse, z, bias, x, mean, var)
    np.testing.assert_allclose(x_next.detach(), want_x, atol=1e-12)
    np.testing.assert_array_equal(s.detach(), want_p > 0.4)
    moved = [0.9 * old + 0.1 * new for old, new in zip(before, batch)] if training else before
    np.testing.assert_allclose(fuse.mean, moved[0], atol=1e-12)
    np.testing.assert_allclose(fuse.var, moved[1], atol=1e-12)


def test_dropout_only_in_training():
    fuse = Fuse(NetworkConfig(n_classes=2, d_model=H, residual="none", act="identity",
                              dropout=0.5)).double()
    with torch.no_grad():
        fuse.beta.fill_(0.5)
        fuse.gamma.fill_(0.01)
    z = torch.ones(H, 1000).double()
    torch.manual_seed(0)
    dropped = fuse(z, torch.zeros(H).double(), z)[0].detach()
    assert len(dropped.unique()) == 2 * H or len(dropped[0].unique()) == 2
    kept = fuse.eval()(z, torch.zeros(H).double(), z)[0].detach()
    assert len(kept[0].unique()) == 1
