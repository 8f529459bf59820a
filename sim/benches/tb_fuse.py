"""cocotb bench of Fuse: sums at their formats' ends and between, to the next layer's input."""

import cocotb
import numpy as np

from quant.integer.reference import Running
from rtl.layer import fuse
from sim.benches import parts
from sim.benches.stimulus import block_inputs, framed, without_missing, words_of
from sim.benches.streams import exchange, first_difference

LENGTHS = (2, 1, 9)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(variant=parts.having("fuse"), stall=[0.0, 0.4])
async def matches_model(dut, variant: str, stall: float):
    (art, _, geo), part = parts.shape(variant), parts.components(variant)["fuse"]
    spec, rng, steps = part.spec, np.random.default_rng(6), sum(LENGTHS)
    x, cut = block_inputs(art, LENGTHS, seed=6), part.spec.cut
    sums = {}
    for name, value in fuse.totals(spec).items():
        by = rng.integers(0, value.shape.width, (steps, geo.H))     # small ones too
        sums[name] = rng.integers(value.lo, value.hi + 1, by.shape) >> by
        sums[name][:2] = [[value.lo], [value.hi]]
    run = Running(tuple(wire.op for wire in cut.back),
                  {wire.op.makes: wire.made for wire in cut.mixes} | {"x": spec.x_format}, None)
    outs = [run(x=x[t], **{wire.op.makes: wire.op.shifted(sums[wire.op.makes][t])
                           for wire in cut.mixes}) for t in range(steps)]
    formats = {name: value.format for name, value in fuse.totals(spec).items()}
    words = [{name: value for name, value in word.items() if name != "end"}
             for word in words_of(spec, formats, sums, LENGTHS)]
    sends = {"i": words} | ({"x": framed(x, geo, LENGTHS)} if spec.fused else {})
    got = await exchange(dut, part, f"{variant}_fuse", sends, {"o": len(words)}, stall)
    difference = first_difference(*(without_missing(words, geo) for words in (
        framed(np.array(outs), geo, LENGTHS), got["o"])))
    assert not difference, difference
