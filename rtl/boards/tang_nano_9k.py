"""Tang Nano 9K with a GW1NR-9C (https://wiki.sipeed.com/tangnano9k): USB serial.

USB: a BL702 that was seen clean up to 3 Mbaud (github.com/sipeed/TangNano-9K-example, issue 7).
"""

from amaranth_boards.tang_nano_9k import TangNano9kPlatform

from rtl.boards.board import Board
from rtl.boards.pll import gowin

BOARDS = [Board("tang-nano-9k", TangNano9kPlatform, "gowin", "GW1NR-9C", 27e6, 27e6,
                {"multiplier": 20, "block_ram": 26, "lut": 8640, "ff": 6480},
                ("nextpnr-himbaechel-gowin", "--device", "GW1NR-LV9QN88PC6/I5",
                 "--vopt", "family=GW1N-9C"),
                "tangnano9k", gowin("GW1NR-9C", (400, 900), (3.125, 450)), 3_000_000,
                ("-d", "GW1N-9C", "--sspi_as_gpio", "--mspi_as_gpio"), usb=(0x0403, 0x6010))]
