"""Banks with a register behind them: rows two cycles later, as logic and as a device's cell."""

import re

import pytest
from amaranth.back import rtlil, verilog
from amaranth.sim import Simulator

from rtl.parts.bank import Bank, PairBank, port_bits
from sim import ecp5, netlist
from sim.benches.runner import simulate
from sim.benches.tb_bank import Banks


def run(dut, bench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("registered", [False, True])
def test_rows_come_when_latency_says_and_stay_without_enable(registered):
    dut = Bank(3, 5, [7, 21], registered)

    async def bench(ctx):
        for row, expected in ((0, 7), (1, 21), (2, 0), (0, 7)):
            ctx.set(dut.r_en, 1)
            ctx.set(dut.r_addr, row)
            await ctx.tick()
            for other in range(1, dut.latency):
                ctx.set(dut.r_addr, (row + other) % 3)
                await ctx.tick()
            ctx.set(dut.r_en, 0)
            ctx.set(dut.r_addr, 1)
            await ctx.tick().repeat(2)
            assert ctx.get(dut.r_data) == expected
        ctx.set(dut.w_addr, 2)
        ctx.set(dut.w_data, 31)
        ctx.set(dut.w_en, 1)
        await ctx.tick()
        ctx.set(dut.w_en, 0)
        ctx.set(dut.r_addr, 2)
        ctx.set(dut.r_en, 1)
        await ctx.tick().repeat(dut.latency)
        assert ctx.get(dut.r_data) == 31

    run(dut, bench)


def test_two_rows_at_once():
    dut = PairBank(4, [1, 2, 3, 4])

    async def bench(ctx):
        ctx.set(dut.a_addr, 2)
        ctx.set(dut.b_addr, 1)
        await ctx.tick()
        ctx.set(dut.a_addr, 0)
        ctx.set(dut.w_en, 0b01)
        ctx.set(dut.w_data, 7 << 9 | 9)
        await ctx.tick()
        assert (ctx.get(dut.a_data), ctx.get(dut.b_data)) == (3, 2)
        ctx.set(dut.w_en, 0)
        ctx.set(dut.a_addr, 1)
        await ctx.tick()
        assert ctx.get(dut.a_data) == 1
        await ctx.tick()
        assert (ctx.get(dut.a_data), ctx.get(dut.b_data)) == (9, 9)

    run(dut, bench)


@pytest.mark.parametrize("depth, bits", [(1, 36), (512, 36), (513, 18), (1024, 18), (1025, 9),
                                         (2048, 9), (2049, 0)])
def test_widths_of_a_port(depth, bits):
    assert port_bits(depth) == bits


def test_cells_and_logic():
    """A cell for as many bits as its port has; none without the register, in LUT RAM, too deep."""
    text = rtlil.convert(Banks(), name="top")
    assert text.count("cell \\DP16KD") == 1 + 1 + 2 + 1 + 3 + 1 and "$mem" not in text
    assert len(re.findall(r'REGMODE_[AB] "OUTREG"', text)) == 2 * 9
    for plain in (Bank(512, 36, [], False, "DP16KD"), Bank(512, 36, [], True),
                  Bank(512, 36, [], True, "DP16KD", small=True), Bank(2049, 9, [], True, "DP16KD")):
        text = rtlil.convert(plain, name="top")
        assert "DP16KD" not in text and "$mem" in text
        assert ("distributed" in text) == plain.small


@pytest.mark.cosim
@pytest.mark.parametrize("cell", ["", "DP16KD"])
def test_cell_in_verilog(cell):
    """With our model of the cell, which the netlist check uses too; and plain logic alike."""
    source = verilog.convert(Banks(cell), name="banks", emit_src=False) + ecp5.block_ram()
    simulate(Banks(cell), "sim.benches.tb_bank", "banks", source=source)


@pytest.mark.cosim
def test_model_without_output_register_fails():
    source = verilog.convert(Banks(), name="banks", emit_src=False) + ecp5.block_ram()
    broken = source.replace('REGMODE_B("OUTREG")', 'REGMODE_B("NOREG")')
    assert broken != source
    with pytest.raises(netlist.SimError, match="cycle .*expected"):
        simulate(Banks(), "sim.benches.tb_bank", "banks", source=broken)
