"""Arty A7-35T with an Artix-7 (https://digilent.com/reference/arty-a7): Verilog, Vivado's script.

Yosys counts its resources; Vivado, which is not here, makes the bitstream.
"""

from amaranth import Instance, Signal
from amaranth_boards.arty_a7 import ArtyA7_35Platform

from rtl.boards.board import Board
from rtl.synth import FAMILIES


def pll(m, clock):
    """50 MHz from 100 MHz: PLLE2_BASE with its oscillator at 800 MHz. Returns (clock, locked)."""
    raw, out, back, locked = Signal(), Signal(name="clk50"), Signal(), Signal()
    m.submodules.pll = Instance(
        "PLLE2_BASE", p_CLKIN1_PERIOD=10.0, p_CLKFBOUT_MULT=8, p_DIVCLK_DIVIDE=1,
        p_CLKOUT0_DIVIDE=16, i_CLKIN1=clock, i_RST=0, i_PWRDWN=0, i_CLKFBIN=back,
        o_CLKFBOUT=back, o_CLKOUT0=raw, o_LOCKED=locked)
    m.submodules.pll_buffer = Instance("BUFG", i_I=raw, o_O=out)
    return out, locked


BOARDS = [Board("arty-a7-35t", ArtyA7_35Platform, "xilinx", "XC7A35T", 50e6,
                FAMILIES["xilinx"].capacity, (), "arty", pll, usb=(0x0403, 0x6010))]
