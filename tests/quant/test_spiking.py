"""What hardware recognises: the pattern of a block, and the name of what is not in it."""

from dataclasses import replace

import numpy as np
import pytest

from quant.formats import TERNARY
from quant.integer.operation import ArtifactError, Tensor
from quant.integer.ops import Clamp, Curve, Limit, Mix, Round, Scale
from quant.integer.memory import Fire, States
from quant.integer.synthetic import random_artifact

ART = random_artifact(1, gain=True, gelu_out=True, residual="plain", sampling="sobol")


def test_written_again_it_is_the_same():
    again = ART.spiking.parts()
    assert [str(op) for op in again["blocks"][1]] == [str(op) for op in ART.blocks[1]]
    for one, other in zip(again["blocks"][1], ART.blocks[1]):
        for name, tensor in other.tensors.items():
            np.testing.assert_array_equal(one.tensors[name].raw, tensor.raw)
            assert one.tensors[name].fmt == tensor.fmt


def of(kind, wiring="", **change):
    """A change of the operations of a kind, some of their options."""
    return lambda ops: [replace(op, **change) if isinstance(op, kind) and wiring in op.wiring
                        else op for op in ops]


def signs(value, fmt=TERNARY):
    def change(ops):
        at = next(i for i, op in enumerate(ops) if isinstance(op, Scale) and op.wiring == "z -> z")
        return [*ops[:at], replace(ops[at], a=Tensor(np.full(8, value), fmt)), *ops[at + 1:]]
    return change


WRONG = {
    r"Clamp \(x -> x\) comes after the last operation": lambda ops: [*ops, Clamp("x -> x")],
    r"it ends where hardware needs Limit \(z -> x\)": lambda ops: ops[:-1],
    r"found Scale \(x -> p_in\), but hardware needs Fire \(p_in -> s_in\) here": lambda ops: [
        ops[0], *ops],
    r"Mix \(s_out -> z\) has shift = None": of(Mix, shift=None),
    r"Fire \(p_in -> s_in\) has number = 7, not 2": of(Fire, "p_in", number=7),
    r"Limit \(z -> x\) has counted = False, not True": of(Limit, counted=False),
    r"Scale \(z -> z\) must be a sign .*, and a gain must be rounded to 12 bits": of(Round, bits=3),
    r"Scale \(z -> z\) must be a sign": signs(-2),
    r"Scale \(z -> z\) must be a sign \(1 or -1\)": signs(1, ART.spiking.layers[0].fmt.gain),
    r"layer 1 has .*'half_even'.*layers of one kind": of(States, rounding="half_even"),
    r"layer 1 has .*'identity'.*layers of one kind": lambda ops: [
        op for op in ops if not (isinstance(op, Curve) and op.wiring == "z -> z")]}


@pytest.mark.parametrize("message", WRONG)
def test_another_operation_is_named(message):
    blocks = ART.blocks[0], tuple(WRONG[message](list(ART.blocks[1])))
    with pytest.raises(ArtifactError, match=message):
        replace(ART, blocks=blocks).spiking


def test_the_encoder_too():
    first = ART.first[0], replace(ART.first[1], to=ART.decoder_w.fmt)
    with pytest.raises(ArtifactError, match=r"encoder: Limit \(x -> x\) has to = SQ\(2,6\)"):
        replace(ART, first=first).spiking
