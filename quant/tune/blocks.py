"""A network's real numbers with one or with two steps per update of the states."""

from dataclasses import replace

import numpy as np

from golden.base.qformat import cover_signed
from quant.integer.memory import States
from quant.integer.operation import ArtifactError, Operation, Tensor
from quant.integer.program import Program


def in_blocks(program: Program, block: int) -> Program:
    """The same network with ``block`` steps per update, 1 or 2; its tensors are real numbers.

    With formats a2 and g1 get those of A_bar and g, and d1 the fraction bits of d. Raises
    :class:`ArtifactError` for states that go backwards, and where g1 leaves its format.
    """
    if block == program.block:
        return program

    def changed(j: int, op: Operation) -> Operation:
        if not isinstance(op, States):
            return op
        if op.backwards:
            raise ArtifactError(f"layer {j}, {op}: a network that goes backwards in time has one "
                                f"step per update; leave --block {block} out")
        return replace(op, **(dict.fromkeys(op.OF_BLOCK) if block == 1 else _following(j, op)))

    return replace(program, block=block, blocks=tuple(
        tuple(changed(j, op) for op in ops) for j, ops in enumerate(program.blocks)))


def _following(j: int, op: States) -> dict[str, Tensor]:
    """a2 = A_bar^2, g1 = A_bar g and d1 = d + sum Re g, by their names."""
    A, g = op.a_re.raw + 1j * op.a_im.raw, op.g_re.raw + 1j * op.g_im.raw
    a2, g1, d1 = A * A, A * g, op.d.raw + g.real.sum(-1)
    direct = op.d.fmt and cover_signed(d1.min(), d1.max(), op.d.fmt.f_bits)
    found = zip(op.OF_BLOCK, (a2.real, a2.imag, g1.real, g1.imag, d1),
                (op.a_re.fmt, op.a_im.fmt, op.g_re.fmt, op.g_im.fmt, direct))
    made = {name: Tensor(value, fmt) for name, value, fmt in found}
    for name in ("g1_re", "g1_im"):
        fmt, raw = made[name].fmt, made[name].raw
        if fmt is None:
            continue
        raw = np.rint(raw * 2.0 ** fmt.f_bits)
        wrong = np.count_nonzero((raw < fmt.lo) | (raw > fmt.hi))
        if wrong:
            raise ArtifactError(f"layer {j}, {op}, {name}: {wrong} of {raw.size} values leave "
                                f"{fmt}, the format of g; fine-tune with --block 2")
    return made
