"""The quantisation-aware model to an artifact, and an artifact's integers back to real numbers."""

import copy
from dataclasses import fields, replace

import torch

from golden.base.qformat import QFormat
from quant.formats import TERNARY, RandomFormat
from quant.integer.head import TENSORS
from quant.integer.memory import Fire
from quant.integer.operation import ArtifactError, Operation, Tensor
from quant.integer.ops import Embed, Table
from quant.integer.program import Artifact, Program
from quant.tune.draws import sobol_directions
from quant.tune.fit import ExportError, random_format
from quant.tune.qat import QuantNetwork


def _directed(program: Program, length: int, k: int) -> tuple:
    """The blocks, their samplers with the direction numbers that Sobol's form needs."""
    samplers = [op for ops in program.blocks for op in ops if isinstance(op, Fire)]
    if not samplers or samplers[0].form != "sobol":
        return program.blocks
    rows, fmt = sobol_directions(len(samplers), length, k), QFormat(0, k, False)
    return tuple(tuple(replace(op, directions=Tensor(rows[op.number], fmt))
                       if isinstance(op, Fire) else op for op in ops) for ops in program.blocks)


@torch.no_grad()
def to_artifact(net: QuantNetwork, task: str, length: int, seed: int, info: dict,
                random: RandomFormat | None = None) -> Artifact:
    """The model's integers, checked.

    ``length``: longest sequence; ``seed``: default master seed; ``random``: None: the generator
    that is long enough. Raises :class:`quant.tune.fit.ExportError` for what does not fit.
    """
    try:
        program = copy.deepcopy(net).double().eval().integers()
        whole = -(-length // program.block) * program.block
        random = random or random_format(whole, program.recurrences, program.H, program.n)
        parts = {f.name: getattr(program, f.name) for f in fields(Program)}
        parts["blocks"] = _directed(program, length, random.k)
        outputs = len(program.head.b2) if program.head else program.outputs
        return Artifact(**parts, task=task, n_classes=outputs, length=length, seed=seed,
                        random=random, info=info).check()
    except ArtifactError as error:
        raise ExportError(str(error)) from None


def to_program(art: Program) -> Program:
    """The real numbers that an artifact's integers stand for, with their formats."""
    def change(op: Operation) -> Operation:
        if isinstance(op, Table):
            return op
        if isinstance(op, Embed) and not op.table.fmt.signed:
            op = replace(op, unit=True)
        if not getattr(op, "shift", None):
            return op.on_tensors(lambda name, t: Tensor(t.real, t.fmt))
        scale = 2.0 ** (op.shift.raw - op.bias.fmt.f_bits)
        return replace(op, w=Tensor(op.w.raw * scale[:, None], op.w.fmt),
                       bias=Tensor(op.bias.real, op.bias.fmt))

    head = art.head and replace(art.head, **{name: art.head.tensor(name).real for name in TENSORS})
    parts = {f.name: getattr(art, f.name) for f in fields(Program)}
    return Program(**parts | {
        "first": tuple(map(change, art.first)),
        "blocks": tuple(tuple(map(change, ops)) for ops in art.blocks),
        "decoder_w": Tensor(art.decoder_w.real, art.decoder_w.fmt),
        "decoder_b": Tensor(art.decoder_b.real, art.decoder_b.fmt), "head": head})


def without_formats(program: Program) -> Program:
    """The same real numbers on no grid."""
    free = program.on_tensors(lambda place, name, t: Tensor(     # a sign is not trained
        t.raw, t.fmt if (name, t.fmt) == ("a", TERNARY) else None))
    return replace(free, decoder_w=Tensor(program.decoder_w.raw),
                   decoder_b=Tensor(program.decoder_b.raw),
                   head=program.head and replace(program.head, fmt=None))
