"""The sampler against the reference's comparison, with stalls on both sides."""

import numpy as np
import pytest

from golden.base.qformat import SQ, UQ
from quant.formats import RandomFormat
from rtl.layer.sampler import Sampler
from tests.rtl.streams import exchange

RANDOM = {"centred": RandomFormat(), "plain": RandomFormat(centred=False),
          "coarse": RandomFormat(k=4)}


def operands(formats: dict, k: int, count: int, seed: int = 0) -> list[dict]:
    """Corners of every operand, then random ones."""
    rng = np.random.default_rng(seed)
    out = []
    for j in range(count):
        low = {name: int(rng.choice([q.lo, 0, q.hi, 1 << q.f_bits & q.hi]))
               for name, q in formats.items()}
        mid = {name: int(rng.integers(q.lo, q.hi + 1)) for name, q in formats.items()}
        r = int(rng.choice([0, (1 << k) - 1])) if j % 3 == 0 else int(rng.integers(1 << k))
        out.append((low if j % 4 == 0 else mid) | {"r": r})
    return out


def check(dut, words, stall):
    got, cycles = exchange(dut, {"i": words}, {"o": len(words)}, stall)
    expected = [dict(zip(("p", "s"), map(int, dut.model(**word)))) for word in words]
    assert got["o"] == expected
    assert {s["s"] for s in expected} == {0, 1}
    if not stall:
        taken, offered = cycles["i"], cycles["o"]
        assert [b - a for a, b in zip(taken, offered)] == [dut.latency] * len(words)
        assert taken == list(range(len(words)))


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("random", RANDOM.values(), ids=RANDOM.keys())
@pytest.mark.parametrize("p", [UQ(1, 12), SQ(6, 12), UQ(1, 3)], ids=str)
def test_sampler(p, random, stall):
    words = operands({"p": p}, random.k, 60)
    one = 1 << p.f_bits
    words += [{"p": p_raw, "r": r} for p_raw in (0, 1, one - 1, one)
              for r in (0, 1, (1 << random.k) - 1)]
    words += [{"p": r * one >> random.k, "r": r} for r in range(0, 1 << random.k, 4096)]
    check(Sampler(p, random), words, stall)
