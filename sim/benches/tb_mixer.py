"""cocotb bench of Mixer: random spikes, all of them, none; the residual beside them."""

import cocotb
import numpy as np

from sim.benches import parts
from sim.benches.stimulus import bits, block_inputs, framed
from sim.benches.streams import exchange, first_difference, pulses

LENGTHS = (2, 1, 9)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(variant=list(parts.VARIANTS), stall=[0.0, 0.4])
async def matches_model(dut, variant: str, stall: float):
    (art, _, geo), part = parts.shape(variant), parts.components(variant)["mixer"]
    name = f"{variant}_mixer"
    x = block_inputs(art, LENGTHS, seed=5)
    spikes = np.random.default_rng(5).integers(0, 2, x.shape)
    spikes[1], spikes[2] = 1, 0
    outs, overs = zip(*(part.model(s, row) for s, row in zip(spikes, x)))
    words = framed(x, geo, LENGTHS)
    events = [{"s_out": bits(row), "s_in": 0, "first": word["first"], "last": word["last"],
               "end": int(w % geo.words == geo.words - 1), "signature": 0, "saturations": 0}
              for w, (row, word) in enumerate(zip(spikes.reshape(-1, geo.G), words))]
    counts = []
    if art.spiking.residual == "plain":
        cocotb.start_soon(pulses(dut, f"{name}__count", part.count.shape(), counts))
    got = await exchange(dut, part, name, {"i": events, "x": words}, {"o": len(words)}, stall)
    difference = first_difference(framed(np.array(outs), geo, LENGTHS), got["o"])
    assert not difference, difference
    if art.spiking.residual == "plain":
        ends = np.cumsum(LENGTHS)
        expected = [sum(overs[end - length:end]) for end, length in zip(ends, LENGTHS)]
        assert sum(expected) > 0 and counts == expected, f"saturations: expected {expected}, " \
                                                         f"got {counts}"
