"""Products: exact, two enabled cycles later, in logic and as a device's cell."""

import itertools

import numpy as np
import pytest
from amaranth import signed, unsigned
from amaranth.back import rtlil, verilog
from amaranth.sim import Simulator

from rtl.parts.multiplier import Products
from sim import ecp5, netlist
from sim.benches.runner import simulate
from sim.benches.tb_multiplier import component

SHAPES = {"a": signed(3), "b": signed(2), "u": unsigned(3)}
PAIRS = {"aa": ("a", "a"), "ab": ("a", "b"), "bu": ("b", "u")}


@pytest.mark.parametrize("logic", range(4))
def test_exact_for_all_operands_and_still_without_enable(logic):
    dut = Products(SHAPES, PAIRS, logic=logic)
    cases = list(itertools.product(range(-4, 4), range(-2, 2), range(8)))

    async def bench(ctx):
        for case in cases:
            operands = dict(zip(SHAPES, case))
            for name, value in operands.items():
                ctx.set(getattr(dut, name), value)
            ctx.set(dut.en, 1)
            await ctx.tick()
            for name in SHAPES:             # the operands were taken: others change nothing
                ctx.set(getattr(dut, name), 0)
            await ctx.tick()
            ctx.set(dut.en, 0)
            for name in SHAPES:
                ctx.set(getattr(dut, name), 1)
            await ctx.tick().repeat(2)
            for name, (a, b) in PAIRS.items():
                assert ctx.get(getattr(dut, name)) == operands[a] * operands[b], (name, operands)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


def test_cell_per_product_and_logic_for_wide_operands():
    text = rtlil.convert(component(), name="top")
    assert text.count("cell \\MULT18X18D") == 4 and "$mul" not in text
    for parameter in ("INPUTA", "INPUTB", "OUTPUT"):
        assert text.count(f'\\REG_{parameter}_CLK "CLK0"') == 4
    wide = Products({"a": signed(19), "b": signed(4)}, {"ab": ("a", "b")}, "MULT18X18D")
    text = rtlil.convert(wide, name="top")
    assert "MULT18X18D" not in text and "$mul" in text


def test_products_of_luts_are_exact_and_have_no_cell():
    shapes = {"a": signed(14), "b": signed(16), "v": unsigned(9), "c": signed(1)}
    pairs = {"ab": ("a", "b"), "av": ("a", "v"), "vv": ("v", "v"), "cb": ("c", "b")}
    dut, generator = Products(shapes, pairs, "MULT18X18D", logic=4), np.random.default_rng(1)
    ends = [(s.signed and -(1 << s.width - 1) or 0, (1 << s.width - s.signed) - 1)
            for s in shapes.values()]
    cases = [*itertools.product(*ends),
             *zip(*(generator.integers(lo, hi + 1, 200).tolist() for lo, hi in ends))]
    text = rtlil.convert(dut, name="top")
    assert "MULT18X18D" not in text and "$mul" not in text
    two = rtlil.convert(Products(shapes, pairs, "MULT18X18D", logic=2), name="top")
    assert two.count("cell \\MULT18X18D") == 2

    async def bench(ctx):
        ctx.set(dut.en, 1)
        for now, before in zip([*cases, cases[-1], cases[-1]], [None, None, *cases]):
            if before:
                operands = dict(zip(shapes, before))
                for name, (a, b) in pairs.items():
                    assert ctx.get(getattr(dut, name)) == operands[a] * operands[b], operands
            for name, value in zip(shapes, now):
                ctx.set(getattr(dut, name), value)
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.cosim
def test_cell_in_verilog():
    """With our model of the cell, which the netlist check uses too."""
    source = verilog.convert(component(), name="products", emit_src=False) + ecp5.multiplier()
    simulate(component(), "sim.benches.tb_multiplier", "products", source=source)


@pytest.mark.cosim
def test_model_without_output_register_fails():
    source = verilog.convert(component(), name="products", emit_src=False) + ecp5.multiplier()
    broken = source.replace('REG_OUTPUT_CLK("CLK0")', 'REG_OUTPUT_CLK("NONE")', 1)
    assert broken != source
    with pytest.raises(netlist.SimError, match="cycle .*expected"):
        simulate(component(), "sim.benches.tb_multiplier", "products", source=broken)
