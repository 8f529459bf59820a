"""Folding: the folded network equals the golden one, draw for draw."""

import dataclasses

import numpy as np
import pytest
import torch

from golden.model.config import NetworkConfig, PaperConfig, ReleasedConfig, StreamConfig
from golden.model.network import Network
from quant.integer.ops import Mix, Scale
from quant.lower.passes import FoldError, fold
from quant.tune.qat import QuantNetwork

SHAPE = {"n_classes": 3, "n_blocks": 3, "d_model": 10, "d_state": 6}
BASE = PaperConfig(**SHAPE)
RELEASED = ReleasedConfig(**SHAPE, init="s4d_lin")


@pytest.fixture(autouse=True)
def draws_by_position(monkeypatch):
    """``torch.rand_like`` fills by memory layout, which a transposed embedding changes."""
    monkeypatch.setattr(torch, "rand_like",
                        lambda p, dtype=None: torch.rand(p.shape, dtype=p.dtype))


def trained_like(cfg: NetworkConfig, seed: int = 0) -> Network:
    """A network in evaluation mode with every folded quantity away from its start value."""
    torch.manual_seed(seed)
    net = Network(cfg).double()
    if cfg.family == "released":
        return released_like(net)
    v = (torch.randint(cfg.vocab, (4, 40)) if cfg.vocab
         else torch.rand(4, 40, dtype=torch.float64))
    net.calibrate(v)
    with torch.no_grad():
        for p in net.first.parameters():        # the norm of a plain residual
            p.add_(0.2 * torch.randn_like(p))
        for block in net.blocks:
            block.ssm.D.normal_()
        for fuse in net.norms():
            fuse.gamma.copy_(torch.randn_like(fuse.gamma))       # both signs
            fuse.gamma[0] = 0.0
            fuse.beta.add_(0.2 * torch.randn_like(fuse.beta))
            fuse.mean.normal_()
            fuse.var.uniform_(1e-3, 4)
    return net.eval()


def released_like(net: Network) -> Network:
    """The same for family released."""
    with torch.no_grad():
        for norm in net.norms():
            norm.gamma.copy_(0.4 * torch.randn_like(norm.gamma))
            norm.beta.copy_(0.4 + 0.2 * torch.randn_like(norm.beta))
            norm.mean.normal_()
            norm.var.uniform_(0.5, 4)
        for block in net.blocks:
            block.inp.a.normal_(1, 0.3)
            block.inp.b.normal_(0, 0.2)
            block.out.a.normal_(0, 1)
            block.out.b.normal_(0.4, 0.2)
    return net.eval()


CASES = {residual + "-" + act: dataclasses.replace(BASE, residual=residual, act=act)
         for residual in ("none", "clampfuse", "plain") for act in ("relu", "identity")}
CASES["tokens"] = dataclasses.replace(BASE, vocab=5)
CASES["tokens-plain"] = dataclasses.replace(BASE, vocab=5, residual="plain")
CASES["shared_A"] = dataclasses.replace(BASE, shared_A=True)
CASES["sobol"] = dataclasses.replace(BASE, sampling="sobol")
for residual in ("none", "clampfuse", "plain"):
    CASES[f"gelu-{residual}"] = dataclasses.replace(BASE, act="gelu", residual=residual,
                                                    gelu_before_sampler=True)
for residual in ("none", "plain"):
    for position in ("pre", "post"):
        CASES[f"released-{residual}-{position}"] = dataclasses.replace(
            RELEASED, residual=residual, norm_position=position)
CASES["released-relu"] = dataclasses.replace(RELEASED, act="relu", gelu_before_sampler=False)
CASES["released-tokens"] = dataclasses.replace(RELEASED, residual="none", vocab=5,
                                               gelu_before_sampler=False, norm_position="post")
for name in ("clampfuse-relu", "plain-identity", "tokens-plain", "gelu-none", "shared_A",
             "released-plain-pre", "released-none-post", "released-relu", "released-tokens"):
    CASES[f"two_sided-{name}"] = dataclasses.replace(CASES[name], kernel="two_sided")
CASES["systematic"] = dataclasses.replace(BASE, sampling="systematic", residual="none")


def p_of(record: dict) -> torch.Tensor:
    """What the output sampler of a folded block was given."""
    return record.get("p_out", record["y"])


@pytest.mark.parametrize("cfg", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("masked", [False, True], ids=["full", "lengths"])
def test_folded_equals_golden(cfg, masked):
    net = trained_like(cfg)
    B, L = 5, 75
    v = (torch.randint(cfg.vocab, (B, L)) if cfg.vocab else torch.rand(B, L, dtype=torch.float64))
    lengths = torch.tensor([75, 1, 33, 74, 60]) if masked else None
    expected, got, folded = [], [], QuantNetwork(fold(net))
    with torch.no_grad():
        torch.manual_seed(7)
        logits = net(v, lengths, record=expected)
        torch.manual_seed(7)
        folded_logits = folded(v, lengths, record=got)
    for j, (e, g) in enumerate(zip(expected, got, strict=True)):
        assert torch.equal(e["s_in"], g["s_in"]), f"layer {j}: input spikes"
        assert torch.equal(e["s_out"], g["s_out"]), f"layer {j}: output spikes"
        assert 0.02 < float(e["s_out"].mean()) < 0.98
        # golden records the clamped probability in single precision
        torch.testing.assert_close(p_of(g).clamp(0, 1).float(), e["p"].float(), rtol=0, atol=1e-6)
    torch.testing.assert_close(folded_logits, logits, rtol=0, atol=1e-9)


@pytest.mark.parametrize("cfg", [
    CASES["clampfuse-relu"], CASES["plain-relu"], CASES["two_sided-clampfuse-relu"]],
    ids=["p", "x", "two_sided"])
def test_probabilities_to_1e_10(cfg):
    """Per block in float64: y + b, the drive of the output sampler."""
    net = trained_like(cfg)
    expected, got, folded = [], [], QuantNetwork(fold(net))
    for block in net.blocks:
        block.ssm.register_forward_hook(lambda module, args, y: expected.append(y))
    v = torch.rand(2, 60, dtype=torch.float64)
    with torch.no_grad():
        torch.manual_seed(3)
        net(v)
        torch.manual_seed(3)
        folded(v, record=got)
    for block, y, g in zip(net.blocks, expected, got, strict=True):
        p = (y + block.out.b[:, None]).reshape(len(y), 60, 2).permute(2, 1, 0)
        torch.testing.assert_close(p_of(g), p, rtol=0, atol=1e-10)


@pytest.mark.parametrize("option, value", [("sampling", "mean"), ("norm", "layer"),
                                           ("pair", True)])
def test_refuses_what_hardware_has_not(option, value):
    cfg = dataclasses.replace(RELEASED, **{option: value})
    with pytest.raises(FoldError, match=f"{option} = {value}.*the hardware needs"):
        fold(Network(cfg))


@pytest.mark.parametrize("cfg, text", [
    (dataclasses.replace(RELEASED, branch=True), "block 0 of .* a second branch .Concat., which"),
    (StreamConfig(**SHAPE, neuron="gelu", mixer="linear"), "neuron = gelu and mixer = linear")])
def test_refusals_name_the_step(cfg, text):
    with pytest.raises(FoldError, match=text) as error:
        fold(Network(cfg))
    assert "\n" not in str(error.value)


def test_refuses_dplr_and_names_the_way():
    cfg = dataclasses.replace(RELEASED, init="hippo_legs")
    with pytest.raises(FoldError, match="init = hippo_legs.*quant.diagonalise"):
        fold(Network(cfg))


def test_refuses_tensors_that_are_not_finite():
    net = trained_like(BASE)
    with torch.no_grad():
        net.blocks[1].fuse.var[2] = float("nan")
    with pytest.raises(FoldError, match=r"layer 1, Mix .*, w: 10 of 100 values are not finite"):
        fold(net)


def test_refuses_a_mode_that_does_not_decay():
    net = trained_like(BASE)
    with torch.no_grad():
        net.blocks[2].ssm.log_A_re[1, 0] = -200.0
    with pytest.raises(FoldError, match=r"layer 2, A_bar: 1 of 30 modes"):
        fold(net)


def test_a_scale_of_zero_silences_its_row():
    for ops in fold(trained_like(BASE)).blocks:
        mix = next(op for op in ops if isinstance(op, Mix))
        sign, addend = (op for op in ops[ops.index(mix):] if isinstance(op, Scale))
        assert not mix.w.raw[0].any() and mix.bias.raw[0] == 0 and mix.w.raw[1:].any(1).all()
        assert set(sign.a.raw) == {-1, 1} and sign.b is addend.a is None
        assert np.isfinite(addend.b.raw).all()
