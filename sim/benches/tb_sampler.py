"""cocotb bench of the samplers: values at and beside every threshold, then random ones."""

import cocotb

from golden.base.qformat import UQ
from sim.benches import parts
from sim.benches.stimulus import as_words, corners_and_random
from sim.benches.streams import exchange, first_difference


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(variant=parts.having("sampler"), stall=[0.0, 0.4])
async def matches_model(dut, variant: str, stall: float):
    art, part = parts.shape(variant)[0], parts.components(variant)["sampler"]
    k = part.p.f_bits if art.spiking.sampling == "systematic" else art.random.k     # bits of r
    step = max(1, (1 << k) // 40)
    words = as_words(corners_and_random({"p": part.p, "r": UQ(k, 0)}, 100, seed=2))
    words += [{"p": (r << part.p.f_bits >> k) + off, "r": r}
              for r in range(0, 1 << k, step) for off in (-1, 0, 1)]
    names = list(part.o.payload.shape().members)
    expected = [dict(zip(names, map(int, part.model(**word)), strict=True)) for word in words]
    got = await exchange(dut, part, f"{variant}_sampler", {"i": words}, {"o": len(words)}, stall)
    difference = first_difference(expected, got["o"])
    assert not difference, difference
