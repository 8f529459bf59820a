"""The estimates of a board's needs against what yosys made of networks of every kind."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from golden.base.qformat import SQ
from quant.formats import LayerFormats
from quant.integer.synthetic import random_artifact
from rtl.boards import estimate
from rtl.boards.catalogue import BOARDS
from rtl.parts.config import HardwareError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "boards.md"
KINDS = {"P-SpikeSSM": {}, "Binary S4D": dict(kind="glu"), "GSU": dict(kind="gsu"),
         "LIF": dict(kind="lif"), "LIF alone": dict(kind="lif")}
RESOURCES = ("multiplier", "block_ram", "lut", "ff")
MOST = 1 / 7        # of the error of what is estimated, as the page says
ROW = re.compile(r"^\| ([\w -]+), (\d) x (\d+) neurons(?: of (\d+) modes)? \| (\d) \| (.*) \|$",
                 re.M)
ROWS = ROW.findall(PAGE.read_text())


@pytest.mark.parametrize("kind, layers, H, n, lanes, numbers", ROWS)
def test_the_page_says_what_is_estimated_and_the_error_is_small(kind, layers, H, n, lanes, numbers):
    art = random_artifact(1, n_layers=int(layers), H=int(H), n=int(n or 0), n_classes=10,
                          length=64, **KINDS[kind])
    need = estimate.needs(BOARDS["ulx3s-85f"], art, int(lanes))
    for what, cell in zip(RESOURCES, numbers.split(" | "), strict=True):
        said, made = (int(number.replace(",", "")) for number in cell.split(" / "))
        assert said == need[what], what
        if what == "multiplier":
            assert said == made
        elif what == "block_ram":       # yosys makes LUT RAM of some that are not marked
            assert said >= made
        else:
            assert abs(said / made - 1) <= MOST, what


def test_every_kind_is_on_the_page():
    assert {row[0] for row in ROWS} >= KINDS.keys() - {"P-SpikeSSM"}


@pytest.mark.parametrize("shape, lanes, mixer", [
    ((1, 136, 4), 4, None), ((1, 168, 4), 4, "columns"), ((2, 136, 8), 1, "columns")])
def test_a_board_takes_columns_where_tables_leave_no_room(shape, lanes, mixer):
    """The same lanes, room for more of them, and no room for tables at all."""
    board, art = BOARDS["ulx3s-12f"], random_artifact(1, *shape, fmt=LayerFormats(w=SQ(7, 0)))
    chosen, number = estimate.choose(board, art)
    assert (chosen.mixer, number) == (mixer, lanes)
    if lanes == 4:      # as was said, where it fits
        assert estimate.choose(board, art, 2) == (board, 2)
        assert estimate.choose(replace(board, mixer="tables"), art)[0].mixer == "tables"
    else:
        with pytest.raises(HardwareError, match="no number of lanes fits"):
            estimate.choose(replace(board, mixer="tables"), art)
