"""cocotb bench of WordSource: draws in order, whatever the pauses and rewinds."""

from random import Random

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from sim.benches import parts
from sim.benches.streams import start, unpack

CYCLES = 200


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(variant=list(parts.VARIANTS), stall=[0.0, 0.4])
async def matches_model(dut, variant: str, stall: float):
    part, name = parts.components(variant)["lfsr"], f"{variant}_lfsr"
    ports = {port: getattr(dut, f"{name}__{port}") for port in ("rewind", "advance", "words")}
    expected, rng, turn = part.model(CYCLES).tolist(), Random(3), 0
    await start(dut, f"{name}__rewind", f"{name}__advance")
    for cycle in range(CYCLES):
        rewind, advance = stall > 0 and rng.random() < 0.05, rng.random() >= stall
        ports["rewind"].value, ports["advance"].value = int(rewind), int(advance)
        await ReadOnly()
        got = unpack(part.words.shape(), int(ports["words"].value))
        assert got == expected[turn], f"cycle {cycle}, draw {turn}: expected " \
                                      f"{expected[turn]}, got {got}"
        if advance:
            turn = 0 if rewind else turn + 1
        await RisingEdge(dut.clk)
