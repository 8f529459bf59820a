"""cocotb bench of XBuffer: both readers see every word once, in order."""

import cocotb

from sim.benches import parts
from sim.benches.stimulus import block_inputs, framed
from sim.benches.streams import exchange, first_difference

LENGTHS = (1, 7, 22)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(variant=parts.having("x_buffer"), stall=[0.0, 0.4])
async def matches_model(dut, variant: str, stall: float):
    (art, _, geo), part = parts.shape(variant), parts.components(variant)["x_buffer"]
    words = framed(block_inputs(art, LENGTHS, seed=6), geo, LENGTHS)
    got = await exchange(dut, part, f"{variant}_x_buffer", {"i": words},
                         {"o": len(words), "fuse": len(words)}, stall)
    for reader in ("o", "fuse"):
        difference = first_difference(part.model(words), got[reader])
        assert not difference, f"{reader}, {difference}"
