"""cocotb bench of StateUpdate: corners of every operand, then random ones."""

import cocotb

from golden.base.qformat import UQ
from sim.benches import parts
from sim.benches.stimulus import as_words, corners_and_random
from sim.benches.streams import exchange, first_difference


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(variant=parts.having("state_update"), stall=[0.0, 0.4])
async def matches_model(dut, variant: str, stall: float):
    part = parts.components(variant)["state_update"]
    op = part.op
    formats = {"h_re": op.h, "h_im": op.h, "u": part.u} | {
        name: getattr(op, name).fmt for name in ("a_re", "a_im", "g_re", "g_im")}
    if op.rounding == "stochastic":
        formats["r"] = UQ(2 * part.random.round_bits, 0)
    words = as_words(corners_and_random(formats, 150, seed=1))
    expected = []
    for word in words:
        h_re, h_im, over = part.model(**word)
        expected.append({"h_re": int(h_re), "h_im": int(h_im), "over": int(over)})
    got = await exchange(dut, part, f"{variant}_state_update", {"i": words}, {"o": len(words)},
                         stall)
    for word in got["o"]:
        word["over"] = word["over"].bit_count()
    difference = first_difference(expected, got["o"])
    assert not difference, difference
