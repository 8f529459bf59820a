"""Fine-tuned weights as files, made by ``quant.finetune``: the model on the integers' grids."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from golden import checkpoint, fields, stored, tasks
from golden.base import forms
from golden.base.cli import UserError
from golden.checkpoint import Checkpoint
from golden.stored import StoredError
from quant.integer.adapt import in_formats_of
from quant.integer.head import HeadFormats
from quant.integer.operation import ArtifactError, Tensor
from quant.integer.program import Program
from quant.integer.record import of_structure, structure
from quant.lower.passes import fold
from quant.tune.blocks import in_blocks
from quant.tune.fit import ExportError
from quant.tune.qat import QuantNetwork

KEYS = ("task", "golden", "formats", "state", "steps")
RESUME = ("optimiser", "rng")
TYPES = {"task": str, "golden": str, "formats": str, "sampling": (str, type(None)), "state": dict,
         "steps": int, "optimiser": dict, "rng": torch.Tensor, "options": dict}
MOST_BITS = 64          # of a format: longer ones are no network's, and take memory


def state_digest(net: nn.Module) -> str:
    """sha256 of a golden network's tensors, without the batch-norm statistics."""
    h = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        if not name.endswith((".mean", ".var")):
            h.update(f"{name} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return h.hexdigest()


def in_form(found: Checkpoint, form: str | None) -> Checkpoint:
    """The checkpoint with spikes drawn in another form; None: as it is."""
    cfg = found.network.cfg
    if form is None or form == getattr(cfg, "sampling", None):
        return found
    if not hasattr(cfg, "sampling"):
        raise ExportError(f"sampling {form}: a network of family {cfg.family} draws no spikes; "
                          f"leave the option out")
    try:
        net = type(found.network)(replace(cfg, sampling=form))
    except ValueError as error:     # of the configuration's own rules
        raise ExportError(f"{error}; leave the option out") from None
    net.to(next(found.network.parameters()).dtype).load_state_dict(found.network.state_dict())
    return replace(found, network=net.train(found.network.training))


def read(path: Path, found: Checkpoint) -> dict:
    """Content of a file of this module, checked to belong to the golden network ``found``."""
    path = Path(path)
    if not path.is_file():
        raise ExportError(f"{path} does not exist; make it with python -m quant.finetune")
    try:
        content = stored.read(path)
    except StoredError as error:
        raise ExportError(f"{path} is damaged or was not made by quant.finetune: {error}") from None
    missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise ExportError(f"{path} was not made by quant.finetune: it lacks {', '.join(missing)}")
    if not isinstance(content["formats"], str):
        raise ExportError(f"{path} was made by an earlier version; make it again with "
                          f"python -m quant.finetune")
    try:
        content = stored.unsealed(content, path)
        fields.typed(content, TYPES)
    except StoredError as error:
        raise ExportError(f"{path}: {error}") from None
    if content["golden"] != state_digest(found.network):
        raise ExportError(f"{path} was fine-tuned from another checkpoint of {content['task']}; "
                          f"fine-tune this one, or export without --qat")
    return content


def _formatted(program: Program, formats: str) -> Program:
    """A folded network with the formats of a file; ``ExportError`` for a text that is none."""
    if any(len(bits) > 3 or int(bits) > MOST_BITS for bits in re.findall(r"Q\(-?(\d+)", formats)
           + re.findall(r",-?(\d+)\)", formats)):
        raise ExportError(f"the fine-tuned file has a format of more than {MOST_BITS} bits")
    try:
        m = forms.parsed(formats)
        like = Program(vocab=program.vocab, **of_structure(m, lambda name: np.zeros(0)))
        head = program.head and replace(program.head, fmt=HeadFormats.from_dict(m["head"]))
    except ArtifactError:
        raise
    except (UserError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ExportError(f"the fine-tuned file's formats are damaged: "
                          f"{type(error).__name__} {str(error)[:100]}") from None
    made = in_formats_of(in_blocks(program, like.block), like,
                         lambda name, t, fmt: Tensor(t.raw, fmt), ("bits", "rounding"))
    return replace(made, head=head)


def formats_of(program: Program) -> str:
    """All formats of a program as text."""
    return json.dumps(structure(program)
                      | {"head": program.head and program.head.fmt.to_dict()})


def build(content: dict, found: Checkpoint) -> QuantNetwork:
    """The model of a file's content, float64, in evaluation mode and in the file's form."""
    try:
        program = _formatted(fold(in_form(found, content.get("sampling")).network),
                             content["formats"])
    except ArtifactError as error:
        raise ExportError(f"the fine-tuned file has other operations: {error}") from None
    net = QuantNetwork(program)
    try:
        fields.fit(content["state"], net.state_dict(), widened=True)
    except StoredError as error:
        raise ExportError(f"the fine-tuned file does not fit the network: {error}") from None
    net.load_state_dict(content["state"])
    return net.eval()


def load(path: Path, found: Checkpoint) -> QuantNetwork:
    """The fine-tuned model in a file, float64, in evaluation mode.

    Raises :class:`quant.tune.fit.ExportError` if it is missing, damaged or of another network.
    """
    try:
        return build(read(path, found), found)
    except ExportError as error:
        raise ExportError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def save(path: Path, found: Checkpoint, net: QuantNetwork, steps: int, opt=None,
         options: dict | None = None) -> None:
    """Write the file; with an optimiser it can be resumed, without it is small.

    ``options`` are those of the fine-tuning, with which alone it can be gone on with.
    """
    content = {"task": tasks.spec(found.task), "golden": state_digest(found.network),
               "formats": formats_of(net.program), "sampling": net.sampling or None,
               "state": net.state_dict(), "steps": steps}
    if opt is not None:
        content |= {"optimiser": opt.state_dict(), "rng": torch.get_rng_state(),
                    "options": options or {}}
    checkpoint.write(path, content)
