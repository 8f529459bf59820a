"""Energy of a time step: counted from the operations that the core makes, or from its toggles.

Both are estimates for comparing configurations, not measurements of a chip. Prices of operations
are those of 45 nm (Horowitz, "Computing's energy problem", ISSCC 2014: 32-bit integer product
3.1 pJ, 32-bit integer sum 0.1 pJ, 64 bits from an 8 kB SRAM 10 pJ), scaled by the widths.
"""

from dataclasses import dataclass

import numpy as np

from quant.formats import TERNARY
from quant.integer.artifact import Artifact
from quant.integer.reference import Trace
from rtl.layer import chains
from rtl.layer.columns import is_bit
from rtl.layer.fuse import totals
from rtl.parts.config import HardwareConfig
from rtl.plan import plan

PRODUCT_PJ = 3.1 / 32 / 32      # per bit of one operand and bit of the other
SUM_PJ = 0.1 / 32               # per bit
MEMORY_PJ = 10 / 64             # per bit read or written
# A net that changes: half of C V^2 with the 1.1 V of an ECP5's core and an assumed 0.5 pF of
# routing and inputs.
TOGGLE_PJ = 0.5 * 0.5 * 1.1 ** 2


@dataclass(frozen=True)
class Work:
    """What one time step takes; numbers per step, widths are in ``picojoules`` already."""

    products: float         # of a state and a coefficient, 4 per complex mode; and of other parts
    sums: float
    memory_bits: float      # read and written
    picojoules: dict[str, float]    # by part

    @property
    def total(self) -> float:
        return sum(self.picojoules.values())

    def to_dict(self) -> dict:
        return {"products": self.products, "sums": self.sums, "memory_bits": self.memory_bits,
                "pJ": {name: round(value, 1) for name, value in self.picojoules.items()},
                "nJ_per_step": self.total / 1000}


def rates(traces: list[Trace]) -> np.ndarray:
    """(layers, 2) spikes per neuron and step, in front of and behind the states; -1 is one too."""
    H = traces[0].s_out.shape[-1]
    steps = sum(trace.s_out.shape[1] for trace in traces)
    return sum(np.stack([np.count_nonzero(s, (1, 2)) for s in (t.s_in, t.s_out)], 1)
               for t in traces) / steps / H


def counted(art: Artifact, spike_rates: np.ndarray) -> Work:
    """Operations of a step: state updates included, comparisons and random words not priced.

    Memory that is read or written: states, the coefficients A_bar and g, and the columns of W of
    the neurons that fired.
    """
    H, n = art.H, art.n
    products = sums = memory = 0.0
    price = dict.fromkeys(("products", "sums", "memory"), 0.0)

    def multiply(count: float, a_bits: int, b_bits: int) -> None:
        nonlocal products
        products += count
        price["products"] += count * a_bits * b_bits * PRODUCT_PJ

    def add(count: float, bits: int) -> None:
        nonlocal sums
        sums += count
        price["sums"] += count * bits * SUM_PJ

    def move(bits: float) -> None:
        nonlocal memory
        memory += bits
        price["memory"] += bits * MEMORY_PJ

    for spec, (r_in, r_out) in zip(plan(art, HardwareConfig(1)).layers, spike_rates):
        if spec.cut.states:
            _states(spec, r_in, multiply, add, move)
        for flow in chains.flows(spec, totals(spec)):
            for a_bits, b_bits in flow.products:
                multiply(H, a_bits, b_bits)
            for bits in flow.sums:
                add(H, bits)
            for _, rows, bits in flow.memories:
                move(2 * rows * bits / spec.geo.P)
        for wire in spec.cut.mixes:
            # Columns of the neurons that fired; all where it takes values.
            share = r_out if is_bit(wire.formats[0]) or wire.formats[0] == TERNARY else 1
            add(H * H * share, totals(spec)[wire.op.makes].shape.width)
            move(H * H * share * wire.op.w.fmt.width)
    if not art.vocab:
        multiply(H, art.first[0].a.fmt.width, art.sample.width)
    add(H, 32)                                                  # the decoder's sums over time
    return Work(products, sums, memory, price)


def _states(spec, r_in: float, multiply, add, move) -> None:
    """State updates of a step, where a share r_in of the neurons' inputs fired."""
    op, (u,), H, n = spec.cut.states.op, spec.cut.states.formats, spec.geo.H, spec.geo.n
    a, h, g, P = op.a_re.fmt.width, op.h.width, op.g_re.fmt.width, spec.geo.P
    # Two steps at once: Re(A h), and A^2 h in three products; their states move once.
    multiply((4 if P == 1 else 5 / P) * H * n, a, h)
    add((2 if P == 1 else 5 / P) * H * n, a + h)        # inside the complex products
    if not spec.spikes_enter:
        multiply(2 * H * n, g, u.width)
        multiply(H, op.d.fmt.width, u.width)
        r_in = 1
    add(2 * H * n * r_in, a + h)                # g u, where a neuron's input fired
    add(H * n + H * (1 + r_in), chains.drive(spec).shape.width)     # the sum of Re h, d and b
    move((2 * 2 * h / P + 2 * a + 2 * g) * H * n)
