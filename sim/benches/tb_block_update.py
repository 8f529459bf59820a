"""cocotb bench of BlockUpdate: corners of the states and A_bar, A2, then random operands."""

import cocotb

from golden.base.qformat import UQ
from sim.benches import parts
from sim.benches.stimulus import as_words, corners_and_random
from sim.benches.streams import exchange, first_difference


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(variant=parts.having("block_update"), stall=[0.0, 0.4])
async def matches_model(dut, variant: str, stall: float):
    part = parts.components(variant)["block_update"]
    lane = part.lane
    op = lane.op
    formats = {"h_re": op.h, "h_im": op.h} | {name: getattr(op, name).fmt for name in (
        "a_re", "a_im", "a2_re", "a2_im")}
    rest = {name: getattr(op, name).fmt for name in ("g_re", "g_im", "g1_re", "g1_im")}
    rest |= {"u1": lane.u, "u2": lane.u}
    if op.rounding == "stochastic":
        rest["r"] = UQ(2 * lane.random.round_bits, 0)
    words = as_words(corners_and_random(formats, 150, seed=1))
    more = as_words(corners_and_random(rest, 0, seed=2))    # every corner of these by itself
    words = [word | more[37 * j % len(more)] for j, word in enumerate(words)]
    expected = []
    for word in words:
        h_re, h_im, over, p = lane.model(**word)
        expected.append({"h_re": int(h_re), "h_im": int(h_im), "over": over, "p": int(p)})
    got = await exchange(dut, part, f"{variant}_block_update",
                         {"i": [part.given(word) for word in words]}, {"o": len(words)}, stall)
    for word in got["o"]:
        word["over"] = word["over"].bit_count()
    difference = first_difference(expected, got["o"])
    assert not difference, difference
