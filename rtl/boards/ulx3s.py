"""ULX3S with an ECP5-85F, -45F or -12F (https://github.com/emard/ulx3s): USB serial.

USB: FT231X, up to 3 Mbaud (FTDI DS_FT231X).
"""

from amaranth_boards.ulx3s import ULX3S_12F_Platform, ULX3S_45F_Platform, ULX3S_85F_Platform

from rtl.boards.board import Board
from rtl.boards.orangecrab import SMALL
from rtl.boards.pll import ECP5
from rtl.families import FAMILIES


def _board(size: str, platform, capacity: dict[str, int]) -> Board:
    return Board(f"ulx3s-{size}f", platform, "ecp5", f"LFE5U-{size}F", 25e6, 50e6, capacity,
                 ("nextpnr-ecp5", f"--{size}k", "--package", "CABGA381", "--speed", "6"), "ulx3s",
                 ECP5, 3_000_000, usb=(0x0403, 0x6015))


BOARDS = [
    _board("85", ULX3S_85F_Platform, FAMILIES["ecp5"].capacity),
    _board("45", ULX3S_45F_Platform,
           {"multiplier": 72, "block_ram": 108, "lut": 43848, "ff": 43848}),
    # Its die is the 25F's, and the open tools use all of it.
    _board("12", ULX3S_12F_Platform, SMALL),
]
