"""iCEBreaker with an iCE40UP5K (https://1bitsquared.com/products/icebreaker): USB serial."""

from amaranth_boards.icebreaker import ICEBreakerPlatform

from rtl.boards.board import Board
from rtl.synth import FAMILIES

BOARDS = [Board("icebreaker", ICEBreakerPlatform, "ice40", "iCE40UP5K", 12e6,
                FAMILIES["ice40"].capacity,
                ("nextpnr-ice40", "--up5k", "--package", "sg48"), "ice40_generic",
                usb=(0x0403, 0x6010))]
