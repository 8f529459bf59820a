"""Random networks of leaky integrate-and-fire neurons, with a state space model and without."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from golden.base.qformat import QFormat
from quant.formats import SCALE, LayerFormats
from quant.integer.membrane import Integrate
from quant.integer.memory import Fire, States
from quant.integer.operation import Operation, Tensor
from quant.integer.ops import Clamp, Scale
from quant.integer.synthetic_samplers import Samplers


@dataclass(frozen=True)
class Integrators(Samplers):
    """Blocks as ``quant.lower.passes.integrators_block`` makes them: those of samplers with
    membranes in their place. Membranes have the format of the states, ``fmt.h``. With n = 0 there
    is no state space model: the drive is ``a s + b``, a in ``fmt.a``.
    """

    sampling: str = field(default="bernoulli", init=False)
    reset: str = "subtract"     # or zero

    ADDEND = 0.0, 0.5           # without spikes a drive stays above 0

    @property
    def formats(self) -> LayerFormats:
        """Without states no GELU takes their sum, and ``a`` is the spikes'."""
        found = super().formats
        return found if self.n else replace(found, a=None)

    def neurons(self, wiring: str) -> Integrate:
        """Leaks so slow that small drives add up to the threshold, which none of 1 reaches at once.
        """
        v, leak = self.formats.h, QFormat(0, self.formats.a_bar.width, False)
        theta = (max(1, self.limit(v)) if self.limits else
                 min(v.hi, round(self.rng.uniform(1.0, 1.3) * 2 ** v.f_bits)))
        return Integrate(wiring, Tensor(self.moderate(leak, self.H, 0.8, 0.99), leak),
                         Tensor(np.array(theta), v), v, self.reset)

    def integrating(self, ops: tuple[Operation, ...]) -> Iterator[Operation]:
        """That of samplers changed: a neuron does not clamp its drive by itself."""
        scale = self.fmt and self.fmt.a or SCALE
        for op in ops:
            if isinstance(op, Fire):
                if op.reads == ("p_in",):
                    yield Clamp("p_in -> p_in")
                yield self.neurons(op.wiring)
            elif not self.n and isinstance(op, Scale) and op.wiring == "y -> y":
                yield Scale("s_in -> y", Tensor(self.moderate(scale, self.H, -0.5, 1.5), scale),
                            op.b)
            elif self.n or not isinstance(op, States):
                yield op

    def parts(self) -> dict:
        parts = super().parts()
        return parts | {"blocks": tuple(tuple(self.integrating(ops)) for ops in parts["blocks"])}
