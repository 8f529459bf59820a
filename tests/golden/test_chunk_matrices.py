"""The fused matrices of the chunked convolution equal PyTorch's, and so do their gradients."""

import pytest
import torch

from golden.kernels.chunk_matrices import chunk_matrices, plain

H, N_MODES = 3, 4
SHAPES = [(1, 1), (1, 3), (2, 1), (5, 2), (7, 4), (56, 14)]     # chunks of C steps, M of them


def system(dtype: torch.dtype = torch.float64, seed: int = 1) -> list[torch.Tensor]:
    """A_bar inside the unit circle, g, d, to be differentiated; values of float32 in any type."""
    rng = torch.Generator().manual_seed(seed)
    angle = torch.rand(H, N_MODES, generator=rng) * 6
    A_bar = torch.polar(torch.rand(H, N_MODES, generator=rng) * 0.6 + 0.4, angle)
    g = torch.view_as_complex(torch.randn(H, N_MODES, 2, generator=rng))
    parts = A_bar, g, torch.randn(H, generator=rng)
    return [x.to(dtype.to_complex() if x.is_complex() else dtype).requires_grad_() for x in parts]


def exact(parts, C, M, delay) -> dict[str, torch.Tensor]:
    return dict(zip("TVSG", plain(*parts, C, M, delay, torch.float64)))


def fused(parts, C, M, delay, dtype) -> dict[str, torch.Tensor]:
    return dict(zip("TVSG", chunk_matrices(*parts, C, M, delay, torch.empty(0, dtype=dtype))))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("C, M", SHAPES)
def test_values(C, M, delay, dtype):
    expected = exact(system(), C, M, delay)
    got = fused(system(torch.float32), C, M, delay, dtype)
    for name, value in expected.items():
        assert got[name].dtype == dtype
        torch.testing.assert_close(
            got[name].double(), value, rtol=torch.finfo(dtype).eps, atol=1e-12,
            msg=lambda text: f"{name} of {M} chunks of {C} steps: {text}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("used", ["T", "V", "S", "G", "TVSG"])
@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("C, M", SHAPES)
def test_gradients(C, M, delay, used, dtype):
    rng = torch.Generator().manual_seed(2)
    reference, parts = system(), system(torch.float32)
    forms = exact(reference, C, M, delay), fused(parts, C, M, delay, dtype)
    weights = {name: torch.randn(x.shape, generator=rng).to(dtype) for name, x in forms[0].items()}
    expected, got = (torch.autograd.grad(
        sum((weights[name] * found[name]).sum() for name in used), of, allow_unused=True,
        materialize_grads=True) for found, of in zip(forms, (reference, parts)))
    for what, a, b, of in zip(("A_bar", "g", "d"), got, expected, parts):
        assert a.dtype == of.dtype
        torch.testing.assert_close(a, b.to(of.dtype), rtol=1e-6, atol=1e-6, msg=lambda text: (
            f"d {used} / d {what}, {M} chunks of {C} steps: {text}"))
