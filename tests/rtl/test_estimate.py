"""The estimates of a board's needs against what yosys made of networks of every kind."""

import re
from pathlib import Path

import pytest

from quant.integer.synthetic import random_artifact
from rtl.boards import estimate
from rtl.boards.catalogue import BOARDS

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
