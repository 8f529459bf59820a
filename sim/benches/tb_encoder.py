"""cocotb bench of Encoder: every token, or every kind of sample."""

import cocotb
import numpy as np

from rtl.collector import Collector
from sim.benches import parts
from sim.benches.stimulus import framed, without_missing
from sim.benches.streams import exchange, first_difference, pulses

LENGTHS = (2, 1, 13)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(variant=parts.having("encoder"), stall=[0.0, 0.4])
async def matches_model(dut, variant: str, stall: float):
    (art, _, geo), part = parts.shape(variant), parts.components(variant)["encoder"]
    name = f"{variant}_encoder"
    top = art.vocab or 1 << art.sample.width
    values = np.random.default_rng(7).integers(0, top, sum(LENGTHS))
    values[:2] = 0, top - 1
    rows, overs = zip(*(part.model(int(v)) for v in values))
    ends = set(np.cumsum(LENGTHS) - 1)
    samples = [{"value": int(v), "last": int(t in ends)} for t, v in enumerate(values)]
    if geo.P > 1:
        samples = Collector(part.spec).model(samples)
    expected = framed(np.array(rows), geo, LENGTHS)
    counts = []
    if art.spiking.residual == "plain":
        cocotb.start_soon(pulses(dut, f"{name}__count", part.count.shape(), counts))
    got = await exchange(dut, part, name, {"i": samples}, {"o": len(expected)}, stall)
    difference = first_difference(*(without_missing(words, geo) for words in (expected, got["o"])))
    assert not difference, difference
    if art.spiking.residual == "plain":
        stops = np.cumsum(LENGTHS)
        expected = [sum(overs[stop - length:stop]) for stop, length in zip(stops, LENGTHS)]
        assert counts == expected, f"saturations: expected {expected}, got {counts}"
