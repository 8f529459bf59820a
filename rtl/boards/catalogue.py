"""Every board by its name."""

from rtl.boards import (arty_a7, icebreaker, icepi_zero, orangecrab, tang_nano_9k, tang_primer_20k,
                        ulx3s, upduino)
from rtl.boards.board import Board

BOARDS: dict[str, Board] = {
    board.name: board for module in (ulx3s, icepi_zero, orangecrab, icebreaker, upduino,
                                     tang_nano_9k, tang_primer_20k, arty_a7)
    for board in module.BOARDS}
