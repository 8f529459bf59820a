"""cocotb bench of Layer: block inputs to the next block's, the spikes at the tap between."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from sim.benches import parts
from sim.benches.stimulus import (block_inputs, framed, mixed_formats, rows_of, without_missing,
                                  words_of)
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
@cocotb.parametrize(variant=parts.having("layer"), stall=[0.0, 0.4])
async def matches_model(dut, variant: str, stall: float):
    (art, _, geo), part = parts.shape(variant), parts.components(variant)["layer"]
    name, x = f"{variant}_layer", block_inputs(art, LENGTHS, seed=9)
    words = framed(x, geo, LENGTHS)
    cut, engine = part.spec.cut, part.engine.model(words)
    values = {key: rows_of(engine, key, cut.formats[key], geo, LENGTHS) for key in cut.sent}
    if cut.ternary:
        op = cut.ternary.op
        values[op.makes] = op.apply(cut.ternary.formats, values[op.reads[0]])
    outs = [part.mixer.model({key: values[key][t] for key in mixed_formats(part.spec)}, row)[0]
            for t, row in enumerate(x)]
    seen = [key for key in ("s_in", "s_out", "end", "signature")
            if key in part.tap.shape().members]
    spikes = engine
    if cut.ternary:     # then a step's signature is there from its first word on
        spikes = words_of(part.spec, {"s_out": cut.ternary.made}, values, LENGTHS)
        for at, word in enumerate(spikes):
            word["signature"] = engine[at // geo.words * geo.words + geo.words - 1]["signature"]
    taps = []
    cocotb.start_soon(watch(dut, f"{name}__tap", part.tap.shape(), taps))
    got = await exchange(dut, part, name, {"i": words}, {"o": len(words)}, stall)
    difference = first_difference([{k: word[k] for k in seen} for word in spikes],
                                  [{k: word[k] for k in seen} for word in taps])
    assert not difference, f"tap, {difference}"
    difference = first_difference(*(without_missing(words, geo) for words in (
        framed(np.array(outs), geo, LENGTHS), got["o"])))
    assert not difference, difference
