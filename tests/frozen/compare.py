"""Two records: digests of integers, sums of real numbers, and where they differ first."""

import hashlib

import numpy as np
import torch

TOLERANCE = 1e-10       # of real numbers, absolute and relative


def digest(raw) -> str:
    """16 hex digits of an array of integers: its shape and its values, whatever their type."""
    raw = np.ascontiguousarray(raw)
    if raw.dtype.kind not in "iub":
        raise TypeError(f"a digest is of integers, not of {raw.dtype}")
    wide = raw.astype(np.uint64 if raw.dtype == np.uint64 else np.int64)
    return hashlib.sha256(str(raw.shape).encode() + wide.tobytes()).hexdigest()[:16]


def digests(arrays: dict) -> dict[str, str]:
    """:func:`digest` by name."""
    return {name: digest(raw) for name, raw in arrays.items()}


def text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def numbers(t) -> list:
    """A tensor's or array's elements as nested lists."""
    return (t.detach().double() if isinstance(t, torch.Tensor) else np.asarray(t)).tolist()


def sums(t: torch.Tensor) -> list[float]:
    """Of the elements, and of the elements times a ramp from 0 to 1, which sees their order."""
    flat = t.detach().double().flatten()
    return [float(flat.sum()), float(flat @ torch.linspace(0, 1, len(flat), dtype=flat.dtype))]


def sizes(named) -> list:
    """Sorted (shape, norm) of tensors that are not zero: what is there, whatever its name."""
    found = [[list(t.shape), float(t.detach().double().norm())] for t in named if t is not None]
    return sorted(row for row in found if not row[1] < TOLERANCE)


def differences(expected, got, path: str = "") -> list[str]:
    """Every difference as ``where: expected ..., got ...``; real numbers within TOLERANCE."""
    if isinstance(expected, dict) and isinstance(got, dict):
        found = []
        for name in [*expected, *(name for name in got if name not in expected)]:
            where = f"{path}/{name}" if path else str(name)
            if name not in got or name not in expected:
                found.append(f"{where}: {'missing' if name in expected else 'not in the record'}")
            else:
                found += differences(expected[name], got[name], where)
        return found
    if isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return [f"{path}: expected {len(expected)} values, got {len(got)}"]
        return [line for k, pair in enumerate(zip(expected, got))
                for line in differences(*pair, f"{path}[{k}]")]
    if isinstance(expected, float) and isinstance(got, float):
        same = abs(got - expected) <= TOLERANCE + TOLERANCE * abs(expected)
    else:
        same = type(expected) is type(got) and expected == got
    return [] if same else [f"{path}: expected {expected!r}, got {got!r}"]
