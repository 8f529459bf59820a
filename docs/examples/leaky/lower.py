"""Lowering: the trained step as an operation with real numbers."""

from leaky import step
from leaky.operation import Leak
from quant.integer.operation import Tensor
from quant.lower.steps import STEPS, array


def leak(found: step.Leak, wiring: str, net) -> list[Leak]:
    return [Leak(wiring, *(Tensor(array(value)) for value in found.values()))]


STEPS[step.Leak] = leak
