"""StateUpdate against the reference, with stalls on both sides."""

import itertools

import numpy as np
import pytest

from golden.base.qformat import SQ, UQ, QFormat
from quant.formats import BIT, LayerFormats, RandomFormat
from quant.integer.memory import States
from quant.integer.operation import Tensor
from rtl.layer.state_update import StateUpdate
from tests.rtl.streams import exchange

FORMATS = {
    "default": LayerFormats(),
    "narrow": LayerFormats(h=SQ(2, 6), drive=SQ(4, 6), a_bar=SQ(1, 10), g=SQ(3, 4)),
    "wide": LayerFormats(h=SQ(4, 14), drive=SQ(4, 14), a_bar=SQ(1, 17), g=SQ(2, 16)),
}
ROUNDINGS = {"stochastic": RandomFormat(), "coarse": RandomFormat(round_bits=2),
             "half_even": RandomFormat()}


def operands(fmt: LayerFormats, u: QFormat, random: RandomFormat, seed: int) -> list[dict]:
    """Every corner of the states and A_bar, ties, then random operands."""
    rng = np.random.default_rng(seed)
    h, a, g, bits = fmt.h, fmt.a_bar, fmt.g, 2 * random.round_bits
    words = [dict(zip(("h_re", "h_im", "a_re", "a_im"), corner),
                  u=int(rng.choice([u.lo, u.hi])), g_re=int(rng.choice([g.lo, g.hi])),
                  g_im=int(rng.choice([g.lo, g.hi])), r=int(rng.choice([0, (1 << bits) - 1])))
             for corner in itertools.product((h.lo, h.hi), (h.lo, h.hi), (a.lo, a.hi),
                                             (a.lo, a.hi))]
    words += [dict(h_re=value, h_im=-value, a_re=1 << a.f_bits - 1, a_im=0, u=0, g_re=g.hi,
                   g_im=g.lo, r=int(rng.integers(1 << bits))) for value in range(-5, 6)]
    for _ in range(60):
        word = {name: int(rng.integers(q.lo, q.hi + 1)) for name, q in
                (("h_re", h), ("h_im", h), ("a_re", a), ("a_im", a), ("g_re", g), ("g_im", g))}
        words.append(word | {"u": int(rng.integers(u.lo, u.hi + 1)),
                             "r": int(rng.integers(1 << bits))})
    return words


def states(fmt: LayerFormats, rounding: str) -> States:
    """The operation whose coefficients come with the states."""
    a, g = (Tensor(np.zeros((1, 1), np.int64), q) for q in (fmt.a_bar, fmt.g))
    return States("u -> y", a, a, g, g, Tensor(np.zeros(1, np.int64), fmt.drive), fmt.h,
                  "half_even" if rounding == "half_even" else "stochastic", 0)


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS.keys())
@pytest.mark.parametrize("spread", [True, False], ids=["spread", "close"])
@pytest.mark.parametrize("u", [BIT, SQ(3, 5), UQ(1, 4), SQ(6, 0)], ids=str)
def test_matches_model(u, fmt, rounding, stall, spread):
    """With spikes and with values, whose product with g is finer or coarser than A_bar h."""
    random = ROUNDINGS[rounding]
    dut = StateUpdate(states(fmt, rounding), u, random, spread=spread)
    words = operands(fmt, u, random, seed=1)
    if rounding == "half_even":
        words = [{name: raw for name, raw in word.items() if name != "r"} for word in words]
    got, cycles = exchange(dut, {"i": words}, {"o": len(words)}, stall)
    saturated = 0
    for j, (word, out) in enumerate(zip(words, got["o"])):
        h_re, h_im, over = dut.model(**word)
        assert (out["h_re"], out["h_im"]) == (h_re, h_im), f"{j}: {word}"
        assert out["over"].bit_count() == over, f"{j}: {word}"
        for bit, value in enumerate((h_re, h_im)):
            assert not out["over"] >> bit & 1 or value in (fmt.h.lo, fmt.h.hi)
        saturated += over
    assert saturated
    if not stall:
        assert [b - a for a, b in zip(cycles["i"], cycles["o"])] == [dut.latency] * len(words)
        assert cycles["i"] == list(range(len(words)))
