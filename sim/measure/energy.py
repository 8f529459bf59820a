"""Energy of a time step: counted from the operations that the core makes, or from its toggles.

Both are estimates for comparing configurations, not measurements of a chip. Prices of operations
are those of 45 nm (Horowitz, "Computing's energy problem", ISSCC 2014: 32-bit integer product
3.1 pJ, 32-bit integer sum 0.1 pJ, 64 bits from an 8 kB SRAM 10 pJ), scaled by the widths.
"""

from dataclasses import dataclass

import numpy as np

from quant.integer.artifact import Artifact
from quant.integer.reference import Trace

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
    _, _, H = traces[0].s_out.shape
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

    for layer, (r_in, r_out) in zip(art.spiking.layers, spike_rates):
        fmt = layer.fmt
        multiply(4 * H * n, fmt.a_bar.width, fmt.h.width)
        add(2 * H * n, fmt.a_bar.width + fmt.h.width)             # inside the complex products
        add(2 * H * n * r_in, fmt.a_bar.width + fmt.h.width)      # g, where a neuron's input fired
        add(H * n + H * (1 + r_in), fmt.y(n).width)              # the sum of Re h, d and b
        move((2 * 2 * fmt.h.width + 2 * fmt.a_bar.width + 2 * fmt.g.width) * H * n)
        add(H * H * r_out + 2 * H, fmt.bias.width)               # the mixer, its bias and addend
        move(H * H * r_out * fmt.w.width)
        if art.spiking.residual == "plain":
            multiply(H, fmt.alpha.width, fmt.x.width)
        if art.spiking.residual != "none":
            add(H, fmt.bias.width)
    if not art.vocab:
        multiply(H, art.spiking.edge.enc_w.width, art.sample.width)
    add(H, 32)                                                  # the decoder's sums over time
    return Work(products, sums, memory, price)
