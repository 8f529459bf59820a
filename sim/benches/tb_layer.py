"""cocotb bench of Layer: block inputs to the next block's, the spikes at the tap between."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from sim.benches import parts
from sim.benches.stimulus import block_inputs, framed
from sim.benches.streams import exchange, first_difference, unpack

LENGTHS = (2, 1, 9)


async def watch(dut, name: str, layout, words: list) -> None:
    """Append every committed spike word."""
    port = getattr(dut, name)
    while True:
        await RisingEdge(dut.clk)
        word = unpack(layout, int(port.value))
        if word["valid"]:
            words.append(word)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(variant=list(parts.VARIANTS), stall=[0.0, 0.4])
async def matches_model(dut, variant: str, stall: float):
    (art, _, geo), part = parts.shape(variant), parts.components(variant)["layer"]
    name, x = f"{variant}_layer", block_inputs(art, LENGTHS, seed=9)
    words = framed(x, geo, LENGTHS)
    spikes = part.engine.model(words)
    fired = np.array([[word["s_out"] >> g & 1 for g in range(geo.G)] for word in spikes])
    outs = [part.mixer.model(s, row)[0] for s, row in zip(fired.reshape(x.shape), x)]
    taps = []
    cocotb.start_soon(watch(dut, f"{name}__tap", part.tap.shape(), taps))
    got = await exchange(dut, part, name, {"i": words}, {"o": len(words)}, stall)
    seen = ("s_in", "s_out", "end", "signature")
    difference = first_difference([{k: word[k] for k in seen} for word in spikes],
                                  [{k: word[k] for k in seen} for word in taps])
    assert not difference, f"tap, {difference}"
    difference = first_difference(framed(np.array(outs), geo, LENGTHS), got["o"])
    assert not difference, difference
