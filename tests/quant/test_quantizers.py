"""Grids and Brevitas quantisers: on the grid, saturated, straight through."""

import numpy as np
import pytest
import torch
from torch.nn.functional import linear as product

from quant.integer import curves as integer_gelu
from golden.base.qformat import SQ
from quant.tune.quantizers import (fixed_quantizer, gelu, grid, linear, mixer_quantizer, round_to,
                                   unit_disc, weight_of)


def test_grid_rounds_half_to_even_and_saturates():
    fmt = SQ(2, 2)                                  # -2 .. 1.75 in quarters
    x = torch.tensor([-9.0, -2.0, -0.375, -0.125, 0.0, 0.125, 0.375, 0.6, 1.74, 1.9, 9.0],
                     dtype=torch.float64, requires_grad=True)
    y = grid(x, fmt)
    assert y.tolist() == [-2, -2, -0.5, 0, 0, 0, 0.5, 0.5, 1.75, 1.75, 1.75]
    y.sum().backward()
    assert (x.grad == 1).all()
    assert round_to(torch.tensor([0.125, 0.375, 100.3]), 2).tolist() == [0.0, 0.5, 100.25]


@pytest.mark.parametrize("bits", [8, 16, 18])
def test_unit_disc_on_every_edge(bits):
    """Moduli up to 1 in every direction: strictly inside on integers, within 2 LSB, never 0."""
    fmt = SQ(1, bits - 1)
    one = 2.0 ** fmt.f_bits
    radius = torch.cat([torch.tensor([1.0, 1 - 1e-9, 1 - 0.4 / one, 1 - 1.1 / one, 0.5, 1e-9]),
                        torch.rand(20)]).double()
    angle = torch.cat([torch.linspace(-np.pi, np.pi, 9), torch.rand(200) * 6.3]).double()
    A = torch.polar(*torch.broadcast_tensors(radius[:, None], angle[None])).contiguous()
    A.requires_grad_(True)
    got = unit_disc(A, fmt)
    raw = torch.view_as_real(got.detach()) * one
    assert torch.equal(raw, raw.round())
    assert (raw.square().sum(-1) < one * one).all()
    assert (raw != 0).any(-1).all()
    error = (torch.view_as_real(got - A).detach() * one).abs()
    assert error.max() <= 2.0 + 1e-6
    inside = A.detach().abs() < 1 - 2 / one
    nearest = torch.view_as_real(A.detach()).mul(one).round()
    settled = inside & (nearest != 0).any(-1)
    assert settled.sum() > 1000 and torch.equal(raw[settled], nearest[settled])
    got.abs().sum().backward()
    assert A.grad is not None and (A.grad != 0).all()


@pytest.mark.parametrize("bits, p_bits", [(8, 12), (4, 12), (8, 8), (2, 12)])
def test_mixer_rows_have_power_of_two_scales(bits, p_bits):
    weight = torch.randn(40, 30, dtype=torch.float64) * 10 ** torch.linspace(-6, 2, 40)[:, None]
    weight[7] = 0
    layer = linear(weight, mixer_quantizer(bits, p_bits))
    q = layer.quant_weight()
    shift = torch.log2(q.scale.detach()).reshape(-1) + p_bits
    raw = q.int().long()
    assert torch.equal(shift, shift.round()) and shift.min() == 0
    assert raw.abs().max() <= 2 ** (bits - 1) - 1 and not raw[7].any()
    assert torch.equal(weight_of(layer), raw * q.scale)
    large = weight.abs().amax(1) > 2.0 ** (bits - p_bits)
    assert (raw.abs().amax(1)[large] >= 2 ** (bits - 2)).all()        # no bit is wasted
    error = (weight_of(layer) - weight).abs() / q.scale
    assert error.max() <= 1.0 and error[raw.abs() < 2 ** (bits - 1) - 1].max() <= 0.5
    s = torch.randint(0, 2, (5, 30)).double()
    assert torch.equal(layer(s), product(s, weight_of(layer)))


def test_fixed_quantizer_has_the_format_given():
    fmt = SQ(3, 5)
    weight = torch.tensor([[9.0, -9.0, 3.96875, 0.046875, -1.015625]], dtype=torch.float64)
    layer = linear(weight, fixed_quantizer(fmt))
    assert layer.quant_weight().int().tolist() == [[127, -127, 127, 2, -32]]
    assert (weight_of(layer) * 32).tolist() == [[127, -127, 127, 2, -32]]
    plain = linear(weight)
    assert torch.equal(weight_of(plain), weight)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gelu_is_the_integers_with_the_real_gradient(dtype):
    raw = torch.arange(-3000, 3001)
    x = (raw * 2.0 ** -8).to(dtype).requires_grad_(True)
    y = gelu(x, 8)
    np.testing.assert_array_equal(y.detach().numpy() * 2.0 ** 8,
                                  integer_gelu.gelu(raw.numpy(), 8))
    y.sum().backward()
    (wanted,) = torch.autograd.grad(torch.nn.functional.gelu(x).sum(), x)
    torch.testing.assert_close(x.grad, wanted)
    for move in (0.3, -0.3):                            # rounded to the grid first
        off = gelu(x.detach() + move * 2.0 ** -8, 8)
        torch.testing.assert_close(off, y.detach(), rtol=0, atol=0)
