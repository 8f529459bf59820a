"""ClampFuse and its variants against formulas written out in NumPy."""

import math

import numpy as np
import pytest
import torch

from golden.model.columns import Columns
from golden.model.config import LIFConfig, PaperConfig
from golden.model.block import Block
from golden.model.families import Paper
from golden.model.fused import ClampFuse, program
from golden.model.network import Network
from golden.model.ops import Pass

H, N = 4, 60
VARIANTS = [(residual, act) for residual in ("clampfuse", "none", "plain")
            for act in ("relu", "gelu", "identity")]


def act_of(name: str, z: np.ndarray) -> np.ndarray:
    if name == "gelu":
        return z * 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
    return np.maximum(z, 0) if name == "relu" else z


def mixing(H: int, residual: str, act: str = "relu", dropout: float = 0.0) -> Block:
    """The steps behind the output sampler, the next one included; W is the identity, bias 0."""
    cfg = PaperConfig(n_classes=2, d_model=H, residual=residual, act=act, dropout=dropout)
    block = Block(Paper.mixing(cfg) | {"fire": Paper.block(cfg, 0)["fire"]})
    with torch.no_grad():
        block.mixer.weight.copy_(torch.eye(H))
        block.mixer.bias.zero_()
    return block


def run(block: Block, z: torch.Tensor, x: torch.Tensor, valid: torch.Tensor | None = None
        ) -> tuple[torch.Tensor, torch.Tensor]:
    """(x_next, s) from the mixer's product z and from x, (H, N), as in a network."""
    columns = Columns(torch.zeros(1, z.shape[1]), None, (z.shape[1], 1))
    now = Pass(columns, z.dtype, z.dtype, "bernoulli")
    now.valid = valid
    values = {"s_out": z, "x": x}
    for step in program(block):
        step.run(values, now)
    return values["x"], values["s"]


def case(residual, act):
    block = mixing(H, residual, act).double()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for name, low, high in (("gamma", -1, 1), ("beta", -0.5, 0.5), ("mean", -1, 1),
                                ("var", 0.1, 2)):
            getattr(block.fuse, name).copy_(torch.from_numpy(rng.uniform(low, high, H)))
        z, bias, x = rng.normal(size=(H, N)), rng.normal(size=H), rng.uniform(size=(H, N))
        block.mixer.bias.copy_(torch.from_numpy(bias))
    return block, z, bias, x


def expected(residual, act, fuse, z, bias, x, mean, var):
    """(x_next, p_next) by the formulas of ``golden.model.families``."""
    gamma, beta = fuse.gamma.detach().numpy(), fuse.beta.detach().numpy()

    def norm(v):
        return (gamma[:, None] * (v - mean[:, None]) / np.sqrt(var[:, None] + 1e-5)
                + beta[:, None])
    a = act_of(act, z + bias[:, None])
    if residual == "plain":
        return x + a, np.clip(norm(x + a), 0, 1)
    p = np.clip(norm(a) + (x if residual == "clampfuse" else 0), 0, 1)
    return p, p


@pytest.mark.parametrize("residual, act", VARIANTS)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_variant(residual, act, training, masked, monkeypatch):
    block, z, bias, x = case(residual, act)
    fuse = block.train(training).fuse
    valid = np.ones(N, bool)
    if masked:
        valid[37:] = False
    before = fuse.mean.numpy().copy(), fuse.var.numpy().copy()
    summed = act_of(act, z + bias[:, None]) + (x if residual == "plain" else 0)
    batch = summed[:, valid].mean(1), summed[:, valid].var(1)
    mean, var = batch if training else before
    monkeypatch.setattr(torch, "rand_like", lambda p, dtype=None: torch.full_like(p, 0.4))
    x_next, s = run(block, torch.from_numpy(z), torch.from_numpy(x),
                    torch.from_numpy(valid.astype(float)) if masked else None)
    want_x, want_p = expected(residual, act, fuse, z, bias, x, mean, var)
    np.testing.assert_allclose(x_next.detach(), want_x, atol=1e-12)
    np.testing.assert_array_equal(s.detach(), want_p > 0.4)
    moved = [0.9 * old + 0.1 * new for old, new in zip(before, batch)] if training else before
    np.testing.assert_allclose(fuse.mean, moved[0], atol=1e-12)
    np.testing.assert_allclose(fuse.var, moved[1], atol=1e-12)


def test_dropout_only_in_training():
    block = mixing(H, "none", "identity", 0.5).double()
    with torch.no_grad():
        block.fuse.beta.fill_(0.5)
        block.fuse.gamma.fill_(0.01)
    z = torch.ones(H, 1000).double()
    torch.manual_seed(0)
    dropped = run(block, z, z)[0].detach()
    assert len(dropped.unique()) == 2 * H or len(dropped[0].unique()) == 2
    kept = run(block.eval(), z, z)[0].detach()
    assert len(kept[0].unique()) == 1


@pytest.mark.parametrize("cls, options, fused", [
    (PaperConfig, {}, True), (PaperConfig, {"residual": "none"}, True),
    (PaperConfig, {"dropout": 0.1, "kernel": "two_sided", "gelu_before_sampler": True}, True),
    (LIFConfig, {}, True), (LIFConfig, {"drive": "spikes", "residual": "none"}, True),
    (PaperConfig, {"residual": "plain"}, False), (PaperConfig, {"act": "gelu"}, False),
    (LIFConfig, {"residual": "plain"}, False), (LIFConfig, {"act": "identity"}, False)],
    ids=str)
def test_which_blocks_are_fused(cls, options, fused):
    net = Network(cls(n_classes=2, d_model=3, **options))
    for block in net.blocks:
        steps = program(block)
        assert isinstance(steps[-1], ClampFuse) is fused
        whole = [*steps[:-1], *steps[-1].steps] if fused else steps
        assert whole == block.steps
