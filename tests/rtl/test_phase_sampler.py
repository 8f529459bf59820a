"""The systematic sampler: exhaustively on small formats, and with stalls on both sides."""

import numpy as np
import pytest

from golden.base.qformat import SQ, UQ
from quant.formats import RandomFormat
from rtl.layer.phase_sampler import PhaseSampler
from rtl.layer.sampler import make_sampler
from tests.rtl.streams import exchange


def check(dut, words, stall):
    got, cycles = exchange(dut, {"i": words}, {"o": len(words)}, stall)
    expected = [dict(zip(("p", "s", "phase"), map(int, dut.model(**word)))) for word in words]
    assert got["o"] == expected
    assert {s["s"] for s in expected} == {0, 1}
    if not stall:
        assert {o - i for i, o in zip(cycles["i"], cycles["o"])} == {dut.latency}
        assert cycles["i"] == list(range(len(words)))


@pytest.mark.parametrize("p", [UQ(1, 1), UQ(1, 3), SQ(3, 3), SQ(1, 4), SQ(2, 1)], ids=str)
def test_every_value_and_phase(p):
    words = [{"p": raw, "r": r} for raw in range(p.lo, p.hi + 1) for r in range(1 << p.f_bits)]
    check(make_sampler("systematic", p, RandomFormat()), words, 0.0)


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("p", [UQ(1, 12), SQ(6, 12), SQ(9, 24)], ids=str)
def test_corners_and_random(p, stall):
    rng, one = np.random.default_rng(0), 1 << p.f_bits
    corners = [p.lo, p.lo + 1, -1, 0, 1, one - 1, one, one + 1, p.hi]
    words = [{"p": raw, "r": r} for raw in corners if p.lo <= raw <= p.hi
             for r in (0, 1, one // 2, one - 1)]
    words += [{"p": int(rng.integers(0, one + 1)), "r": int(rng.integers(one))} for _ in range(60)]
    check(PhaseSampler(p), words, stall)
