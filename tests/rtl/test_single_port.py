"""Memories with one port: which of a core lie in them, and the core once it is written."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.base.cli import UserError
from quant.integer.synthetic import random_artifact
from rtl.core import Core
from rtl.link.identity import Identity
from rtl.parts.config import HardwareConfig, HardwareError
from rtl.parts.memory import Region
from rtl.parts.single_port import BLOCKS, SinglePortMemory, blocks, chosen
from rtl.plan import plan
from rtl.families import FAMILIES
from tests.rtl.test_core import check, run, sequences

SHAPE = dict(n_layers=2, H=24, n=4)


def test_blocks():
    assert [blocks(*shape) for shape in ((1, 1), (1 << 14, 16), (1 << 14, 17), (16385, 16),
                                         (16385, 33))] == [1, 1, 2, 2, 6]


def test_the_largest_that_fit_are_chosen():
    def region(name, depth, width):
        return Region(name, width, (0,) * depth)
    regions = [region("small", 256, 16), region("wide", 1024, 80), region("good", 512, 40),
               region("next", 1000, 16), region("last", 900, 16)]
    assert chosen(regions, BLOCKS) == {"good", "next"}, "wide needs five, small fits a block RAM"
    assert chosen(regions, 5) == {"wide"}
    assert chosen(regions, 0) == set()


@pytest.mark.parametrize("depth, width", [(1, 1), (6, 40), (16, 16), (5, 33)])
@pytest.mark.parametrize("registered", [False, True])
def test_memory(depth, width, registered):
    """Random reads and writes of banks; a read behind a write, an address that is held."""
    dut, rng = SinglePortMemory(depth, width, registered), np.random.default_rng(1)
    rows, seen, kept = [0] * dut.depth, 0, 0

    async def bench(ctx):
        nonlocal seen, kept
        for _ in range(300):
            row, word = (int(rng.integers(dut.depth)) for _ in range(2))
            data = int.from_bytes(rng.bytes(8), "little") & (1 << width) - 1
            write = int(rng.integers(1 << len(dut.banks))) * int(rng.random() < 0.5)
            read = int(rng.random() < 0.7)
            for port, value in ((dut.r_addr, row), (dut.w_addr, word), (dut.r_en, read),
                                (dut.w_en, write), (dut.w_data, data)):
                ctx.set(port, value)
            await ctx.tick()
            for k, (low, bits) in enumerate(dut.banks):
                mask = (1 << bits) - 1 << low
                if write >> k & 1:
                    rows[word] = rows[word] & ~mask | data & mask
            kept = seen if read else kept
            seen = rows[row] if read and not write else seen
            assert ctx.get(dut.r_data) == (kept if registered else seen)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("folded, block, single", [
    (False, 1, {"layer0.state_coefficients"}), (True, 1, {"layers.state_coefficients"}),
    (True, 2, {"layers.state_inputs0"})])
def test_a_core_that_was_written_matches_the_reference(folded, block, single):
    art = random_artifact(7, **SHAPE, block=block)
    core = Core(art, HardwareConfig(1, folded=folded, single_ports=BLOCKS))
    assert {region.name for region in core.plan.regions if region.single_port} == single
    assert core.plan.regions == tuple(
        Region(**vars(region) | {"single_port": region.name in single})
        for region in plan(art, HardwareConfig(1, folded=folded)).regions), "the same map"
    assert not core.plan.built_in and Identity.of(core.plan, 12e6).model == bytes(8)
    values = sequences(art, (3, 1))
    results, taps, _ = run(core, values, writes=core.plan.writes())
    check(art, values, results, taps, core.geo)


def test_tables_need_two_ports():
    art = random_artifact(7, **SHAPE)
    with pytest.raises(HardwareError, match="layer 0: tables need two ports, --spram is for"):
        plan(art, HardwareConfig(1, single_ports=BLOCKS, mixer="tables"))


def test_other_families_are_refused():
    with pytest.raises(UserError, match="--spram: LFE5U-85F has no single-port memories; of the "
                                        "families here only ice40 has them, leave it out"):
        FAMILIES["ecp5"].hardware(1, single_ports=BLOCKS)
