"""Checkpoints of the released P-SpikeSSM code: reading one, and what its names and shapes say.

A checkpoint is a torch file (a state dict, or one nested in the dict of a training framework) or
an npz whose keys begin with ``state.``. Sizes, number of blocks, kernel sides, norm and its
position and the branch follow from names and shapes. Not in the tensors, and taken as all
released configurations have it: dt = softplus(inv_dt), bilinear rule, GELU as activation and in
front of the output sampler. The residual is not there either: the caller says it.
"""

import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from golden import stored
from golden.base import arrays
from golden.base.cli import UserError, differing
from golden.fields import LARGEST, LONGEST
from golden.stored import StoredError

# Names by which a state dict is known, whatever stands in front of them.
ANCHOR = re.compile(r"(.{0,200}?)layers\.\d+\."
                    r"(inp_[ab]|out_[ab]|layer\.layer\.|bidirectional_linear)")

ARRAYS = 1 << 30        # bytes of all arrays of a file
# This project's names of the tensors of a norm and of an SSM, by their released names.
NORM = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "var"}
SSM = {"D": "D", "kernel.inv_dt": "inv_dt", "kernel.C": "C", "kernel.B": "B", "kernel.P": "P",
       "kernel.A_real": "log_A_re", "kernel.A_imag": "A_im", "kernel.l_kernel": "length"}
# Names that are allocated but unused, without a branch and with one.
UNUSED = [re.compile(rf"layers\.\d+\.({names})") for names in (
    r"layer\.output_linear\..*|inp2_[ab]",
    r"(reverse_)?layer\.output_linear\..*|bidirectional_linear[12]\..*")]


class ReleaseError(UserError):
    """A file is not a checkpoint of the released code; the message says what is wrong with it."""


@dataclass(frozen=True)
class Release:
    """What a file holds: tensors of the stack by their released names, and those around it."""

    path: Path
    stack: dict[str, np.ndarray]
    encoder: dict[str, np.ndarray] = field(default_factory=dict)
    decoder: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Sizes:
    """What names and shapes say about the network."""

    blocks: int
    H: int
    n: int              # complex modes
    sides: int          # 1 causal, 2 two-sided
    rows: int           # of A, B and P: n_ssm
    prenorm: bool
    batch_norm: bool
    branch: bool


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz; raises :class:`ReleaseError` if it is none."""
    try:
        return arrays.read_npz(Path(path), ARRAYS, kinds="biuf")
    except arrays.ArraysError as error:
        raise ReleaseError(str(error)) from None


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return all(name.endswith(".npy") for name in archive.namelist())
    except arrays.DAMAGE:
        return False


def _state_dict(content, path: Path) -> dict:
    """The dict with the released names, at the top or up to three dicts below."""
    level = [content]
    for _ in range(4):
        found = [d for d in level if any(ANCHOR.match(str(key)) for key in d)]
        if found:
            return found[0]
        level = [v for d in level for v in d.values() if isinstance(v, dict)]
    raise ReleaseError(f"{path} is not a checkpoint of the released code: it has no key such as "
                       f"layers.0.inp_a")


def read(path: Path) -> Release:
    """Tensors of a checkpoint file. Raises :class:`ReleaseError` if it is none."""
    path = Path(path)
    if not path.is_file():
        raise ReleaseError(f"{path} is not a file; give a checkpoint of the released code")
    if _is_npz(path):
        content = {name[len("state."):]: array for name, array in read_npz(path).items()
                   if name.startswith("state.")}
    else:
        try:
            content = stored.read(path)
        except StoredError as error:
            raise ReleaseError(f"{path} is neither a torch file nor an npz file: {error}") from None
        if isinstance(content, stored.Foreign):
            raise ReleaseError(f"{path} holds Python objects, which are not run here: it is "
                               f"{stored.named(content)}; where you trust it, save its tensors: "
                               f"torch.save(torch.load(FILE, weights_only=False).state_dict(), "
                               f"NEW)")
        if not isinstance(content, dict):
            raise ReleaseError(f"{path} holds {stored.named(content)}, not a state dict")
    state = _state_dict(content, path)
    prefix = min((found[1] for found in map(ANCHOR.match, map(str, state)) if found), key=len)
    parts = {"stack": {}, "encoder": {}, "decoder": {}}
    for key, value in state.items():
        array, part = _array(value, str(key)[:80], path), str(key).split(".")[0]
        name = str(key)
        if part not in parts:
            part, name = "stack", name.removeprefix(prefix)
        if name in parts[part]:
            raise ReleaseError(f"{path}: {name} is there twice, with and without {prefix}")
        parts[part][name] = array
    return Release(path, **parts)


def _array(value: object, name: str, path: Path) -> np.ndarray:
    """A tensor as an array: real numbers as float32, whole ones as they are."""
    if isinstance(value, torch.Tensor):
        value = (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).numpy()
    if not isinstance(value, np.ndarray):
        raise ReleaseError(f"{path}: {name} is {stored.named(value)}, not a tensor")
    if value.dtype.kind not in "iuf":
        raise ReleaseError(f"{path}: {name} is of type {value.dtype}; real and whole numbers are "
                           f"allowed")
    if not np.isfinite(value).all():
        raise ReleaseError(f"{path}: {name} contains values that are not finite")
    if value.size and max(abs(float(value.min())), abs(float(value.max()))) > LARGEST:
        raise ReleaseError(f"{path}: {name} has numbers from {value.min():g} to {value.max():g}, "
                           f"at most {LARGEST:g} are allowed")
    return value.astype(np.float32) if value.dtype.kind == "f" else value


def sizes(found: Release) -> Sizes:
    """What the stack's names and shapes say. Raises :class:`ReleaseError` as :func:`check` does."""
    stack, first = found.stack, "layers.0."

    def shape(name, ndim):
        if name not in stack:
            raise ReleaseError(f"{found.path}: missing {name}")
        if stack[name].ndim != ndim:
            raise ReleaseError(f"{found.path}: {name} has shape {stack[name].shape}, but "
                               f"{ndim} dimensions are expected")
        return stack[name].shape

    numbers = {int(m[1]) for m in (re.match(r"layers\.(\d{1,9})\.", key) for key in stack) if m}
    absent = min(set(range(len(numbers) + 1)) - numbers)
    if absent < len(numbers):
        raise ReleaseError(f"{found.path}: layers.{absent} is missing, but there is layers."
                           f"{max(numbers)}")
    kernel = first + "layer.layer.kernel."
    sides, _, n, _ = shape(kernel + "C", 4)
    rank = shape(kernel + "P", 4)[0]
    made = Sizes(len(numbers), *shape(first + "inp_a", 1), n, sides,
                 shape(kernel + "A_real", 2)[0], "norm.norm.weight" in stack,
                 first + "norm.norm.running_mean" in stack,
                 first + "bidirectional_linear.weight" in stack)
    if sides not in (1, 2):
        raise ReleaseError(f"{found.path}: {kernel}C has {sides} channels; a causal kernel has 1, "
                           f"a two-sided one 2")
    if rank != 1:
        raise ReleaseError(f"{found.path}: {kernel}P has rank {rank}; only rank 1 can be imported")
    if made.rows < 1 or made.H % made.rows:
        raise ReleaseError(f"{found.path}: {kernel}A_real has {made.rows} rows, which do not "
                           f"divide {made.H} neurons")
    check(found, made)
    return made


def tensors(made: Sizes) -> dict[str, tuple[str, tuple[int, ...]]]:
    """All tensors that are used: released name -> (this project's name, released shape)."""
    H, n, rows = made.H, made.n, made.rows
    shapes = {"D": (1, H), "kernel.inv_dt": (H, 1), "kernel.C": (made.sides, H, n, 2),
              "kernel.B": (1, rows, n, 2), "kernel.P": (1, rows, n, 2), "kernel.A_real": (rows, n),
              "kernel.A_imag": (rows, n), "kernel.l_kernel": ()}
    norm = {f"norm.norm.{name}": (f"norm.{own}", (H,)) for name, own in NORM.items()
            if made.batch_norm or not name.startswith("running")}
    block, mixer = dict(norm), ("bidirectional_linear1.", H)
    for scale, own in ("inp", "inp"), ("out", "out"), *[("inp2", "inp_branch")] * made.branch:
        block |= {f"{scale}_{x}": (f"{own}.{x}", (H,)) for x in "ab"}
    for layer, own in ("layer", "ssm"), *[("reverse_layer", "ssm_branch")] * made.branch:
        block |= {f"{layer}.layer.{name}": (f"{own}.{SSM[name]}", shape)
                  for name, shape in shapes.items()}
    if made.branch:
        mixer = "bidirectional_linear.", 2 * H
    block |= {mixer[0] + "weight": ("mixer.weight", (H, mixer[1])),
              mixer[0] + "bias": ("mixer.bias", (H,))}
    found = {f"layers.{k}.{name}": (f"blocks.{k}.{own}", shape) for k in range(made.blocks)
             for name, (own, shape) in block.items()}
    return found | {name: (f"last.{own}", shape) for name, (own, shape) in norm.items()
                    if made.prenorm}


def check(found: Release, made: Sizes) -> None:
    """Raise :class:`ReleaseError` naming tensors that are missing, unknown or of another shape."""
    used = tensors(made)
    different = differing(used, (
        name for name in found.stack if not UNUSED[made.branch].fullmatch(name)
        and name.replace("num_batches_tracked", "weight") not in used or name in used))
    if different:
        raise ReleaseError(f"{found.path}: {different}")
    for name, (_, shape) in used.items():
        if found.stack[name].shape != shape:
            raise ReleaseError(f"{found.path}: {name} has shape {found.stack[name].shape}, "
                               f"the other tensors say {shape}")
        _check_numbers(found.path, name, found.stack[name])


def _check_numbers(path: Path, name: str, value: np.ndarray) -> None:
    """Raise :class:`ReleaseError` for numbers of another kind than a tensor's, or out of range."""
    length = name.endswith("l_kernel")
    if (value.dtype.kind == "f") == length:
        raise ReleaseError(f"{path}: {name} is of type {value.dtype}, it must be "
                           f"{'whole' if length else 'real'} numbers")
    if length and not 0 <= value <= LONGEST:
        raise ReleaseError(f"{path}: {name} is {value}; kernels of 0 to {LONGEST} steps are "
                           f"allowed")
    if name.endswith("running_var") and (value < 0).any():
        raise ReleaseError(f"{path}: {name} is negative, down to {value.min():g}")
