"""Tang Primer 20K on its dock, with a GW2A-18C (https://wiki.sipeed.com/primer20k): USB serial.

USB: a BL702 like the Tang Nano 9K's, with the same limit. The lights are the dock's.
"""

from amaranth_boards.tang_primer_20k import TangPrimer20kDockPlatform

from rtl.boards.board import Board
from rtl.boards.pll import gowin
from rtl.families import FAMILIES

BOARDS = [Board("tang-primer-20k", TangPrimer20kDockPlatform, "gowin", "GW2A-18C", 27e6, 27e6,
                FAMILIES["gowin"].capacity,
                ("nextpnr-himbaechel-gowin", "--device", "GW2A-LV18PG256C8/I7",
                 "--vopt", "family=GW2A-18C"),
                "tangprimer20k", gowin("GW2A-18C", (500, 1250), (3.91, 625)), 3_000_000,
                ("-d", "GW2A-18C", "--sspi_as_gpio", "--mspi_as_gpio"), usb=(0x0403, 0x6010))]
