"""Pipeline helpers and the schedule of the state engine."""

import numpy as np
import pytest
from amaranth import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from rtl.parts.config import Geometry
from rtl.parts.pipeline import Pipeline, buffer_output, tree_stages
from rtl.layer.scheduler import Scheduler
from tests.rtl.streams import exchange, plain


@pytest.mark.parametrize("count, levels", [(1, 2), (2, 2), (4, 2), (5, 2), (9, 2), (9, 3), (3, 1)])
def test_total(count, levels):
    m = Module()
    en = Signal()
    values = [Signal(signed(4), name=f"v{j}") for j in range(count)]
    total = Pipeline(m, en).total(values, levels, "sum")
    rng = np.random.default_rng(count)
    rows = rng.integers(-8, 8, (20, count))
    rows[:2] = [[-8] * count, [7] * count]

    async def bench(ctx):
        enabled = 0
        while enabled < len(rows):
            for value, raw in zip(values, rows[enabled]):
                ctx.set(value, int(raw))
            ctx.set(en, int(rng.random() < 0.6))
            await ctx.tick()
            enabled += ctx.get(en)
            done = enabled - tree_stages(count, levels)
            if done >= 0 and enabled:
                assert ctx.get(total) == rows[done].sum()

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


def test_delay_refuses_the_past():
    with pytest.raises(ValueError, match="late would be needed 2 cycles before it is known"):
        Pipeline(None, Signal()).delay(Signal(), -2, "late")


class Line(wiring.Component):
    """A pipeline of three registers behind the output buffer."""

    i: In(stream.Signature(data.StructLayout({"v": 8})))
    o: Out(stream.Signature(data.StructLayout({"v": 8})))

    def elaborate(self, platform):
        m = Module()
        en = Signal()
        pipe = Pipeline(m, en)
        m.d.comb += self.i.ready.eq(en)
        value = pipe.delay(self.i.payload, 3, "value")
        valid = Signal(3)
        with m.If(en):
            m.d.sync += valid.eq(valid << 1 | self.i.valid)
        buffer_output(m, en, valid[-1], value, self.o)
        return m


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.7])
def test_buffered_output_loses_nothing(stall):
    words = [{"v": v} for v in range(200)]
    got, cycles = exchange(Line(), {"i": words}, {"o": len(words)}, stall)
    assert got["o"] == words
    if not stall:
        assert cycles["o"] == list(range(4, 204))


@pytest.mark.parametrize("P", [1, 2])
@pytest.mark.parametrize("H, n, lanes, pause", [(6, 4, 2, 0), (2, 2, 1, 3), (4, 2, 4, 2),
                                                (1, 1, 1, 0), (1, 1, 1, 5), (1, 3, 1, 4)])
def test_schedule(H, n, lanes, pause, P):
    geo = Geometry(H, n, lanes, P)
    dut = Scheduler(geo, geo.issue + pause)
    rng = np.random.default_rng(H)
    more = ("half",) if P > 1 else ()
    words = [{"first": int(t == 0), "last": int(t == 2)} | {name: int(t == 2) for name in more}
             for t in range(3) for _ in range(geo.words)] * 2
    expected = dut.model(words)
    assert [slot["row"] for slot in expected] == list(range(geo.issue)) * 6
    slots, starts = [], []

    async def bench(ctx):
        offered, enabled = 0, 0
        while len(slots) < len(expected):
            assert enabled < 2000
            ctx.set(dut.en, int(rng.random() < 0.7))
            # No gap in the first half: the interval is exact there.
            some = offered < len(words) and (offered < len(words) // 2 or rng.random() < 0.5)
            ctx.set(dut.i.valid, int(some))
            if some:
                ctx.set(dut.i.payload, words[offered])
            if ctx.get(dut.accept):
                assert ctx.get(dut.word) == offered % geo.words
                if offered % geo.words == 0:
                    starts.append(enabled)
                offered += 1
            en = ctx.get(dut.en)
            await ctx.tick()
            enabled += en
            slot = plain(ctx.get(dut.slot))
            if en and slot["valid"]:
                slots.append(slot)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert slots == expected
    assert set(np.diff(starts[:3])) == {geo.issue + pause}
    assert min(np.diff(starts)) >= geo.issue + pause
