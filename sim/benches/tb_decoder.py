"""cocotb bench of Decoder: sequences from one step to the longest."""

import cocotb

from sim.benches import parts
from sim.benches.stimulus import block_inputs, framed
from sim.benches.streams import exchange, first_difference, pack


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(variant=parts.having("decoder"), stall=[0.0, 0.4])
async def matches_model(dut, variant: str, stall: float):
    (art, _, geo), part = parts.shape(variant), parts.components(variant)["decoder"]
    name, lengths = f"{variant}_decoder", (1, art.length, 2, 3)
    x = block_inputs(art, lengths, seed=8)
    words = framed(x, geo, lengths)
    saturations = [3 + 1000 * j for j in range(len(art.blocks) + 1)]
    getattr(dut, f"{name}__saturations").value = pack(part.saturations.shape(), saturations)
    expected, at = [], 0
    for length in lengths:
        logits, label = part.model(x[at:at + length].sum(0), length)
        expected.append({"label": label, "logits": logits.tolist(), "saturations": saturations})
        at += length
    got = await exchange(dut, part, name, {"i": words}, {"o": len(lengths)}, stall)
    difference = first_difference(expected, got["o"])
    assert not difference, difference
