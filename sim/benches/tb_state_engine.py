"""cocotb bench of StateEngine: whole steps, sequences back to back."""

import cocotb

from sim.benches import parts
from sim.benches.stimulus import block_inputs, framed
from sim.benches.streams import exchange, first_difference

LENGTHS = (3, 1, 12)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(variant=parts.having("state_engine"), stall=[0.0, 0.4])
async def matches_model(dut, variant: str, stall: float):
    (art, _, geo), part = parts.shape(variant), parts.components(variant)["state_engine"]
    words = framed(block_inputs(art, LENGTHS, seed=4), geo, LENGTHS)
    got = await exchange(dut, part, f"{variant}_state_engine", {"i": words}, {"o": len(words)},
                         stall)
    difference = first_difference(part.model(words), got["o"])
    assert not difference, difference
