"""The functions of ``golden.kernels.fused_cpu`` on a GPU, in Triton.

A program of a drawing kernel takes the whole time of some sequences of one neuron, so that a
systematic sampler's running sum stays in it; gradients are summed per neuron from parts whose order
is fixed, so a training repeats bit by bit. Nothing waits for the GPU: all of it can be captured in
a CUDA graph.
"""

from functools import lru_cache

import torch
import triton
import triton.language as tl

from golden.kernels import sampling
from golden.kernels.sampling import Draw

BERNOULLI, SOBOL, SYSTEMATIC, MEAN = (tl.constexpr(k) for k in range(4))
FORMS = {"bernoulli": BERNOULLI.value, "sobol": SOBOL.value, "systematic": SYSTEMATIC.value,
         "mean": MEAN.value}
SOBOL_ONE = tl.constexpr(1 << sampling.SOBOL_BITS)
PHASE_BITS = tl.constexpr(20)      # of a running sum behind the point; what overflows is not needed
PHASE_ONE = tl.constexpr(1 << PHASE_BITS.value)
PART = 4096                        # elements of a row that one program of a gradient takes


def fits(x: torch.Tensor) -> bool:
    """Whether these functions can work on ``x``."""
    return x.device.type == "cuda" and x.dtype in (torch.float32, torch.bfloat16)


@triton.jit
def _dropped(x, keys, h, rate, at, DROP: tl.constexpr):
    """x behind neuron h's dropout, where there is one."""
    if DROP:
        x = tl.where(tl.rand(tl.load(keys + h), at) >= rate, x / (1.0 - rate), 0.0)
    return x


@triton.jit
def _draw(z, bias, scale, shift, p, p_next, s, start, words, keys, rate, C, M, B,
          FUSE: tl.constexpr, RESIDUAL: tl.constexpr, DROP: tl.constexpr, FORM: tl.constexpr,
          T_BLOCK: tl.constexpr, B_BLOCK: tl.constexpr):
    """Spikes of one neuron's z + bias, or behind its norm and residual, step t = m C + c.

    ``start`` holds the phases or masks (H, B), or a key (H,); sums of a phase are integers of
    ``PHASE_BITS`` bits behind the point, so that they do not depend on their order.
    """
    h, T = tl.program_id(0), C * M
    b = tl.program_id(1) * B_BLOCK + tl.arange(0, B_BLOCK)
    row = h.to(tl.int64) * T * B
    offset = tl.load(bias + h).to(tl.float32)
    if FUSE:
        a, c0 = tl.load(scale + h), tl.load(shift + h)
    if FORM == BERNOULLI:
        first = tl.load(start + h)
    elif FORM != MEAN:
        first = tl.load(start + h * B + b, mask=b < B, other=0)
    for begin in range(0, T, T_BLOCK):
        t = begin + tl.arange(0, T_BLOCK)
        step = (t % C) * M + t // C
        at = step[:, None] * B + b[None, :]
        inside = (t < T)[:, None] & (b < B)[None, :]
        v = tl.load(z + row + at, mask=inside, other=0.0).to(tl.float32) + offset
        if FUSE:
            v = a * _dropped(tl.maximum(v, 0.0), keys, h, rate, at, DROP) + c0
            if RESIDUAL:
                v += tl.load(p + row + at, mask=inside, other=0.0).to(tl.float32)
            v = tl.minimum(tl.maximum(v, 0.0), 1.0)
            tl.store(p_next + row + at, v, mask=inside)
        if FORM == BERNOULLI:
            fired = (v > tl.rand(first, at)).to(tl.float32)
        elif FORM == SOBOL:
            word = tl.load(words + step, mask=t < T, other=0)[:, None] ^ first[None, :]
            fired = (v > word.to(tl.float32) / SOBOL_ONE).to(tl.float32)
        else:
            fired = tl.minimum(tl.maximum(v, 0.0), 1.0)
            if FORM == SYSTEMATIC:
                q = tl.where(inside, (fired * PHASE_ONE + 0.5).to(tl.int32), 0)
                total = tl.cumsum(q, axis=0) + first[None, :]
                fired = (((total >> PHASE_BITS) - ((total - q) >> PHASE_BITS)) & 1).to(tl.float32)
                first += tl.sum(q, axis=0)
        tl.store(s + row + at, fired, mask=inside)


@triton.jit
def _sample_grad(y, b, ds, dy, parts, N, BLOCK: tl.constexpr):
    h, j = tl.program_id(0), tl.program_id(1)
    at = j * BLOCK + tl.arange(0, BLOCK)
    row, inside = h.to(tl.int64) * N, at < N
    v = tl.load(y + row + at, mask=inside, other=-1e9).to(tl.float32) + tl.load(b + h)
    g = tl.load(ds + row + at, mask=inside, other=0.0).to(tl.float32)
    g = tl.where((v >= 0.0) & (v <= 1.0), g, 0.0)
    tl.store(dy + row + at, g, mask=inside)
    tl.store(parts + h * tl.num_programs(1) + j, tl.sum(g))


@triton.jit
def _relu_stats(z, bias, valid, keys, rate, parts, N, MASKED: tl.constexpr, DROP: tl.constexpr,
                BLOCK: tl.constexpr):
    h, j = tl.program_id(0), tl.program_id(1)
    at = j * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(z + h.to(tl.int64) * N + at, mask=at < N, other=0.0).to(tl.float32)
    x = tl.where(at < N, tl.maximum(x + tl.load(bias + h).to(tl.float32), 0.0), 0.0)
    x = _dropped(x, keys, h, rate, at, DROP)
    if MASKED:
        x *= tl.load(valid + at, mask=at < N, other=0.0).to(tl.float32)
    out = parts + (h * tl.num_programs(1) + j) * 2
    tl.store(out, tl.sum(x))
    tl.store(out + 1, tl.sum(x * x))


@triton.jit
def _fuse_grad_sums(z, bias, scale, shift, p, dp_next, ds, keys, rate, dp, parts, N,
                    RESIDUAL: tl.constexpr, DROP: tl.constexpr, BLOCK: tl.constexpr):
    h, j = tl.program_id(0), tl.program_id(1)
    at = j * BLOCK + tl.arange(0, BLOCK)
    row, inside = h.to(tl.int64) * N, at < N
    x = tl.load(z + row + at, mask=inside, other=0.0).to(tl.float32)
    x = tl.maximum(x + tl.load(bias + h).to(tl.float32), 0.0)
    x = _dropped(x, keys, h, rate, at, DROP)
    v = tl.load(scale + h) * x + tl.load(shift + h)
    if RESIDUAL:
        v += tl.load(p + row + at, mask=inside, other=0.0).to(tl.float32)
    g = (tl.load(dp_next + row + at, mask=inside, other=0.0).to(tl.float32)
         + tl.load(ds + row + at, mask=inside, other=0.0).to(tl.float32))
    g = tl.where((v >= 0.0) & (v <= 1.0), g, 0.0)
    tl.store(dp + row + at, g, mask=inside)
    out = parts + (h * tl.num_programs(1) + j) * 2
    tl.store(out, tl.sum(g))
    tl.store(out + 1, tl.sum(g * x))


@triton.jit
def _fuse_grad(z, bias, scale, c1, c2, valid, keys, rate, dp, dz, parts, N, MASKED: tl.constexpr,
               DROP: tl.constexpr, BLOCK: tl.constexpr):
    h, j = tl.program_id(0), tl.program_id(1)
    at = j * BLOCK + tl.arange(0, BLOCK)
    row, inside = h.to(tl.int64) * N, at < N
    x = tl.load(z + row + at, mask=inside, other=0.0).to(tl.float32)
    x += tl.load(bias + h).to(tl.float32)
    g = tl.load(scale + h) * tl.load(dp + row + at, mask=inside, other=0.0).to(tl.float32)
    norm = tl.load(c1 + h) * _dropped(x, keys, h, rate, at, DROP) + tl.load(c2 + h)
    if MASKED:
        norm *= tl.load(valid + at, mask=inside, other=0.0).to(tl.float32)
    g = _dropped(tl.where((x > 0.0) & inside, g + norm, 0.0), keys, h, rate, at, DROP)
    tl.store(dz + row + at, g, mask=inside)
    tl.store(parts + h * tl.num_programs(1) + j, tl.sum(g))


def keys(H: int, device) -> torch.Tensor:
    """A random key per neuron, for draws that are hashes of key and column."""
    return torch.randint(0, 1 << 31, (H,), dtype=torch.int32, device=device)


def _drop(drop: tuple | None, z: torch.Tensor) -> tuple[torch.Tensor, float]:
    return (z, 0.0) if drop is None else drop       # z: not read


def _launch_draw(z, bias, draw: Draw, s, fused: tuple = (), drop: tuple | None = None) -> None:
    """``fused``: scale, shift, p (None without residual) and p_next of a fuse."""
    C, M, B = draw.chunks
    if C * M * B != z.shape[1]:
        C, M, B = 1, 1, z.shape[1]          # the default of a Draw: steps that know no time
    if draw.form == "bernoulli":
        start = keys(len(z), z.device)
    elif draw.form == "sobol":
        start = sampling.masks(len(z), draw.chunks, z.device).int()
    else:
        start = torch.randint(0, PHASE_ONE.value, (len(z), B), dtype=torch.int32,
                              device=z.device)
    words = _words(draw.number, draw.chunks, z.device) if draw.form == "sobol" else start
    scale, shift, p, p_next = fused or (bias, bias, None, s)
    t_block = min(1024, triton.next_power_of_2(C * M))
    b_block = min(16, triton.next_power_of_2(B))
    _draw[len(z), triton.cdiv(B, b_block)](
        z, bias, scale, shift, z if p is None else p, p_next, s, start, words,
        *_drop(drop, z), C, M, B, FUSE=bool(fused), RESIDUAL=p is not None, DROP=drop is not None,
        FORM=FORMS[draw.form], T_BLOCK=t_block, B_BLOCK=b_block, num_warps=16)


@lru_cache(maxsize=64)
def _words(number: int, chunks: tuple, device: torch.device) -> torch.Tensor:
    """``sampling.sobol_words`` on the GPU, kept: a graph must not copy them in every step."""
    return sampling.sobol_words(number, chunks).int().to(device)


def _parts(z: torch.Tensor, count: int) -> tuple[tuple[int, int], torch.Tensor]:
    """(grid, sums of each program)."""
    grid = len(z), triton.cdiv(z.shape[1], PART)
    return grid, torch.empty(*grid, count, device=z.device)


def sample(y: torch.Tensor, b: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Spikes of y + b, drawn as ``draw`` says."""
    s = torch.empty_like(y)
    _launch_draw(y, b, draw, s)
    return s


def sample_grad(y: torch.Tensor, b: torch.Tensor, ds: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(dy, db): ``ds`` where 0 <= y + b <= 1."""
    dy = torch.empty_like(y)
    grid, parts = _parts(y, 1)
    _sample_grad[grid](y, b, ds, dy, parts, y.shape[1], BLOCK=PART, num_warps=8)
    return dy, parts.sum((1, 2)).to(b.dtype)


def relu_stats(z, bias, valid=None, drop=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of act(z) per neuron, float32; act, valid, drop: see ``fused_cpu``."""
    grid, parts = _parts(z, 2)
    _relu_stats[grid](z, bias, z if valid is None else valid, *_drop(drop, z), parts, z.shape[1],
                      MASKED=valid is not None, DROP=drop is not None, BLOCK=PART, num_warps=8)
    count = z.shape[1] if valid is None else valid.sum()
    mean, square = (parts.sum(1) / count).unbind(1)
    return mean, (square - mean.square()).clamp(min=0)


def fuse(z, bias, scale, shift, p, draw: Draw, drop=None) -> tuple[torch.Tensor, torch.Tensor]:
    """(p_next, s): ``clamp([p +] scale act(z) + shift, 0, 1)`` and its spikes."""
    p_next, s = torch.empty_like(z), torch.empty_like(z)
    _launch_draw(z, bias, draw, s, (scale, shift, p, p_next), drop)
    return p_next, s


def fuse_grad_sums(z, bias, scale, shift, p, dp_next, ds, drop=None
                   ) -> tuple[torch.Tensor, torch.Tensor]:
    """(dp, sums): dp = dp_next + ds inside the clamp; sums (H, 2) of dp and dp act(z)."""
    dp = torch.empty_like(z)
    grid, parts = _parts(z, 2)
    _fuse_grad_sums[grid](z, bias, scale, shift, z if p is None else p, dp_next, ds,
                          *_drop(drop, z), dp, parts, z.shape[1], RESIDUAL=p is not None,
                          DROP=drop is not None, BLOCK=PART, num_warps=8)
    return dp, parts.sum(1)


def fuse_grad(z, bias, scale, c1, c2, dp, valid=None, drop=None
              ) -> tuple[torch.Tensor, torch.Tensor]:
    """(dz, dbias): dz = (scale dp + [valid] (c1 act(z) + c2)) act'(z)."""
    dz = torch.empty_like(z)
    grid, parts = _parts(z, 1)
    _fuse_grad[grid](z, bias, scale, c1, c2, z if valid is None else valid, *_drop(drop, z), dp,
                     dz, parts, z.shape[1], MASKED=valid is not None, DROP=drop is not None,
                     BLOCK=PART, num_warps=8)
    return dz, parts.sum((1, 2)).to(bias.dtype)
