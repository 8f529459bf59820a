"""ULX3S with an ECP5-85F, -45F or -12F (https://github.com/emard/ulx3s): USB serial."""

from amaranth import Const, Instance, Signal
from amaranth_boards.ulx3s import ULX3S_12F_Platform, ULX3S_45F_Platform, ULX3S_85F_Platform

from rtl.boards.board import Board
from rtl.synth import FAMILIES

CLOCK = 50e6


def pll(m, clock):
    """50 MHz from 25 MHz: EHXPLLL with its oscillator at 600 MHz. Returns (clock, locked)."""
    out, locked = Signal(name="clk50"), Signal()
    phases = {f"i_{name}": Const(0) for name in (
        "RST", "STDBY", "PHASESEL0", "PHASESEL1", "PHASEDIR", "PHASESTEP",
        "PHASELOADREG", "PLLWAKESYNC", "ENCLKOP")}
    m.submodules.pll = Instance(
        "EHXPLLL", a_FREQUENCY_PIN_CLKI="25", a_FREQUENCY_PIN_CLKOP="50", a_ICP_CURRENT="12",
        a_LPF_RESISTOR="8", a_MFG_ENABLE_FILTEROPAMP="1", a_MFG_GMCREF_SEL="2",
        p_PLLRST_ENA="DISABLED", p_INTFB_WAKE="DISABLED", p_STDBY_ENABLE="DISABLED",
        p_DPHASE_SOURCE="DISABLED", p_OUTDIVIDER_MUXA="DIVA", p_OUTDIVIDER_MUXB="DIVB",
        p_OUTDIVIDER_MUXC="DIVC", p_OUTDIVIDER_MUXD="DIVD", p_CLKI_DIV=1, p_CLKFB_DIV=2,
        p_CLKOP_ENABLE="ENABLED", p_CLKOP_DIV=12, p_CLKOP_CPHASE=11, p_CLKOP_FPHASE=0,
        p_FEEDBK_PATH="CLKOP", i_CLKI=clock, i_CLKFB=out, o_CLKOP=out, o_LOCK=locked, **phases)
    return out, locked


def _board(size: str, platform, capacity: dict[str, int]) -> Board:
    return Board(f"ulx3s-{size}f", platform, "ecp5", f"LFE5U-{size}F", CLOCK, capacity,
                 ("nextpnr-ecp5", f"--{size}k", "--package", "CABGA381", "--speed", "6"), "ulx3s",
                 pll, usb=(0x0403, 0x6015))


BOARDS = [
    _board("85", ULX3S_85F_Platform, FAMILIES["ecp5"].capacity),
    _board("45", ULX3S_45F_Platform,
           {"multiplier": 72, "block_ram": 108, "lut": 43848, "ff": 43848}),
    # Its die is the 25F's, and the open tools use all of it.
    _board("12", ULX3S_12F_Platform,
           {"multiplier": 28, "block_ram": 56, "lut": 24288, "ff": 24288}),
]
