"""cocotb bench of WordSource: draws in order, whatever the pauses and restarts."""

from random import Random

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from sim import parts
from sim.streams import start, unpack

CYCLES = 200


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(variant=list(parts.VARIANTS), stall=[0.0, 0.4])
async def matches_model(dut, variant: str, stall: float):
    part, name = parts.components(variant)["lfsr"], f"{variant}_lfsr"
    ports = {port: getattr(dut, f"{name}__{port}") for port in ("restart", "advance", "words")}
    expected, rng, turn = part.model(CYCLES).tolist(), Random(3), None
    await start(dut, f"{name}__restart", f"{name}__advance")
    for cycle in range(CYCLES):
        restart = cycle == 0 or (stall > 0 and rng.random() < 0.05)
        advance = cycle == 0 or rng.random() >= stall
        ports["restart"].value, ports["advance"].value = int(restart), int(advance)
        await ReadOnly()
        shown = 0 if restart else turn
        got = unpack(part.words.shape(), int(ports["words"].value))
        assert got == expected[shown], f"cycle {cycle}, draw {shown}: expected " \
                                       f"{expected[shown]}, got {got}"
        turn = shown + 1 if advance else turn
        await RisingEdge(dut.clk)
