"""Tang Nano 9K with a GW1NR-9C (https://wiki.sipeed.com/tangnano9k): USB serial."""

from amaranth_boards.tang_nano_9k import TangNano9kPlatform

from rtl.boards.board import Board

# Of 6,480 flip-flops: those with different enables and resets share few slices. Two cores with 5,950
# after synthesis, estimated at 5,444 and 5,956, found no legal placement.
FLIP_FLOPS = 5400

BOARDS = [Board("tang-nano-9k", TangNano9kPlatform, "gowin", "GW1NR-9C", 27e6,
                {"multiplier": 20, "block_ram": 26, "lut": 8640, "ff": FLIP_FLOPS},
                ("nextpnr-himbaechel-gowin", "--device", "GW1NR-LV9QN88PC6/I5",
                 "--vopt", "family=GW1N-9C", "--placer-heap-cell-placement-timeout", "2000"),
                "tangnano9k")]
