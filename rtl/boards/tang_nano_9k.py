"""Tang Nano 9K with a GW1NR-9C (https://wiki.sipeed.com/tangnano9k): USB serial."""

from amaranth_boards.tang_nano_9k import TangNano9kPlatform

from rtl.boards.board import Board

BOARDS = [Board("tang-nano-9k", TangNano9kPlatform, "gowin", "GW1NR-9C", 27e6,
                {"multiplier": 20, "block_ram": 26, "lut": 8640, "ff": 6480},
                ("nextpnr-himbaechel-gowin", "--device", "GW1NR-LV9QN88PC6/I5",
                 "--vopt", "family=GW1N-9C"),
                "tangnano9k", usb=(0x0403, 0x6010))]
