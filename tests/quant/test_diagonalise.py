"""DPLR layers as modes: exact where that is sound, fitted elsewhere, and the command."""

import numpy as np
import pytest
import torch

from golden import checkpoint, tasks
from golden.model.config import from_dict
from golden.model.dplr import Dense
from golden.model.network import Network
from quant import diagonalise
from quant.lower.diagonalise import changed_spikes, network as modes_network
from quant.lower.modes import (CONDITION, DiagonaliseError, dense_kernel, diagonal, merge,
                               modes_kernel, reach)


def network(spread: float, seed: int = 0, d_state: int = 8, H: int = 6, shared=True, **changes):
    """A causal network whose A, B and P differ from HiPPO-LegS by a relative ``spread``."""
    torch.manual_seed(seed)
    options = dict(family="released", n_classes=10, d_model=H, d_state=d_state, init="hippo_legs",
                   shared_A=shared) | changes
    net = Network(from_dict(options)).eval()
    with torch.no_grad():
        for block in net.blocks:
            for p in (block.ssm.log_A_re, block.ssm.A_im, block.ssm.P, block.ssm.B):
                p.mul_(1 + spread * torch.randn_like(p))
            if block.ssm.a is None:
                block.out.a.normal_(1, 0.3)
                block.out.b.fill_(0.3)
    return net


def found_in(net, steps=64, **options):
    ssm = net.blocks[0].ssm
    return diagonal(ssm.dense(), steps, ssm.dt().detach().numpy(), **options)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "per_neuron"])
def test_perturbed_is_exact(shared):
    net = network(0.3, shared=shared).double()
    layer = found_in(net, largest=np.inf)
    assert not layer.fitted.any() and layer.condition.max() < CONDITION
    assert layer.error.max() < 1e-10 and (np.abs(layer.A_bar) < 1).all()
    K = dense_kernel(net.blocks[0].ssm.dense(), 64)
    np.testing.assert_allclose(modes_kernel(layer.A_bar, layer.g[0], 64), K, atol=1e-12)
    with torch.no_grad():
        convolution = net.blocks[0].ssm.kernels(64)[0].numpy()
    np.testing.assert_allclose(K, convolution, atol=1e-9)


def test_conjugate_pairs_become_one_mode():
    layer = found_in(network(0.3), largest=np.inf)
    assert layer.A_bar.shape[1] < 8 and (layer.A_bar.imag >= 0).all()


def test_merge_keeps_reals_apart_and_adds_pairs():
    a = np.array([[0.5 + 0.2j, 0.9, 0.5 - 0.2j, -0.3]])
    g = np.array([[1 + 2j, 3.0, 1 - 2j, 4.0]])
    A_bar, merged = merge(a, g)
    np.testing.assert_array_equal(A_bar[0], [0.5 + 0.2j, 0.9, -0.3])
    np.testing.assert_array_equal(merged[0], [2 + 4j, 3, 4])


def test_states_much_larger_than_the_output_are_fitted():
    net = network(0.3, seed=2, H=12)
    exact, layer = (found_in(net, largest=largest) for largest in (np.inf, 4.0))
    before, after = (reach(one.A_bar, one.g[0], 64) for one in (exact, layer))
    np.testing.assert_array_equal(layer.fitted, before > 4)
    assert 0 < layer.fitted.sum() < 12 and after[layer.fitted].max() < before.max() / 2
    np.testing.assert_array_equal(layer.g[0][~layer.fitted], exact.g[0][~layer.fitted])
    assert 1e-9 < layer.error.max() < 5e-3


def test_reach_of_one_mode():
    A_bar, g = np.array([[0.5 + 0j]]), np.array([[-3.0 + 0j]])
    assert reach(A_bar, g, 60) == pytest.approx(1)
    two = np.array([[0.5 + 0j, 0.5]]), np.array([[-3.0 + 4j, 2.5]])
    assert reach(*two, 60) == pytest.approx(8)      # of the imaginary part; the sum is -1 at most


@pytest.mark.parametrize("d_state", [8, 12])
def test_legs_is_fitted(d_state):
    layer = found_in(network(0.0, d_state=d_state), steps=48)
    assert layer.fitted.all() and layer.condition.min() > CONDITION
    assert layer.A_bar.shape == (6, d_state // 2)
    assert 1e-9 < layer.error.max() < 1e-2
    row = layer.report()
    assert row["fitted"] == 6 and row["error_rms"] <= row["error_max"]


def test_more_modes_fit_better():
    net = network(0.0)
    assert found_in(net, 48, count=7).error.max() < found_in(net, 48).error.max() / 2


def test_singular_eigenvectors_are_fitted():
    """A Jordan block has no eigenvectors to divide by."""
    A_bar = torch.tensor([[[0.9, 1.0], [0.0, 0.9]]], dtype=torch.complex128)
    ones = torch.ones(1, 2, dtype=torch.complex128)
    layer = diagonal(Dense(A_bar, 0.1 * ones, ones, torch.zeros(1)), 40, np.full(1, 0.1), count=2)
    assert layer.fitted.all() and layer.error.max() < 1e-2


@pytest.mark.parametrize("value, words", [(1.01, "neuron 0 has 1.01"),
                                          (float("nan"), "not finite")])
def test_unstable_or_not_finite_is_refused(value, words):
    one = torch.ones(1, 1, dtype=torch.complex128)
    with pytest.raises(DiagonaliseError, match=words):
        diagonal(Dense(value * one[..., None], one, one, torch.zeros(1)), 8, np.ones(1))


def test_a_branch_is_refused():
    with pytest.raises(DiagonaliseError, match="branch = True; integers need a network without"):
        modes_network(network(0.3, branch=True), 16)


def test_the_network_spikes_alike():
    net = network(0.3, H=8)
    made, layers = modes_network(net, 40)
    assert not made.cfg.dplr and made.cfg.n_modes == layers[0].A_bar.shape[1]
    x = torch.rand(2, 40, 8, generator=torch.Generator().manual_seed(1))
    changes = changed_spikes(net, made, x)
    assert sum(c["s_in"] + c["s_out"] for c in changes) <= 2        # the fitted ones
    with torch.no_grad():                          # and a real difference is seen
        made.blocks[0].ssm.D += 0.5
    changes = changed_spikes(net, made, x)
    assert changes[0]["s_in"] == 0 < changes[0]["s_out"] < changes[0]["of"] == 2 * 40 * 8


@pytest.mark.parametrize("vocab", [0, 5])
def test_the_paper_s_family_too(vocab):
    """Its state space model has the sampler's scale a, which the dense form includes."""
    net = network(0.3, H=8, family="paper", vocab=vocab)
    with torch.no_grad():
        for block in net.blocks:
            block.ssm.a.uniform_(0.5, 2)
    made, layers = modes_network(net, 40)
    assert made.cfg.family == "paper" and (made.blocks[1].ssm.a == 1).all()
    v = torch.randint(5, (2, 40)) if vocab else torch.rand(2, 40)
    changes = changed_spikes(net, made, v)
    assert sum(c["s_in"] + c["s_out"] for c in changes) <= 2
    with torch.no_grad():
        made.blocks[0].ssm.a += 0.5
    assert changed_spikes(net, made, v)[0]["s_out"] > 10


@pytest.mark.parametrize("family", ["released", "paper"])
def test_two_sided_kernels_share_their_modes(family):
    """Exact ones to rounding, with both sides' gains; fitted ones as well as causal ones."""
    net = network(0.3, H=8, seed=1, family=family, kernel="two_sided").double()
    ssm = net.blocks[0].ssm
    sides = [ssm.dense(future=bool(k)) for k in range(2)]
    for largest, limit in ((np.inf, 1e-12), (0.0, 5e-3)):
        layer = diagonal(sides[0], 64, ssm.dt().detach().numpy(), largest=largest, future=sides[1])
        assert layer.g.shape == (2, *layer.A_bar.shape)
        assert layer.fitted.sum() == (0 if largest else 8)
        for g, side in zip(layer.g, sides):
            K = dense_kernel(side, 64)
            np.testing.assert_allclose(modes_kernel(layer.A_bar, g, 64), K, rtol=0,
                                       atol=limit * np.abs(K).max())
    made, layers = modes_network(net, 40)
    assert made.cfg.kernel == "two_sided" and not made.cfg.dplr
    x = torch.rand(2, 40, 8) if family == "released" else torch.rand(2, 40)
    changes = changed_spikes(net, made, x)
    assert sum(c["s_in"] + c["s_out"] for c in changes) <= 2
    with torch.no_grad():
        made.blocks[0].ssm.C_future *= 1.5
    assert changed_spikes(net, made, x)[0]["s_out"] > 2


def test_layers_get_equally_many_modes():
    net = network(0.0, H=4)
    net.blocks[1] = network(0.3, H=4).blocks[0]     # that one has real eigenvalues too
    made, layers = modes_network(net, 32)
    assert layers[0].fitted.all() and not layers[1].fitted.all()
    assert layers[0].A_bar.shape == layers[1].A_bar.shape
    assert max(layer.error.max() for layer in layers) < 1e-2


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["quant.diagonalise", *map(str, arguments)])
    diagonalise.main()


def test_command(tmp_path, monkeypatch, capsys):
    net, task = network(0.0, H=4), tasks.make_task("digits")
    checkpoint.save(tmp_path / "dense.pt", net, task, {})
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random((2, 64, 4)))
    run(monkeypatch, "--checkpoint", tmp_path / "dense.pt", "--out", tmp_path / "diagonal.pt",
        "--inputs", tmp_path / "x.npz", "--modes", 5)
    out = capsys.readouterr().out
    assert "layer 1: 5 modes; eigenvector condition" in out and "4 of 4 neurons fitted" in out
    assert "of 512 each" in out and "quant.finetune" in out
    made = checkpoint.load(tmp_path / "diagonal.pt")
    assert not made.network.cfg.dplr and made.info["diagonal"][0]["modes"] == 5
    with pytest.raises(DiagonaliseError, match="diagonal already"):
        run(monkeypatch, "--checkpoint", tmp_path / "diagonal.pt")
    np.savez(tmp_path / "wrong.npz", x=np.zeros((2, 64, 5)))
    np.savez(tmp_path / "inf.npz", x=np.full((2, 64, 4), np.inf))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:-90])
    for name, words in (("wrong.npz", r"takes \(B, L, 4\)"), ("dense.pt", "not an npz file"),
                        ("inf.npz", "not finite"), ("cut.npz", "not an npz file")):
        with pytest.raises(DiagonaliseError, match=words):
            run(monkeypatch, "--checkpoint", tmp_path / "dense.pt", "--inputs", tmp_path / name)
