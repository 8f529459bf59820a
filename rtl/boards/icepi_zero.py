"""Icepi Zero 1.3 with an ECP5-25F (https://github.com/cheyao/icepi-zero): USB serial.

USB: FT231X, up to 3 Mbaud (FTDI DS_FT231X). Pins and the oscillator's 50 MHz are those of
amaranth-boards.
"""

from amaranth_boards.icepi_zero import IcepiZero1_3Platform

from rtl.boards.board import Board
from rtl.boards.orangecrab import SMALL
from rtl.boards.pll import ECP5

BOARDS = [Board("icepi-zero", IcepiZero1_3Platform, "ecp5", "LFE5U-25F", 50e6, 50e6, SMALL,
                ("nextpnr-ecp5", "--25k", "--package", "CABGA256", "--speed", "6"),
                "icepi-zero", ECP5, 3_000_000, usb=(0x0403, 0x6015))]
