"""LIF kernels equal the plain loop in float64, forward and backward; corners by hand."""

from dataclasses import fields
from itertools import product

import numpy as np
import pytest
import torch

from golden.model import lif
from golden.model.columns import Columns
from golden.model.config import LIFConfig, PaperConfig, from_dict
from golden.model.network import Network
from golden.model.neurons import SURROGATES
from golden.tasks import make_task
from golden.training.recipes import recipe_for

CHUNKS = (5, 3, 2)          # C, M, B: 15 steps of two sequences


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("subtract, through_reset, surrogate",
                         list(product((True, False), (True, False), SURROGATES)))
def test_kernels_equal_plain_autograd_in_float64(subtract, through_reset, surrogate):
    gen = torch.Generator().manual_seed(1)
    x = torch.randn(4, 30, generator=gen, dtype=torch.float64) * 0.8 + 0.2
    alpha = torch.tensor([0.0, 0.5, 0.9, 0.999], dtype=torch.float64)
    weight = torch.randn(4, 30, generator=gen, dtype=torch.float64)
    results = []
    for function in (lif.lif, lif.stepped):
        x_, alpha_ = x.clone().requires_grad_(), alpha.clone().requires_grad_()
        s, u = function(x_, alpha_, 0.7, subtract, surrogate, 0.6, through_reset, chunks=CHUNKS)
        (s * weight).sum().backward()
        results.append((s.detach(), u.detach(), x_.grad, alpha_.grad))
    assert 0.1 < results[0][0].mean() < 0.9
    for mine, plain in zip(*results):
        torch.testing.assert_close(mine, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("grid", [(16.0, -9.0, 14.0), (4.0, -100.0, 100.0)], ids=str)
@pytest.mark.parametrize("subtract", [True, False])
def test_membranes_on_a_grid(subtract, grid):
    """Kernels equal the plain loop, gradients pass where rounded and saturated; ties to even."""
    gen = torch.Generator().manual_seed(3)
    x = torch.randn(3, 30, generator=gen, dtype=torch.float64)
    alpha = torch.tensor([0.0, 0.5, 0.999], dtype=torch.float64)
    results = []
    for function in (lif.lif, lif.stepped):
        x_, alpha_ = x.clone().requires_grad_(), alpha.clone().requires_grad_()
        s, u = function(x_, alpha_, 0.5, subtract, "triangle", 0.6, True, CHUNKS, grid)
        (s * x).sum().backward()
        results.append((s.detach(), u.detach(), x_.grad, alpha_.grad))
    for mine, plain in zip(*results):
        torch.testing.assert_close(mine, plain, rtol=1e-12, atol=1e-12)
    u = results[0][1] * grid[0]
    assert torch.equal(u, u.round()) and ((u == grid[1]) | (u == grid[2])).any() == (grid[0] == 16)
    halves = torch.tensor([[0.125, 0.375, -0.125, -0.375]], dtype=torch.float64)
    _, u = lif.lif(halves, 0 * halves[:, 0], chunks=(4, 1, 1), grid=(4.0, -9.0, 9.0))
    assert u.tolist() == [[0, 0.5, 0, -0.5]]


def test_corners_by_hand():
    """Quarter steps are exact: a spike at the threshold itself, the rest kept or lost."""
    x = torch.tensor([[0.5, 0.5, 0.75, 0.5, -1.0, 0.0, 3.0, 0.0, 0.0]])
    one = torch.ones(1)
    s, u = lif.lif(x, one)
    assert s.tolist() == [[0, 1, 0, 1, 0, 0, 1, 1, 0]]
    assert u.tolist() == [[0.5, 1, 0.75, 1.25, -0.75, -0.75, 2.25, 1.25, 0.25]]
    s, u = lif.lif(x, one, subtract=False)
    assert s.tolist() == [[0, 1, 0, 1, 0, 0, 1, 0, 0]]
    assert u.tolist() == [[0.5, 1, 0.75, 1.25, -1, -1, 2, 0, 0]]
    s, u = lif.lif(x, 0.5 * one, theta=0.75)
    assert u.tolist()[0][:3] == [0.5, 0.75, 0.75] and s.tolist()[0][:3] == [0, 1, 1]


def test_order_of_chunks_changes_nothing():
    gen = torch.Generator().manual_seed(2)
    v = torch.rand(2, 15, generator=gen)
    whole, cut = (Columns(v, None, chunks) for chunks in ((15, 1), CHUNKS[:2]))
    alpha = torch.tensor([0.8])
    s, t = (c.rows(lif.lif(c.of(v)[None], alpha, chunks=c.shape)[0]) for c in (whole, cut))
    assert s.sum() > 0 and torch.equal(s, t)


def config(**options) -> LIFConfig:
    size = {} if options.get("drive") == "spikes" else {"d_state": 4}
    return LIFConfig(n_classes=3, n_blocks=2, d_model=6, dt_min=0.05, dt_max=0.5, **size, **options)


@pytest.mark.parametrize("residual, drive, kernel", [
    ("none", "spikes", "causal"), ("clampfuse", "spikes", "causal"), ("plain", "spikes", "causal"),
    ("clampfuse", "ssm", "causal"), ("clampfuse", "ssm", "two_sided")])
def test_network_runs_and_every_parameter_gets_a_gradient(residual, drive, kernel):
    torch.manual_seed(0)
    net = Network(config(residual=residual, drive=drive, kernel=kernel))
    v = torch.rand(16, 64)
    net.calibrate(v)
    record = []
    net(v, record=record).square().sum().backward()
    assert [sorted(block) for block in record] == [["membrane", "s_in", "s_out"]] * 2
    for block in record:
        assert block["s_out"].shape == (16, 64, 6)
        assert torch.equal(block["s_out"], (block["membrane"] >= 1).float())
        assert 0.1 < block["s_out"].mean() < 0.6
    assert net.parameter_count() == sum(p.grad is not None and p.numel()
                                        for p in net.parameters())


@pytest.mark.parametrize("kernel", ["causal", "two_sided"])
def test_padding_changes_nothing(kernel):
    torch.manual_seed(0)
    net = Network(config(kernel=kernel)).eval()
    v = torch.rand(3, 40)
    net.calibrate(v)
    lengths = torch.tensor([40, 25, 7])
    together = net(v, lengths)
    alone = torch.cat([net(v[k:k + 1, :n]) for k, n in enumerate(lengths.tolist())])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrong, says", [
    ({"reset": "none"}, "reset must be one of subtract, zero"),
    ({"threshold": 0.0}, "threshold must be above 0, not 0.0"),
    ({"surrogate_width": -1.0}, "surrogate_width must be above 0, not -1.0"),
    ({"sampling": "sobol"}, "unknown option sampling of a network of family lif"),
    ({"gelu_before_sampler": True}, "unknown option gelu_before_sampler"),
    ({"kernel": "two_sided", "drive": "spikes"}, "kernel = two_sided has no effect with drive = "
                                                 "spikes: it is used with drive ssm"),
    ({"init": "hippo_legs"}, "init must be one of s4d_lin, s4d_inv, s4d_legs in family lif"),
    ({"norm": "layer"}, "unknown option norm"), ({"mixer": "glu"}, "unknown option mixer")])
def test_options_that_do_not_fit_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        from_dict({"family": "lif", "n_classes": 3} | wrong)


def test_ssm_drive_differs_from_p_spikessm_in_the_neurons_alone():
    """Parameters beyond those of the sampler network: a decay for each of the two neurons."""
    lif_ssm = recipe_for(make_task("digits"), "digits_lif").network
    shared = {f.name: getattr(lif_ssm, f.name) for f in fields(PaperConfig)
              if hasattr(lif_ssm, f.name)}
    sampler = Network(PaperConfig(**shared))
    H = lif_ssm.d_model
    extra = Network(lif_ssm).parameter_count() - sampler.parameter_count()
    assert extra == 2 * 2 * H


def test_columns_go_there_and_back():
    v = torch.arange(1, 27).reshape(2, 13)
    columns = Columns(v, torch.tensor([13, 4]), (5, 3))
    flat = columns.of(v)
    assert torch.equal(columns.rows(flat[None].float())[:, :, 0], v.float())
    C, M, B = columns.shape
    assert flat[(2 * M + 1) * B + 1] == v[1, 1 * C + 2]
    expected = [[v[0].double().mean()], [v[1, :4].double().mean()]]
    np.testing.assert_allclose(columns.mean(flat[None].float(), torch.float64), expected)
