"""Quantisers of the quantisation-aware model: Brevitas for weights, grids for everything else.

Each returns real numbers that lie exactly on the grid of the artifact's integers, and passes the
gradient straight through.
"""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from brevitas.inject.enum import ScalingImplType
from brevitas.nn import QuantLinear
from brevitas.quant.fixed_point import (Int8WeightPerChannelFixedPoint,
                                        Int8WeightPerTensorFixedPoint)
from torch import nn

from quant.integer import curves as integer_gelu
from golden.base.qformat import QFormat


def straight_through(value: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """``value`` exactly, with the gradient of ``real``."""
    return value.detach() + (real - real.detach())


def grid(x: torch.Tensor, fmt: QFormat) -> torch.Tensor:
    """Nearest multiple of ``2**-f_bits`` (half to even), saturated to ``fmt``."""
    one = 2.0 ** fmt.f_bits
    return straight_through(torch.round(x * one).clamp(fmt.lo, fmt.hi) / one, x)


def raw(value: torch.Tensor, fmt: QFormat) -> np.ndarray:
    """Integers of values, rounded to the grid of ``fmt`` and saturated."""
    return torch.round(grid(value, fmt) * 2.0 ** fmt.f_bits).to(torch.int64).numpy()


def round_to(x: torch.Tensor, f_bits: int) -> torch.Tensor:
    """Nearest multiple of ``2**-f_bits``, half to even."""
    return straight_through(torch.round(x * 2.0 ** f_bits) * 2.0 ** -f_bits, x)


@lru_cache(maxsize=None)
def _gelu_table(f_bits: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(integer_gelu.table(f_bits) * 2.0 ** -f_bits).to(device, dtype)


def gelu(x: torch.Tensor, f_bits: int) -> torch.Tensor:
    """``quant.integer.curves.gelu`` of x rounded to ``f_bits``, with GELU's own gradient."""
    T, real = _gelu_table(f_bits, x.dtype, x.device), x.detach()
    y = torch.round(real * 2.0 ** f_bits)
    tail = T[y.abs().clamp(max=len(T) - 1).to(torch.int32)]
    return straight_through(F.relu(y) * 2.0 ** -f_bits - tail, F.gelu(x))


def unit_disc(A: torch.Tensor, fmt: QFormat) -> torch.Tensor:
    """A_bar on the grid of ``fmt``, each part the nearest, with |A_bar| < 1 on the integers.

    A mode that would leave the open disc is pulled to radius 1 - 1 LSB at most and truncated
    towards zero; one that would become 0 gets 1 LSB, because zero has no logarithm.
    """
    one = 2.0 ** fmt.f_bits
    exact = torch.view_as_real(A.detach().to(torch.complex128)) * one      # (H, n, 2)
    raw = torch.round(exact)
    outside = raw.square().sum(-1, keepdim=True) >= one * one
    radius = exact.square().sum(-1, keepdim=True).sqrt()
    raw = torch.where(outside, torch.trunc(exact * ((one - 1) / radius).clamp(max=1.0)), raw)
    raw[..., 0] += (raw == 0).all(-1)
    return straight_through(torch.view_as_complex(raw / one).to(A.dtype), A)


def mixer_quantizer(weight_bits: int, p_bits: int):
    """Brevitas weight quantiser of the mixer: a power of two per row, the largest weight's.

    The scale is at least ``2**-p_bits``, so that a row's sum is shifted left, never right.
    """
    return Int8WeightPerChannelFixedPoint.let(
        bit_width=weight_bits, scaling_min_val=2.0 ** (weight_bits - 1 - p_bits))


def fixed_quantizer(fmt: QFormat):
    """Brevitas weight quantiser of a signed format (symmetric: its lowest code is unused)."""
    return Int8WeightPerTensorFixedPoint.let(
        bit_width=fmt.width, scaling_impl_type=ScalingImplType.CONST,
        scaling_init=2.0 ** (fmt.width - 1 - fmt.f_bits))


def linear(weight: np.ndarray, quantizer=None) -> nn.Linear:
    """A layer without bias that holds ``weight``, float64; Brevitas' if there is a quantiser."""
    weight = torch.from_numpy(np.asarray(weight, np.float64).copy())
    rows, columns = weight.shape
    layer = (nn.Linear(columns, rows, bias=False) if quantizer is None
             else QuantLinear(columns, rows, bias=False, weight_quant=quantizer))
    layer.weight = nn.Parameter(weight)
    return layer.to(weight.dtype)


def fixed(weight: np.ndarray, fmt: QFormat | None) -> nn.Linear:
    """:func:`linear` with a format of its own for encoder, decoder and head; without one plain."""
    return linear(weight, fmt and fixed_quantizer(fmt))


def weight_of(layer: nn.Linear) -> torch.Tensor:
    """The weights that the forward pass uses, on their grid if the layer has a quantiser."""
    return layer.quant_weight().value if isinstance(layer, QuantLinear) else layer.weight


def integers_of(layer: QuantLinear) -> np.ndarray:
    """The integers of a layer's weights, int64."""
    return layer.quant_weight().int().to(torch.int64).numpy()
