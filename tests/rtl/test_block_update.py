"""BlockUpdate against the operation's integers, with stalls on both sides."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from golden.base.qformat import SQ, UQ, QFormat
from quant.formats import BIT, LayerFormats, RandomFormat
from rtl.layer.block_update import BlockUpdate
from sim.benches.lane import Together
from tests.rtl.streams import exchange
from tests.rtl.test_state_update import FORMATS, ROUNDINGS
from tests.rtl.test_state_update import states as states_of


def states(fmt: LayerFormats, rounding: str):
    """The operation of two steps whose coefficients come with the states."""
    op = states_of(fmt, rounding)
    return replace(op, a2_re=op.a_re, a2_im=op.a_im, g1_re=op.g_re, g1_im=op.g_im, d1=op.d)


def operands(dut: BlockUpdate, fmt: LayerFormats, seed: int) -> list[dict]:
    """Every corner of the states, A_bar and A2, ties, then random operands."""
    rng, u, r = np.random.default_rng(seed), dut.u, UQ(2 * dut.random.round_bits, 0)
    formats = {"h_re": fmt.h, "h_im": fmt.h} | {
        f"{name}_{part}": q for name, q in (("a2", fmt.a_bar), ("a", fmt.a_bar), ("g1", fmt.g),
                                            ("g", fmt.g)) for part in ("re", "im")}
    formats |= {"u1": u, "u2": u} | ({"r": r} if dut.op.rounding == "stochastic" else {})

    def word(*given, **known):
        found = {name: int(rng.choice([q.lo, q.hi])) if given else
                 int(rng.integers(q.lo, q.hi + 1)) for name, q in formats.items()}
        return found | dict(zip(formats, *given or [()])) | known
    words = [word(corner) for corner in itertools.product(
        *((q.lo, q.hi) for q in list(formats.values())[:6]))]
    words += [word(h_re=value, h_im=-value, a2_re=1 << fmt.a_bar.f_bits - 1, a2_im=0, u1=0, u2=0)
              for value in range(-5, 6)]
    return words + [word() for _ in range(60)]


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS.keys())
@pytest.mark.parametrize("spread", [True, False], ids=["spread", "close"])
@pytest.mark.parametrize("u", [BIT, SQ(3, 5), UQ(1, 4), SQ(6, 0)], ids=str)
def test_matches_model(u: QFormat, fmt: LayerFormats, rounding: str, stall: float, spread: bool):
    """With spikes and with values, whose product with g is finer or coarser than A2 h."""
    dut = BlockUpdate(states(fmt, rounding), u, ROUNDINGS[rounding], spread=spread)
    words = operands(dut, fmt, seed=1)
    part = Together(dut)
    got, cycles = exchange(part, {"i": [part.given(word) for word in words]}, {"o": len(words)},
                           stall)
    saturated = 0
    for j, (word, out) in enumerate(zip(words, got["o"])):
        h_re, h_im, over, p = dut.model(**word)
        assert (out["h_re"], out["h_im"], out["p"]) == (h_re, h_im, p), f"{j}: {word}"
        assert out["over"].bit_count() == over, f"{j}: {word}"
        saturated += over
    assert saturated
    if not stall:
        assert [b - a for a, b in zip(cycles["i"], cycles["o"])] == [dut.latency] * len(words)
        assert cycles["i"] == list(range(len(words)))
