"""Every board by its name."""

from rtl.boards import arty_a7, icebreaker, orangecrab, tang_nano_9k, ulx3s
from rtl.boards.board import Board

BOARDS: dict[str, Board] = {
    board.name: board for module in (ulx3s, orangecrab, icebreaker, tang_nano_9k, arty_a7)
    for board in module.BOARDS}
