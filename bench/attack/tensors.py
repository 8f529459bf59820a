"""Changes of what torch files hold: tensors, the values beside them, and the zip file itself."""

import io
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch

from bench.attack import arrays, edits
from bench.attack.edits import HOSTILE, Rng, pick
from bench.attack.target import Harm

TYPES = (torch.int8, torch.int32, torch.int64, torch.uint8, torch.bool, torch.float16,
         torch.bfloat16, torch.float64, torch.complex64)
OBJECTS = (np.float64(0.5), Path("x"), b"x", {1, 2}, 1j, torch.float32, torch.Size([1]),
           torch.zeros(3))
NAMES = ("planted:Task", "planted:Missing", "os:path", "no.such.module:Task", "../../x", "psmnist",
         "digits:seed3", "digits:", ":", "planted")      # of tasks


def of_tensor(rng: Rng, old: torch.Tensor) -> object:
    """A tensor with another number, type or shape, or what is no plain tensor at all."""
    new = old.detach().clone()
    kind = pick(rng, ("bit", "bit", "nan", "inf", "large", "zeros", "type", "type", "flat",
                      "turned", "axis", "row gone", "rows", "empty", "sparse", "csr", "quantised",
                      "list", "array", "parameter", "huge", "meta", "scalar"))
    if kind == "bit" and new.numel():
        flat = new.reshape(-1).view(torch.uint8)
        flat[int(rng.integers(len(flat)))] ^= 1 << int(rng.integers(8))
    elif kind in ("nan", "inf", "large") and new.is_floating_point() and new.numel():
        value = {"nan": np.nan, "inf": np.inf, "large": 1e30}[kind]
        new.view(-1)[int(rng.integers(new.numel()))] = value
    elif kind == "type":
        return new.to(pick(rng, TYPES))
    elif kind == "quantised" and new.dtype == torch.float32:
        return torch.quantize_per_tensor(new, 0.1, 0, torch.qint8)
    elif kind == "csr" and new.ndim == 2:
        return new.to_sparse_csr()
    else:
        return {"zeros": lambda: 0 * new, "flat": lambda: new.reshape(-1), "turned": lambda:
                new.mT if new.ndim > 1 else new.flip(0), "row gone": lambda: new[1:] if new.ndim
                else new[None], "rows": lambda: torch.cat([new, new]) if new.ndim else new[None],
                "empty": lambda: new.reshape(-1)[:0], "sparse": new.to_sparse, "list": new.tolist,
                "array": new.numpy, "huge": lambda: new.reshape(-1)[:1].expand(10**9),
                "meta": lambda: new.to("meta"), "scalar": lambda: torch.zeros(()),
                "parameter": lambda: torch.nn.Parameter(new, new.is_floating_point()),
                }.get(kind, lambda: new[None])()
    return new


def hostile(rng: Rng, old) -> object:
    """A value that does not belong there."""
    if isinstance(old, torch.Tensor) and rng.random() < 0.9:
        return of_tensor(rng, old)
    return pick(rng, OBJECTS if rng.random() < 0.25 else HOSTILE)


def saved(content, **options) -> bytes:
    """A torch file."""
    out = io.BytesIO()
    torch.save(content, out, **options)
    return out.getvalue()


def loaded(raw: bytes):
    return torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)


def _whole(rng: Rng, content: dict) -> tuple[object, str]:
    """Another thing in place of the whole content."""
    state = content.get("state", content)
    prefix = pick(rng, ("module.", "_orig_mod.", "net."))
    renamed = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    return pick(rng, (
        ([content], "a list around all"), (state, "the bare state dict"), (None, "None alone"),
        ({"state_dict": content}, "a dict around all"), (torch.zeros(3), "a tensor alone"),
        (content | {"more": 1}, "a key more"), (content | {7: 1}, "a number as a key more"),
        (content | {"state": renamed} if "state" in content else renamed, f"{prefix} before names"),
        (content | {"more": Path("x")}, "an object of Python's")))


def of_content(rng: Rng, content: dict) -> tuple[object, str]:
    """The content of a file with one change."""
    if rng.random() < 0.15:
        return _whole(rng, content)
    if "task" in content and rng.random() < 0.12:
        name = pick(rng, NAMES)
        return content | {"task": name}, f"task became {name}"
    tensors = {at for box, key, at in edits.nodes(content) if isinstance(box[key], torch.Tensor)}
    if tensors and rng.random() < 0.4:      # few of all places, but what a network is made of
        at = pick(rng, sorted(tensors))
        box, key = next((box, key) for box, key, place in edits.nodes(content) if place == at)
        old, box[key] = box[key], of_tensor(rng, box[key])
        return content, f"{at} {kind_of(old)} became {kind_of(box[key])}"
    return content, edits.change(rng, content, hostile)


def kind_of(value) -> str:
    """A tensor by its type, layout and shape."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    parts = str(value.dtype), str(value.layout), str(tuple(value.shape)), str(value.device)
    return " ".join(part.removeprefix("torch.") for part in parts
                    if part not in ("torch.strided", "cpu"))


def of_zip(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    """The zip file that a torch file is, with a member that is not as torch writes it."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = pick(rng, list(members))
    kind = pick(rng, ("gone", "empty", "bomb", "deflated", "longer", "shorter", "other"))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if kind == "deflated" else 0) as archive:
        for member, content in members.items():
            if member == name:
                content = {"empty": b"", "longer": content + bytes(64), "shorter": content[:-1],
                           "other": members[pick(rng, list(members))]}.get(kind, content)
            if member != name or kind not in ("gone", "bomb"):
                archive.writestr(member, content)
    found = out.getvalue()
    return (arrays.with_bomb(found, name, members[name][:64]) if kind == "bomb" else found,
            f"member {name}: {kind}")


def of_file(rng: Rng, raw: bytes, free: bool = False) -> tuple[bytes, Harm]:
    """Any change of a torch file; ``free``: a whole file of other content is right as it is."""
    kind = rng.random()
    if kind < 0.45:
        new, words = edits.of_bytes(rng, raw)
        return new, Harm(words)
    if kind < 0.52 and zipfile.is_zipfile(io.BytesIO(raw)):
        new, words = of_zip(rng, raw)
        return new, Harm(words, free)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # of tensors that nobody should have
        content, words = of_content(rng, loaded(raw))
        old_form = rng.random() < 0.05
        new = saved(content, _use_new_zipfile_serialization=not old_form)
    return new, Harm(words + " (in torch's older format)" * old_form, free)


def plain(value):
    """Nested content with the bytes of its tensors as arrays."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach().contiguous()
    return [kind_of(value), value.reshape(-1).view(torch.uint8).numpy()]
