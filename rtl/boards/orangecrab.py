"""OrangeCrab r0.2 with an ECP5-25F: a serial adapter on pins 0 (to the board) and 1 (from it).

https://orangecrab-fpga.github.io/orangecrab-hardware/
"""

from amaranth_boards.orangecrab_r0_2 import OrangeCrabR0_2_25FPlatform
from amaranth_boards.resources import UARTResource
from amaranth.build import Attrs

from rtl.boards.board import Board
from rtl.boards.pll import ECP5

# Baud of usual adapters: FT232R, FT231X (FTDI DS_FT232R, DS_FT231X), CP2102N.
ADAPTER = 3_000_000
SMALL = {"multiplier": 28, "block_ram": 56, "lut": 24288, "ff": 24288}      # an LFE5U-25F


def platform():
    """The platform with a serial line on its header."""
    made = OrangeCrabR0_2_25FPlatform()
    made.add_resources([UARTResource(0, rx="0", tx="1", conn=("io", 0),
                                     attrs=Attrs(IO_TYPE="LVCMOS33"))])
    return made


BOARDS = [Board("orangecrab", platform, "ecp5", "LFE5U-25F", 48e6, 48e6, SMALL,
                ("nextpnr-ecp5", "--25k", "--package", "CSFBGA285", "--speed", "8"),
                "orangeCrab", ECP5, ADAPTER)]
