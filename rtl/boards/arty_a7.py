"""Arty A7-35T with an Artix-7 (https://digilent.com/reference/arty-a7): Verilog, Vivado's script.

Yosys counts its resources; Vivado, which is not here, makes the bitstream. USB: FT2232HQ, up to
12 Mbaud (FTDI DS_FT2232H).
"""

from amaranth_boards.arty_a7 import ArtyA7_35Platform

from rtl.boards.board import Board
from rtl.boards.pll import XILINX
from rtl.families import FAMILIES

BOARDS = [Board("arty-a7-35t", ArtyA7_35Platform, "xilinx", "XC7A35T", 100e6, 50e6,
                FAMILIES["xilinx"].capacity, (), "arty", XILINX, 12_000_000, usb=(0x0403, 0x6010))]
