"""Clocks of the core and rates of the line: what a board can make, and what it says of the rest."""

from fractions import Fraction

import pytest
from amaranth import Signal

from quant.integer import artifact
from quant.integer.synthetic import random_artifact
from rtl.boards import __main__ as program
from rtl.boards import flow
from rtl.boards.catalogue import BOARDS
from rtl.boards.pll import MHZ
from rtl.link.uart import clocks_per_bit
from rtl.parts.config import HardwareError

TINY = random_artifact(1, n_layers=1, H=4, n=2, n_classes=3, length=16)
# Board: MHz that its PLL makes, and what the cell's dividers are then, by hand.
MADE = {
    "ulx3s-85f": {"50": dict(CLKI_DIV=1, CLKFB_DIV=2, CLKOP_DIV=12),
                  "125": dict(CLKI_DIV=1, CLKFB_DIV=5, CLKOP_DIV=5, FEEDBK_PATH="CLKOP"),
                  "110": dict(CLKI_DIV=1, CLKFB_DIV=11, CLKOP_DIV=2, CLKOS_DIV=5),
                  "112.5": dict(CLKI_DIV=1, CLKFB_DIV=9, CLKOP_DIV=3, CLKOS_DIV=6)},
    "orangecrab": {"96": dict(CLKI_DIV=1, CLKFB_DIV=2, CLKOP_DIV=6)},
    "icebreaker": {"24": dict(DIVR=0, DIVF=63, DIVQ=5, FILTER_RANGE=1)},
    "tang-nano-9k": {"54": dict(IDIV_SEL=0, FBDIV_SEL=1, ODIV_SEL=16),
                     "67.5": dict(IDIV_SEL=1, FBDIV_SEL=4, ODIV_SEL=8)},
    "arty-a7-35t": {"125": dict(CLKFBOUT_MULT=10, DIVCLK_DIVIDE=1, CLKOUT0_DIVIDE=8)}}


class Module:
    """In place of a module: keeps what a PLL adds."""

    def __init__(self):
        self.submodules = type("Cells", (), {})()


@pytest.mark.parametrize("name", MADE)
def test_dividers(name):
    board = BOARDS[name]
    for clock, wanted in MADE[name].items():
        hertz = int(Fraction(clock) * MHZ)
        ratio, module = board.pll.solve(board.oscillator, hertz), Module()
        assert ratio.out == hertz == Fraction(int(board.oscillator) * ratio.M, ratio.R * ratio.Q)
        board.pll.make(module, Signal(), board.oscillator, ratio)
        found = module.submodules.pll.parameters
        assert {key: getattr(found[key], "value", found[key]) for key in wanted} == wanted


@pytest.mark.parametrize("name", BOARDS)
def test_every_ratio_is_inside_the_limits(name):
    board = BOARDS[name]
    pll, clocks = board.pll, set()
    for ratio in pll.ratios(board.oscillator):
        detector = board.oscillator / ratio.R / MHZ
        assert pll.detector[0] <= detector <= pll.detector[1]
        assert pll.vco[0] <= float(ratio.vco) / MHZ <= pll.vco[1]
        assert ratio.out == ratio.vco / ratio.Q and ratio.out % 1000 == 0
        clocks.add(ratio.out)
    assert len(clocks) > 10
    assert board.clock == board.oscillator or board.clock in clocks


@pytest.mark.parametrize("name, clock, said", [
    ("ulx3s-85f", "111.5", "EHXPLLL cannot make it from 25 MHz; the nearest that it makes: 110 or "
                           "112.5"),
    ("ulx3s-12f", "3", "the nearest that it makes: 10$"),
    ("icebreaker", "13", "SB_PLL40_PAD cannot make it from 12 MHz; .*: 16.125$"),
    ("tang-nano-9k", "70", "rPLL cannot make it from 27 MHz; the nearest .*: 69 or 70.2$"),
    ("icepi-zero", "0", "--clock 0: a clock has whole kHz, such as 50"),
    ("icepi-zero", "33.3333", "--clock 33.3333: a clock has whole kHz")])
def test_clocks_that_are_not_there(name, clock, said):
    with pytest.raises(HardwareError, match=said):
        BOARDS[name].running(Fraction(clock))


def test_rates():
    board = BOARDS["ulx3s-85f"]
    assert board.running(baud=2_000_000).baud == 2_000_000
    assert board.running(Fraction(125), 3_000_000).rates()[0] == 3_000_000
    with pytest.raises(HardwareError, match="--baud 4000000: the serial line of ulx3s-85f does at "
                                            "most 3,000,000 baud; with 125 MHz take one of 3000000"
                                            ", "):
        board.running(Fraction(125), 4_000_000)
    with pytest.raises(HardwareError, match="--baud 3000000: 3000000 baud cannot be made from "
                                            "25 MHz: a bit takes 8.33 clocks.*; with 25 MHz "
                                            "take one of .*1000000"):
        board.running(Fraction(25), 3_000_000)
    for each in BOARDS.values():
        rates = each.rates()
        assert each.baud in rates and max(rates) <= each.most_baud
        assert all(clocks_per_bit(each.clock, rate) >= 4 for rate in rates)


@pytest.mark.parametrize("name, clock, cell, said", [
    ("ulx3s-85f", 125, "EHXPLLL", 'FREQUENCY NET "clk125" 125000000'),
    ("ulx3s-12f", 110, "EHXPLLL", 'FREQUENCY NET "clk110" 110000000'),
    ("ulx3s-12f", 25, None, ""), ("icepi-zero", 100, "EHXPLLL", "100000000"),
    ("icebreaker", 24, "SB_PLL40_PAD", ""), ("upduino-v3", 24, "SB_PLL40_CORE", ""),
    ("tang-nano-9k", 54, "rPLL", ""), ("tang-primer-20k", 81, "rPLL", ""),
    ("arty-a7-35t", 100, None, "")])
def test_top_levels_with_other_clocks(name, clock, cell, said, tmp_path):
    flow.prepare(BOARDS[name].running(Fraction(clock)), TINY, 1, tmp_path)
    text = "".join(path.read_text() for path in tmp_path.glob("top.*"))
    assert said in text
    source = next(tmp_path.glob("top.il" if name != "arty-a7-35t" else "top.v")).read_text()
    cells = [name for name in ("EHXPLLL", "SB_PLL40", "rPLL", "PLLE2") if name in source]
    assert cells == ([cell[:8]] if cell else [])


def test_the_command(tmp_path, monkeypatch, capsys):
    """One line for what cannot be; a folder of its own for another clock."""
    artifact.save(TINY, tmp_path / "tiny")
    monkeypatch.setenv("SPIKESSM_BUILD", str(tmp_path))
    seen = []
    monkeypatch.setattr(flow, "build", lambda board, art, lanes, folder, seeds: seen.append(
        (board.clock, board.baud, folder)) or folder.mkdir(exist_ok=True) or {
            "cells": {}, "tools": {}, "file": "top.bit", "met": True, "fmax": 130.0, "seed": 1})
    options = ["--board", "ulx3s-85f", "--artifact", str(tmp_path / "tiny"), "--lanes", "1"]
    assert program.main([*options, "--clock", "112.5", "--baud", "2500000"]) == 0
    assert "the clock is 112.5 MHz: met" in capsys.readouterr().out
    assert seen[0][:2] == (112.5e6, 2_500_000)
    assert (tmp_path / "bitstream/ulx3s-85f_tiny_1_112.5MHz/bitstream.json").exists()
    for wrong, said in ((["--clock", "111"], "the nearest that it makes: 110 or 112.5"),
                        (["--baud", "12000000"], "does at most 3,000,000 baud")):
        assert program.main([*options, *wrong]) == 2
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1
    with pytest.raises(SystemExit):
        program.main([*options, "--clock", "fast"])
    assert "'fast' is not a number of MHz, such as 112.5" in capsys.readouterr().err
