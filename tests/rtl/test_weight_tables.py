"""The tables of weights against sums of weights, before and after weights are written."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.base.qformat import SQ, UQ
from quant.formats import TERNARY
from quant.integer.operation import Tensor
from rtl.layer.table_build import spacing
from rtl.layer.table_shape import TableShape
from rtl.layer.weight_tables import WeightTables
from rtl.parts.config import HardwareConfig
from rtl.parts.memory import Region, pack_rows, place
from rtl.parts.streams import shape_of

# name: neurons, format of the weights, outputs a cycle
CASES = {
    "one neuron": (1, SQ(4, 0), 1), "three": (3, SQ(7, 0), 1), "four": (4, SQ(7, 0), 2),
    "two banks": (9, SQ(6, 0), 2), "narrow": (6, TERNARY, 2), "bits": (6, UQ(1, 0), 2),
    "unsigned": (5, UQ(6, 0), 1), "fractions": (12, SQ(2, 3), 1), "wide": (8, SQ(8, 0), 2),
    "a group a bank": (130, SQ(7, 0), 2),
}


def weights(H: int, fmt, seed: int) -> Tensor:
    """At both ends in the first neurons, random elsewhere; of 8 bits only one of each four.

    Four of them that are not of one seed would not fit an entry.
    """
    rng, ends = np.random.default_rng(seed), [fmt.lo, fmt.hi]
    w = rng.integers(fmt.lo, fmt.hi, (H, H), endpoint=True)
    w[:, :4] = np.where(rng.random(w[:, :4].shape) < 0.8, rng.choice(ends, (H, 1)), w[:, :4])
    if fmt.width == 8:
        w = np.where(np.arange(H) % 4 == seed % 4, w, w // 4)
    return Tensor(w, fmt)


def region(w: Tensor) -> Region:
    """Not at address 0, and with another in front."""
    H = len(w.raw)
    *_, found = place([Region("before", 32, (0,) * 3), Region("w", H * w.fmt.width, pack_rows(
        [(w.raw.T, w.fmt.width)]))])
    return found


def make(case: str):
    H, fmt, outputs = CASES[case]
    w = weights(H, fmt, 1)
    total = shape_of(fmt.total(H))
    return WeightTables(region(w), w, total, outputs, HardwareConfig()), w


def check(dut, w: np.ndarray, writes=(), apart: int = 1, seed: int = 3):
    """Random pairs and spikes, one after the other; expected ``latency`` cycles later."""
    H, rng, expected = len(w), np.random.default_rng(seed), []

    async def bench(ctx):
        for addr, word in writes:
            ctx.set(dut.cfg.addr, addr)
            ctx.set(dut.cfg.data, word)
            ctx.set(dut.cfg.en, 1)
            await ctx.tick()
            ctx.set(dut.cfg.en, 0)
            ctx.set(dut.cfg.data, 0xAAAAAAAA)
            await ctx.tick().repeat(apart - 1)
        for cycle in range(60 + dut.latency):
            if cycle >= dut.latency:
                pair, high, spikes = expected[cycle - dut.latency]
                want = dut.model(pair, spikes, w)
                want = want[high:high + 1] if dut.outputs == 1 else want
                got = [ctx.get(one) for one in dut.sums][:len(want)]
                assert got == want, f"cycle {cycle}, pair {pair}, {high}"
            rate = rng.choice([0, 0.5, 1])
            spikes = (rng.random(H) < rate).astype(np.int64)
            pair = int(rng.integers(dut.shape.pairs))
            high = int(rng.integers(2)) if 2 * pair + 1 < H else 0
            expected.append((pair, high, spikes))
            ctx.set(dut.pair, pair)
            ctx.set(dut.high, high)
            ctx.set(dut.spikes, int("".join(map(str, spikes[::-1])), 2))
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("case", CASES)
def test_sums(case):
    dut, w = make(case)
    check(dut, w.raw)


@pytest.mark.parametrize("case", [case for case in CASES if case != "a group a bank"])
def test_weights_that_are_written(case):
    """All of them, as near to each other as may be; the tables are those of the new ones."""
    dut, w = make(case)
    other = weights(len(w.raw), w.fmt, 2)
    writes = region(other).writes()
    check(dut, other.raw, writes, spacing(w.fmt.width))


@pytest.mark.parametrize("case", ["three", "two banks", "wide"])
def test_some_rows_in_any_order(case):
    """Twice, and other addresses between them; the rest stays as it was."""
    dut, w = make(case)
    H, mixed = len(w.raw), w.raw.copy()
    rng, writes = np.random.default_rng(4), []
    for seed in (5, 6):
        other = weights(H, w.fmt, seed)
        new = region(other)
        for row in rng.permutation(H)[:-1].tolist():
            mixed[:, row] = other.raw[:, row]
            writes += [(new.base + row * new.stride + c, new.rows[row] >> 32 * c & 0xFFFFFFFF)
                       for c in range(new.chunks)]
            writes += [(new.base - 1, 0x12345678), (new.base + new.size, 0x12345678)]
    check(dut, mixed, writes, spacing(w.fmt.width))


def test_words_that_are_too_near_are_seen():
    """The spacing is needed: 24 cycles less are an update and a half."""
    dut, w = make("two banks")
    other = weights(len(w.raw), w.fmt, 2)
    with pytest.raises(AssertionError):
        check(dut, other.raw, region(other).writes(), spacing(w.fmt.width) - 24)


@pytest.mark.parametrize("H, groups, banks, rows", [(1, 1, 1, 8), (4, 1, 1, 16), (128, 32, 16, 512),
                                                    (130, 33, 33, 1024), (256, 64, 64, 1024)])
def test_sizes(H, groups, banks, rows):
    shape = TableShape(H)
    assert (shape.groups, shape.banks, shape.rows) == (groups, banks, rows)
