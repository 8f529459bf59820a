"""UPduino v3 with an iCE40UP5K: a serial adapter on pins 23 (to the board) and 25 (from it).

https://upduino.readthedocs.io; the pins are those of amaranth-boards. Its USB chip has no serial
line to the device, and the iCE40's own oscillator is off by up to a tenth, too much for one: so the
board's 12 MHz are used, for which its jumper OSC has to be soldered.
"""

from amaranth.build import Attrs
from amaranth_boards.resources import UARTResource
from amaranth_boards.upduino_v3 import UpduinoV3Platform

from rtl.boards.board import Board
from rtl.boards.icebreaker import PLACE
from rtl.boards.orangecrab import ADAPTER
from rtl.boards.pll import ICE40
from rtl.families import FAMILIES


class Platform(UpduinoV3Platform):
    """With the oscillator that is soldered on."""

    default_clk = "clk12"


def platform():
    """The platform with a serial line on its header."""
    made = Platform()
    made.add_resources([UARTResource(0, rx="7", tx="8", conn=("j", 0),
                                     attrs=Attrs(IO_STANDARD="SB_LVCMOS"))])
    return made


BOARDS = [Board("upduino-v3", platform, "ice40", "iCE40UP5K", 12e6, 12e6,
                FAMILIES["ice40"].capacity, PLACE, "ice40_generic", ICE40["SB_PLL40_CORE"],
                ADAPTER)]
