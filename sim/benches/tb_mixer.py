"""cocotb bench of Mixer: random spikes or values, all of them, none; the residual beside them."""

import cocotb
import numpy as np

from sim.benches import parts
from sim.benches.stimulus import (block_inputs, framed, mixed_formats, mixed_values,
                                  without_missing, words_of)
from sim.benches.streams import exchange, first_difference, pulses

LENGTHS = (2, 1, 9)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(variant=parts.having("mixer"), stall=[0.0, 0.4])
async def matches_model(dut, variant: str, stall: float):
    (art, _, geo), part = parts.shape(variant), parts.components(variant)["mixer"]
    name, spec = f"{variant}_mixer", part.spec
    x, values = block_inputs(art, LENGTHS, seed=5), mixed_values(spec, sum(LENGTHS), seed=5)
    outs, overs = zip(*(part.model({name: raw[t] for name, raw in values.items()}, row)
                        for t, row in enumerate(x)))
    sends = {"i": words_of(spec, mixed_formats(spec), values, LENGTHS)}
    sends |= {"x": framed(x, geo, LENGTHS)} if spec.fused else {}
    counts = []
    if spec.saturates:
        cocotb.start_soon(pulses(dut, f"{name}__count", part.count.shape(), counts))
    got = await exchange(dut, part, name, sends, {"o": len(sends["i"])}, stall)
    difference = first_difference(*(without_missing(words, geo) for words in (
        framed(np.array(outs), geo, LENGTHS), got["o"])))
    assert not difference, difference
    if spec.saturates:
        ends = np.cumsum(LENGTHS)
        expected = [sum(overs[end - length:end]) for end, length in zip(ends, LENGTHS)]
        assert counts == expected, f"saturations: expected {expected}, got {counts}"
        assert variant != "narrow" or sum(expected) > 0
