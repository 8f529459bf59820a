"""iCEBreaker with an iCE40UP5K (https://1bitsquared.com/products/icebreaker): USB serial.

USB: FT2232H, up to 12 Mbaud (FTDI DS_FT2232H). The oscillator is at the PLL's own pad.
"""

from amaranth_boards.icebreaker import ICEBreakerPlatform

from rtl.boards.board import Board
from rtl.boards.pll import ICE40
from rtl.families import FAMILIES

PLACE = "nextpnr-ice40", "--up5k", "--package", "sg48"
BOARDS = [Board("icebreaker", ICEBreakerPlatform, "ice40", "iCE40UP5K", 12e6, 12e6,
                FAMILIES["ice40"].capacity, PLACE, "ice40_generic", ICE40["SB_PLL40_PAD"],
                12_000_000, usb=(0x0403, 0x6010))]
