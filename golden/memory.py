"""How much memory a run takes, and a refusal before one that will not fit.

What a network needs grows with the elements of a layer: neurons x steps x sequences. How many such
tensors there are at once was read off ``python -m bench.memory`` (docs/memory.md), whose peaks the
estimate meets within 30 %.
"""

from pathlib import Path

import numpy as np
import torch

from golden.base.cli import UserError
from golden.model.config import NetworkConfig

FORWARD = 27_000_000        # elements of one layer that a pass without gradients takes at once
KERNELS = 100_000_000       # bytes that the first step leaves in libraries' caches
PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")


def batch_for(wanted: int, lengths: np.ndarray, neurons: int, device: torch.device | None = None,
              share: float = 1.0) -> int:
    """Examples for one pass without gradients: ``wanted``, or as many as stay in bounds.

    The one rule for accuracies, batch norms and ranges. At 16,384 steps and 128 neurons it allows
    12; the shipped tasks are below it. ``lengths`` are those of the split, (n,) or (n, inputs).
    ``share`` of the bound for what keeps more tensors. A GPU has its own memory and gets what is
    wanted.
    """
    if device is not None and device.type != "cpu" or not len(lengths):
        return wanted
    steps = int(lengths.max()) * lengths[0].size
    return max(1, min(wanted, int(share * FORWARD) // (steps * neurons)))


def fused(cfg: NetworkConfig) -> bool:
    """Whether the blocks' element-wise parts are fused, see ``golden.kernels.ops``."""
    return (cfg.family == "paper" and cfg.act == "relu" and cfg.residual != "plain"
            and not cfg.gelu_before_sampler)


def needed(cfg: NetworkConfig, batch: int, length: int, dtype: torch.dtype, training: bool = True
           ) -> int:
    """Bytes that a training step or a forward pass takes beyond those of the process before it."""
    size, block, once = dtype.itemsize, 14, 15
    if cfg.family == "stream":
        block = 18
    elif not fused(cfg):
        size = max(size, 4)             # most of its tensors are not in ``dtype``
    if cfg.dplr:               # Fourier transforms of twice the length
        size, block, once = max(size, 4), 46, 47
    tensors = block * cfg.n_blocks + 4 if training else once
    return KERNELS + tensors * size * batch * length * cfg.d_model


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):       # not there, or "max"
        return None


def _left_in_groups() -> list[int]:
    """Bytes left of each memory limit of this process's control groups, version 1 or 2."""
    found = []
    try:
        lines = (PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds not in ("", "memory"):
            continue
        root = CGROUP / kinds
        limit, used = (("memory.limit_in_bytes", "memory.usage_in_bytes") if kinds else
                       ("memory.max", "memory.current"))
        own = root / path.strip("/")
        for folder in {own, root, *(p for p in own.parents if root in p.parents)}:
            most, now = _number(folder / limit), _number(folder / used)
            if most is not None and now is not None:
                found.append(max(0, most - now))
    return found


def available() -> int | None:
    """Bytes that this process may still take; None where the system does not say."""
    try:
        lines = (PROC / "meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return None
    return min([free, *_left_in_groups()])


def require(what: str, cfg: NetworkConfig, batch: int, lengths: np.ndarray, dtype: torch.dtype,
            training: bool = True, copies: int = 1, device: torch.device | None = None) -> None:
    """Raise :class:`UserError` where ``what`` needs more memory than there is.

    ``batch`` counts examples at once (of a forward pass no option's, see :func:`batch_for`); of the
    split's ``lengths`` (n,) or (n, inputs) the longest counts; ``copies`` are passes whose
    gradients are taken together.
    """
    free = available() if device is None or device.type == "cpu" else None
    if free is None:
        return
    length, inputs = int(lengths.max()), lengths[0].size

    def bytes_of(count, steps=length):
        return copies * needed(cfg, count * inputs, steps, dtype, training)
    if bytes_of(batch) <= free:
        return
    fits = next((count for count in range(batch - 1, 0, -1) if bytes_of(count) <= free), 0)
    if fits and training:
        advice = f"--batch {fits} would fit"
    else:
        count = 1 if training else batch
        shorter = next((steps for steps in range(length, 0, -max(1, length // 100))
                        if bytes_of(count, steps) <= free), 0)
        advice = (f"sequences of {shorter:,} steps would fit" if shorter else
                  "not even short sequences would fit: free some, or take a smaller network")
    raise UserError(f"{what} of {batch} x {inputs * length:,} steps needs about "
                    f"{bytes_of(batch) / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; "
                    f"{advice}")
