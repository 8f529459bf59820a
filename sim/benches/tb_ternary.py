"""cocotb bench of Ternary: steps of zeros, of one value, of ties with the limit, then random."""

import cocotb

from sim.benches import parts
from sim.benches.stimulus import threshold_steps, threshold_words
from sim.benches.streams import exchange, first_difference


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(variant=parts.having("ternary"), stall=[0.0, 0.4])
async def matches_model(dut, variant: str, stall: float):
    part = parts.components(variant)["ternary"]
    steps = threshold_steps(part, 24, seed=7)
    words, expected = threshold_words(part, steps, seed=7)
    got = await exchange(dut, part, f"{variant}_ternary", {"i": words}, {"o": len(words)}, stall)
    difference = first_difference(expected, got["o"])
    assert not difference, difference
