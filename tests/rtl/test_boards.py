"""Boards: top levels, what fits, the flow with stand-ins for the tools, programming."""

import json
import re
from types import SimpleNamespace

import pytest

from golden.base import made
from quant.integer import artifact
from golden.tasks.formats import MU_LAW, PCM
from quant.integer.synthetic import random_artifact
from rtl.boards import __main__ as program
from rtl.boards import estimate, flow, smaller
from rtl.boards import program as loader
from rtl.boards.catalogue import BOARDS
from rtl.parts.config import HardwareError
from rtl.plan import plan
from rtl.flow.toolchain import ToolError, Usage

TINY = random_artifact(1, n_layers=1, H=4, n=2, n_classes=3, length=16)
# Signals of the serial line in the constraints of each family.
PINS = {"ulx3s-85f": ("top.lpf", 'LOCATE COMP "uart_0__rx__io" SITE "M1";', "EHXPLLL"),
        "ulx3s-45f": ("top.lpf", 'LOCATE COMP "uart_0__rx__io" SITE "M1";', "EHXPLLL"),
        "ulx3s-12f": ("top.lpf", 'LOCATE COMP "uart_0__tx__io" SITE "L4";', "EHXPLLL"),
        "orangecrab": ("top.lpf", 'LOCATE COMP "uart_0__rx__io" SITE "N17";', None),
        "icepi-zero": ("top.lpf", 'LOCATE COMP "uart_0__rx__io" SITE "K16";', None),
        "upduino-v3": ("top.pcf", "set_io uart_0__rx__io 23", None),
        "tang-primer-20k": ("top.cst", 'IO_LOC "uart_0__tx__io" M11;', None),
        "icebreaker": ("top.pcf", "set_io uart_0__rx__io 6", None),
        "tang-nano-9k": ("top.cst", 'IO_LOC "uart_0__tx__io" 17;', None),
        "arty-a7-35t": ("top.xdc", 'LOC A9 [get_ports "uart_0__rx__io"]', "PLLE2_BASE")}


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_has_a_top_level(name, tmp_path):
    flow.prepare(BOARDS[name], TINY, 1, tmp_path)
    constraints, line, pll = PINS[name]
    assert line in (tmp_path / constraints).read_text()
    source = next(tmp_path.glob("top.il" if name != "arty-a7-35t" else "top.v")).read_text()
    assert "MHZ" not in source and (pll is None or pll in source)
    if pll == "EHXPLLL":
        assert re.search(r'FREQUENCY NET "clk50" 50(\.0)? MHZ|50000000', (
            tmp_path / constraints).read_text())


def test_multipliers_and_memories_are_counted():
    board = BOARDS["ulx3s-85f"]
    wide = random_artifact(1, n_layers=3, H=64, n=4, n_classes=10, length=64)
    for lanes in (1, 2, 8):
        need = estimate.needs(board, wide, lanes)
        words = max(1, lanes // 4)
        assert need["multiplier"] == 3 * 4 * lanes + words + 2
    assert estimate.blocks(512, 36, "ecp5") == 1 and estimate.blocks(513, 36, "ecp5") == 2
    assert estimate.blocks(16, 36, "ecp5") == 0 and estimate.blocks(2048, 8, "ecp5") == 1
    assert estimate.blocks(256, 16, "ice40") == 1 and estimate.blocks(300, 16, "ice40") == 2


def test_what_does_not_fit_is_refused_with_advice():
    board = BOARDS["ulx3s-12f"]
    shape = dict(n_layers=2, H=16, n=8, n_classes=3, length=16)
    art = random_artifact(1, **shape)
    estimate.check(board, art, 1)
    with pytest.raises(HardwareError, match="8 lanes needs 66 of 28 mult.*at most --lanes 2 fits"):
        estimate.check(board, art, 8)
    with pytest.raises(HardwareError, match=r"of this shape at most 3 layers or layers of"):
        estimate.check(board, random_artifact(1, **shape | {"n_layers": 7, "H": 96}), 1)
    with pytest.raises(HardwareError, match="do not help either: use a smaller network"):
        estimate.check(BOARDS["icebreaker"], random_artifact(1, n_layers=2, H=200, n=32), 1)
    assert estimate.most(board, art) == 2
    with pytest.raises(HardwareError, match="3 lanes do not divide"):
        estimate.check(board, art, 3)


def test_what_fills_the_block_rams_is_said():
    """Two sequences of 16,384 bytes are 16 block RAMs, an embedding of 257 tokens may be more."""
    small = dict(n_layers=1, H=32, n=4, n_classes=10, length=16384)
    art = random_artifact(1, sample=MU_LAW, **small)
    with pytest.raises(HardwareError, match=r"35 of 26 block RAMs \(two sequences of 16384 samples "
                                            r"16, .*of this shape sequences of up to 4096 steps"):
        estimate.check(BOARDS["tang-nano-9k"], art, 1)
    held = estimate.block_rams(plan(art, BOARDS["ulx3s-85f"].hardware(1)), "ecp5")
    twice = estimate.block_rams(plan(random_artifact(1, sample=PCM, **small),
                                     BOARDS["ulx3s-85f"].hardware(1)), "ecp5")
    assert twice.total() - held.total() == held["two sequences of 16384 samples"] == 16
    tokens = random_artifact(1, n_layers=2, H=128, n=8, length=64, vocab=257)
    with pytest.raises(HardwareError, match=r"\(embedding of 257 tokens 33, .*layers of 64 neur"):
        estimate.check(BOARDS["ulx3s-12f"], tokens, 1)
    with pytest.raises(HardwareError, match="up to 65535 steps, the artifact has 65536"):
        estimate.check(BOARDS["ulx3s-85f"], random_artifact(1, n_layers=1, length=1 << 16), 1)


@pytest.mark.parametrize("vocab", [0, 9])
def test_smaller_networks_are_networks(vocab):
    art = random_artifact(1, n_layers=2, H=16, n=2, length=40, vocab=vocab)
    found = dict(smaller.variants(art))
    assert list(found) == [("layers", 1), ("steps", 32), ("steps", 16), ("neurons", 8)]
    for (what, number), other in found.items():
        other.check()
        assert number == {"layers": len(other.blocks), "steps": other.length,
                          "neurons": other.H}[what]


class Tools:
    """In place of toolchain.call: writes what the tools would, remembers what was asked."""

    def __init__(self, fmax):
        self.fmax, self.calls = iter(fmax), []

    def __call__(self, tool, arguments, folder, log, what):
        self.calls.append((tool, arguments))
        if tool == "yosys":
            cells = {"LUT4": 10, "TRELLIS_FF": 5, "CCU2C": 2, "MULT18X18D": 4}
            (folder / "stat.json").write_text(json.dumps(
                {"design": {"num_cells_by_type": cells}}))
            (folder / "top.json").write_text('{"modules": {"top": {"cells": {}}}}')
        if tool.startswith("nextpnr"):
            (folder / "report.json").write_text(json.dumps(
                {"fmax": {"clk": {"achieved": next(self.fmax), "constraint": 50.0}}}))
        return Usage(1.0, 0.5, 100.0)


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Runs the command with stand-ins for the tools; returns (exit code, report, their calls)."""
    artifact.save(TINY, tmp_path / "tiny")

    def run(board, fmax, *more):
        tools, out = Tools(fmax), tmp_path / "built" / board
        monkeypatch.setattr(flow, "call", tools)
        monkeypatch.setattr(flow, "prepare", lambda *_: out.mkdir(parents=True))
        code = program.main(["--board", board, "--artifact", str(tmp_path / "tiny"), "--out",
                             str(out), "--lanes", "1", *more])
        return code, json.loads((out / "bitstream.json").read_text()), tools.calls
    return run


def test_seeds_until_the_clock_is_met(built, capsys):
    code, row, calls = built("ulx3s-85f", [49.0, 51.5])
    assert code == 0
    assert (row["fmax"], row["seed"], row["met"], row["file"]) == (51.5, 2, True, "top.bit")
    assert [tool for tool, _ in calls] == ["yosys"] + ["nextpnr-ecp5", "ecppack"] * 2
    assert row["cells"]["lut"] == 14 and row["us_per_step"] == row["cycles_per_step"] / 50
    out = capsys.readouterr().out
    assert "51.5  MHz, the clock is 50 MHz: met (seed 2)" in out and "of 83640" in out


def test_a_clock_that_is_not_met(built, capsys):
    code, row, calls = built("ulx3s-85f", [40.0, 45.0, 30.0])
    assert code == 2 and (row["fmax"], row["seed"], row["met"]) == (45.0, 2, False)
    assert [tool for tool, _ in calls].count("ecppack") == 2    # not for the worst
    out, err = capsys.readouterr()
    assert "NOT met" in out and "timing is not met: 45 MHz, the clock is 50 MHz; give more " \
                                "--seeds or fewer --lanes" in err


@pytest.mark.parametrize("board, packer", [("icebreaker", "icepack"),
                                           ("tang-nano-9k", "gowin_pack"), ("arty-a7-35t", None)])
def test_other_families(built, board, packer):
    code, row, calls = built(board, [60.0])
    assert code == 0 and calls[-1][0] == (packer or "yosys")
    assert ("fmax" in row) == (packer is not None)


def test_errors_in_one_line(tmp_path, capsys):
    artifact.save(random_artifact(1, n_layers=4, H=96, n=32), tmp_path / "big")
    assert program.main(["--board", "icebreaker", "--artifact", str(tmp_path / "big")]) == 2
    assert "multipliers" in capsys.readouterr().err
    assert program.main(["--board", "icebreaker", "--task", "nothing"]) == 2
    assert "task 'nothing' is unknown" in capsys.readouterr().err


def test_the_newest_bitstream_is_programmed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPIKESSM_BUILD", str(tmp_path))
    for lanes in (1, 8):
        folder = tmp_path / "bitstream" / f"x{lanes}"
        folder.mkdir(parents=True)
        (folder / "bitstream.json").write_text(json.dumps(
            {"board": "icebreaker", "task": "mine-Digits", "lanes": lanes, "file": "top.bin"}))
    assert loader.find("icebreaker", "mine:Digits", 1) == \
        (tmp_path / "bitstream" / "x1" / "top.bin", "made by other sources or libraries than now")
    with pytest.raises(ToolError, match="make bitstream BOARD=icebreaker TASK=psmnist"):
        loader.find("icebreaker", "psmnist", None)
    assert loader.main(["--board", "icebreaker", "--task", "nothing"]) == 2
    assert "make it with" in capsys.readouterr().err


def test_every_size_of_the_ulx3s_is_another_device():
    """What fits, and nextpnr's and the platform's device, are those of the name."""
    sizes = {name: BOARDS[f"ulx3s-{name}"] for name in ("12f", "45f", "85f")}
    for name, board in sizes.items():
        assert board.device == board.platform().device == f"LFE5U-{name.upper()}"
        assert f"--{name[:2]}k" in board.place
    for kind in ("multiplier", "block_ram", "lut", "ff"):
        small, middle, large = (board.capacity[kind] for board in sizes.values())
        assert small < middle < large
    art = random_artifact(1, n_layers=2, H=16, n=8, n_classes=3, length=16)
    assert [estimate.most(board, art) for board in sizes.values()] == [2, 8, 8]
    with pytest.raises(HardwareError, match=r"of 72 multipliers on ulx3s-45f \(LFE5U-45F\)"):
        estimate.check(sizes["45f"], random_artifact(1, n_layers=4, H=16, n=8), 8)


def port(device, number, usb=(0x0403, 0x6015), location=None, folder=None):
    return SimpleNamespace(device=device, serial_number=number, vid=usb[0], pid=usb[1],
                           location=location or device, usb_device_path=folder and str(folder))


ONE, TWO = port("/dev/ttyUSB0", "D0001"), port("/dev/ttyUSB1", "D0002")
GPS = port("/dev/ttyACM0", "7", usb=(0x1546, 0x01A8))
CHIP = [port(f"/dev/ttyUSB{2 + j}", "FT1", (0x0403, 0x6010), f"1-2:1.{j}") for j in range(2)]


@pytest.fixture
def ports(monkeypatch):
    return lambda *found: monkeypatch.setattr(loader.list_ports, "comports", lambda: [*found])


def test_the_only_board_needs_no_name(ports):
    ports(GPS, ONE)
    assert loader.choose(BOARDS["ulx3s-85f"], None, None) == []
    ports(*CHIP)        # two ports of one chip
    assert loader.choose(BOARDS["icebreaker"], None, None) == []
    ports()
    assert loader.choose(BOARDS["ulx3s-85f"], None, None) == []
    assert loader.choose(BOARDS["ulx3s-85f"], "D7", None) == ["--ftdi-serial", "D7"]


def test_one_of_two_boards(ports):
    ports(GPS, TWO, ONE, *CHIP)
    board = BOARDS["ulx3s-45f"]
    with pytest.raises(ToolError, match="2 boards here can be the ulx3s-45f: D0001 at /dev/ttyUSB0,"
                                        " D0002 at /dev/ttyUSB1; say which, with --serial"):
        loader.choose(board, None, None)
    assert loader.choose(board, "D0002", None) == ["--ftdi-serial", "D0002"]
    assert loader.choose(board, None, "/dev/ttyUSB1") == ["--ftdi-serial", "D0002"]
    assert loader.choose(BOARDS["icebreaker"], None, "/dev/ttyUSB3") == ["--ftdi-serial", "FT1"]
    for wrong in (("D0003", None), (None, "/dev/ttyACM0")):
        with pytest.raises(ToolError, match="no board with --.*; those here that can be a ulx3s-45f"
                                            ": D0001 at"):
            loader.choose(board, *wrong)


def test_boards_without_a_number_of_their_own(ports, tmp_path):
    (tmp_path / "busnum").write_text("3\n")
    (tmp_path / "devnum").write_text("12\n")
    ports(port("/dev/ttyUSB0", "same", folder=tmp_path), port("/dev/ttyUSB1", "same"))
    board = BOARDS["ulx3s-12f"]
    assert loader.choose(board, None, "/dev/ttyUSB0") == ["--busdev-num", "3:12"]
    with pytest.raises(ToolError, match="no number of its own.*unplug the others"):
        loader.choose(board, None, "/dev/ttyUSB1")
    with pytest.raises(ToolError, match="2 boards here"):
        loader.choose(board, "same", None)


def test_a_boot_loader_has_no_number(ports):
    ports(ONE, TWO)
    assert loader.choose(BOARDS["orangecrab"], None, None) == []
    with pytest.raises(ToolError, match="loads the first in its boot loader; leave --serial out"):
        loader.choose(BOARDS["orangecrab"], "D0001", None)


@pytest.mark.parametrize("code", [0, 1])
def test_the_loader_is_called(code, ports, tmp_path, monkeypatch, capfd):
    """With what was chosen; its failure is not a difference (1)."""
    (tmp_path / "openFPGALoader").write_text(f"#!/bin/sh\necho loads \"$@\"; exit {code}\n")
    (tmp_path / "openFPGALoader").chmod(0o755)
    folder = tmp_path / "build/bitstream/x"
    folder.mkdir(parents=True)
    report = {"board": "ulx3s-45f", "task": "digits", "lanes": 1, "file": "top.bit"}
    (folder / "bitstream.json").write_text(json.dumps(report | {"made": made.stamp("synthesis")}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    ports(ONE, TWO)
    options = ["--board", "ulx3s-45f", "--task", "digits"]
    assert loader.main([*options, "--port", "/dev/ttyUSB1", "--flash"]) == 2 * code
    out, err = capfd.readouterr()
    assert "loads -b ulx3s --ftdi-serial D0002 -f build/bitstream/x/top.bit" in out
    assert err.count("\n") == code and (not code or "ended with exit code 1" in err)
    assert loader.main(options) == 2 and "say which" in capfd.readouterr().err
    (folder / "bitstream.json").write_text(json.dumps(report | {"made": {"commit": "c"}}))
    loader.main([*options, "--port", "/dev/ttyUSB1"])
    assert "top.bit was made at commit c by other sources" in capfd.readouterr().err
    report |= {"made": made.stamp("synthesis"), "met": False}
    (folder / "bitstream.json").write_text(json.dumps(report))
    loader.main([*options, "--port", "/dev/ttyUSB1"])
    assert "top.bit was built without meeting its clock's timing" in capfd.readouterr().err


def test_no_bitstream_to_load(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKESSM_BUILD", str(tmp_path))
    folder = tmp_path / "bitstream" / "x"
    folder.mkdir(parents=True)
    report = {"board": "arty-a7-35t", "task": "digits", "lanes": 1, "file": "top.v"}
    (folder / "bitstream.json").write_text(json.dumps(report))
    with pytest.raises(ToolError, match="has no bitstream, but top.v for Vivado"):
        loader.find("arty-a7-35t", "digits", None)
    (folder / "bitstream.json").write_text("{")
    with pytest.raises(ToolError, match="is damaged or edited; remove"):
        loader.find("arty-a7-35t", "digits", None)
