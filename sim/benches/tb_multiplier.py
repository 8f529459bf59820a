"""cocotb bench of Products as ECP5's MULT18X18D: exact products two enabled cycles later."""

from random import Random

import cocotb
from amaranth import signed, unsigned
from cocotb.triggers import ReadOnly, RisingEdge

from rtl.parts.multiplier import Products
from sim.benches.streams import start

CYCLES = 500


def component(cell: str = "MULT18X18D") -> Products:
    """Full and narrow widths, both signs, shared operands."""
    return Products({"a": signed(18), "b": signed(13), "u": unsigned(18)},
                    {"aa": ("a", "a"), "ab": ("a", "b"), "au": ("a", "u"), "uu": ("u", "u")}, cell)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def matches_products(dut):
    part, rng = component(), Random(1)
    names = list(part.operands)
    corners = {}
    for name, shape in part.operands.items():
        low = -(1 << shape.width - 1) if shape.signed else 0
        corners[name] = low, low + (1 << shape.width) - 1
    kept = shown = None         # operands in the first register, and behind the second
    await start(dut, "en", *names)
    for cycle in range(CYCLES):
        operands = {name: rng.choice(ends) if cycle < 100 else rng.randint(*ends)
                    for name, ends in corners.items()}
        en = rng.random() < 0.7
        dut.en.value = int(en)
        for name, value in operands.items():
            getattr(dut, name).value = value & (1 << part.operands[name].width) - 1
        await ReadOnly()
        for name, (a, b) in part.products.items() if shown else ():
            width = len(getattr(dut, name))
            got, expected = int(getattr(dut, name).value), shown[a] * shown[b]
            assert got == expected & (1 << width) - 1, \
                f"cycle {cycle}, {name}: expected {expected}, got {got} of {width} bits"
        await RisingEdge(dut.clk)
        if en:
            kept, shown = operands, kept
