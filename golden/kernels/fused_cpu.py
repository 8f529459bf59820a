"""What ``golden.kernels.ops`` needs of a device, on a CPU, by ``golden.kernels.cpu``.

``golden.kernels.fused_gpu`` has the same functions. Tensors are (H, N); what is per neuron is (H,).
"""

import numpy as np
import torch

from golden.kernels import cpu as kernels, sampling
from golden.kernels.sampling import Draw


def fits(x: torch.Tensor) -> bool:
    """Whether these functions can work on ``x``."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)


def raw(x: torch.Tensor) -> np.ndarray:
    """The same memory for ``golden.kernels.cpu``, bfloat16 as uint16."""
    x = x.detach()
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


def keys(H: int, device=None) -> torch.Tensor:
    """A random key per neuron, for draws that are hashes of key and column."""
    return torch.randint(0, 1 << 32, (H,), dtype=torch.int64)


def _words(keys: torch.Tensor) -> np.ndarray:
    return keys.numpy().astype(np.uint32)


def _drop(drop: tuple | None) -> tuple[np.ndarray | None, np.float32]:
    return (None, np.float32(0)) if drop is None else (_words(drop[0]), np.float32(drop[1]))


def sample(y: torch.Tensor, b: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Spikes of y + b, drawn as ``draw`` says."""
    spikes = torch.empty_like(y)
    y, b, s = raw(y), raw(b), raw(spikes)
    if draw.form == "bernoulli":
        kernels.sample(y, b, _words(keys(len(y))), s)
    elif draw.form == "mean":
        kernels.mean(y, b, s)
    elif draw.form == "sobol":
        words = sampling.sobol_words(draw.number, draw.chunks).numpy().astype(np.uint32)
        masks = sampling.masks(len(y), draw.chunks).numpy().astype(np.uint32)
        kernels.sobol(y, b, words, masks, s)
    else:
        kernels.systematic(y, b, torch.rand(len(y), draw.chunks[2]).numpy(), draw.chunks, s)
    return spikes


def sample_grad(y: torch.Tensor, b: torch.Tensor, ds: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(dy, db): ``ds`` where 0 <= y + b <= 1."""
    dy, db = torch.empty_like(y), torch.empty_like(b)
    kernels.sample_grad(raw(y), raw(b), raw(ds), raw(dy), raw(db))
    return dy, db


def relu_stats(z, bias, valid=None, drop=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of act(z) per neuron, float32.

    Here and below act(z) = relu(z + bias), with ``drop`` = (:func:`keys`, rate) behind a dropout;
    valid (N,) is 1 where a column counts for the norm, None: everywhere.
    """
    mean, var = torch.empty(len(z)), torch.empty(len(z))
    count = z.shape[1] if valid is None else int(valid.sum())
    kernels.relu_stats(raw(z), raw(bias), _mask(valid), count, *_drop(drop), raw(mean), raw(var))
    return mean, var


def _mask(valid: torch.Tensor | None) -> np.ndarray | None:
    return None if valid is None else raw(valid.float())


def fuse(z, bias, scale, shift, p, draw: Draw, drop=None) -> tuple[torch.Tensor, torch.Tensor]:
    """(p_next, s): ``clamp([p +] scale act(z) + shift, 0, 1)`` and its spikes."""
    H, residual = len(z), p is not None
    p_next, s = torch.empty_like(z), torch.empty_like(z)
    kernels.fuse(raw(z), raw(bias), raw(scale), raw(shift), raw(p if residual else z), residual,
                 _words(keys(H)), draw.form == "bernoulli", *_drop(drop), raw(p_next), raw(s))
    if draw.form != "bernoulli":
        s = sample(p_next, torch.zeros(H), draw)
    return p_next, s


def fuse_grad_sums(z, bias, scale, shift, p, dp_next, ds, drop=None
                   ) -> tuple[torch.Tensor, torch.Tensor]:
    """(dp, sums): dp = dp_next + ds inside the clamp; sums (H, 2) of dp and dp act(z)."""
    dp, sums, residual = torch.empty_like(z), torch.empty(len(z), 2), p is not None
    kernels.fuse_grad_sums(raw(z), raw(bias), raw(scale), raw(shift), raw(p if residual else z),
                           residual, *_drop(drop), raw(dp_next), raw(ds), raw(dp), raw(sums))
    return dp, sums


def fuse_grad(z, bias, scale, c1, c2, dp, valid=None, drop=None
              ) -> tuple[torch.Tensor, torch.Tensor]:
    """(dz, dbias): dz = (scale dp + [valid] (c1 act(z) + c2)) act'(z)."""
    dz, dbias = torch.empty_like(z), torch.empty_like(bias)
    kernels.fuse_grad(raw(z), raw(bias), raw(scale), raw(c1), raw(c2), _mask(valid), *_drop(drop),
                      raw(dp), raw(dz), raw(dbias))
    return dz, dbias
