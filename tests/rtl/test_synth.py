"""Synthesis: what yosys infers on a tiny core, how cells are counted, one line for bad input."""

import json
import re
import sys

import pytest
from amaranth import Value
from amaranth.back import rtlil
from amaranth.lib.wiring import In

from quant.integer import artifact
from quant.integer.synthetic import random_artifact
from rtl import synth
from rtl.flow import toolchain
from rtl.parts.config import HardwareConfig
from rtl.core import Core
from rtl.flow.harness import Harness

# As small as a core gets: tokens, one class, one lane.
TINY = dict(n_layers=1, H=2, n=1, n_classes=1, length=2, vocab=2, residual="none",
            rounding="half_even")
# What a stand-in for yosys leaves for nextpnr.
NETLIST = """open('top.json', 'w').write('{"modules": {"top": {"cells": {}}}}')"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return artifact.save(random_artifact(1, **TINY), tmp_path_factory.mktemp("artifact"))


def tool(path, name: str, lines: list[str]):
    """An executable that stands for a tool."""
    program = path / name
    program.write_text(f"#!{sys.executable}\nimport json, sys\n" + "\n".join(lines) + "\n")
    program.chmod(0o755)
    return str(program)


def test_multipliers_that_yosys_infers(folder, tmp_path, capsys):
    """Four in the lane and one in the decoder, and no product in LUTs; a block RAM for tables."""
    assert synth.main(["--artifact", str(folder), "--lanes", "1", "--out", str(tmp_path)]) == 0
    row = json.loads((tmp_path / "synth.json").read_text())
    assert row["cells"]["multiplier"] == row["by_name"]["MULT18X18D"] == 5
    assert row["cells"]["block_ram"] == row["tables"] == 1
    assert 0 < row["cells"]["lut_ram"] < row["cells"]["lut"]
    assert row["cells"]["ff"] == row["by_name"]["TRELLIS_FF"] > 1000
    assert "multiplier          5    3.2 % of 156 (LFE5U-85F)" in capsys.readouterr().out


CELLS = {
    "ecp5": ({"LUT4": 10, "CCU2C": 3, "TRELLIS_FF": 7, "MULT18X18D": 2, "DP16KD": 5,
              "TRELLIS_DPR16X4": 1, "PFUMX": 4, "$scopeinfo": 9},
             {"multiplier": 2, "block_ram": 5, "lut_ram": 1, "lut": 22, "ff": 7}),
    "gowin": ({"LUT1": 1, "LUT4": 2, "ALU": 4, "DFFRE": 5, "DFF": 1, "MULT18X18": 3, "SDPB": 2,
               "DPX9B": 1, "SPX9": 1, "RAM16SDP4": 1, "MUX2_LUT5": 8, "OBUF": 1, "GND": 1},
              {"multiplier": 3, "block_ram": 4, "lut_ram": 1, "lut": 13, "ff": 6}),
    "ice40": ({"SB_LUT4": 9, "SB_CARRY": 3, "SB_DFFESR": 4, "SB_DFF": 1, "SB_MAC16": 2,
               "SB_RAM40_4K": 3, "SB_RAM40_4KNW": 1, "SB_SPRAM256KA": 1},
              {"multiplier": 2, "spram": 1, "block_ram": 4, "lut": 9, "ff": 5}),
    "xilinx": ({"LUT2": 1, "LUT6": 2, "FDRE": 3, "FDSE": 1, "DSP48E1": 4, "RAMB36E1": 1,
                "RAMB18E1": 3, "RAM32M": 2, "SRL16E": 1, "CARRY4": 6, "INV": 2},
               {"multiplier": 4, "block_ram": 2.5, "lut_ram": 3, "lut": 12, "ff": 4}),
}


@pytest.mark.parametrize("family", CELLS)
def test_cells_are_counted_by_kind(family):
    cells, kinds = CELLS[family]
    assert synth.count(cells, synth.FAMILIES[family]) == kinds


@pytest.mark.parametrize("signature", [True, False])
def test_the_harness_reaches_every_port(signature):
    """Every input bit comes from the chain and every output bit is folded, but taps without use."""
    core = Core(random_artifact(1, **TINY), HardwareConfig(1, signature=signature))
    text, folded = rtlil.convert(Harness(core, signature), name="top"), 0
    for path, member, port in core.signature.flatten(core):
        name, width = "__".join(map(str, path)), len(Value.cast(port))
        if member.flow == In:
            assert re.search(rf"wire (width {width} )?\\scan_{name}\n", text), name
        elif name != "busy" and (signature or not name.startswith("tap")):
            folded += width
    assert re.search(rf"wire width {folded} \\held\n", text)


def test_a_route_is_reported(folder, tmp_path, capsys, monkeypatch):
    """What nextpnr says goes into the table and the file; the steps follow from the frequency."""
    stat = {"design": {"num_cells_by_type": {"LUT4": 4, "MULT18X18D": 5}}}
    report = {"fmax": {"clk": {"achieved": 120.0, "constraint": 110.0}}, "utilization": {
                  "TRELLIS_FF": {"used": 7, "available": 83640},
                  "DP16KD": {"used": 0, "available": 208}},
              "critical_paths": [
                  {"from": "posedge clk", "to": "posedge clk", "path": [
                      {"delay": 0.5, "type": "clk-to-q", "to": {"cell": "a"}},
                      {"delay": 7.8, "type": "routing", "to": {"cell": "b"}}]},
                  {"from": "<async>", "to": "posedge clk", "path": [
                      {"delay": 99.0, "type": "routing", "to": {"cell": "c"}}]}]}
    monkeypatch.setenv("YOSYS", tool(tmp_path, "yosys", [
        f"open('stat.json', 'w').write({json.dumps(json.dumps(stat))})", NETLIST]))
    monkeypatch.setenv("NEXTPNR_ECP5", tool(tmp_path, "nextpnr", [
        "name = sys.argv[sys.argv.index('--report') + 1]",
        f"open(name, 'w').write({json.dumps(json.dumps(report))})"]))
    out = tmp_path / "out"
    assert synth.main(["--artifact", str(folder), "--lanes", "1", "--route", "--seeds", "3,4",
                       "--out", str(out)]) == 0
    row = json.loads((out / "synth.json").read_text())
    assert [(run["seed"], run["fmax"]) for run in row["routed"]] == [(3, 120.0), (4, 120.0)]
    assert row["routed"][0]["critical_path"] == [[0.5, "clk-to-q", "a"], [7.8, "routing", "b"]]
    assert row["routed"][0]["used"] == {"TRELLIS_FF": 7}
    assert (row["task"], row["layers"], row["of"], row["cycles_per_step"]) == ("synthetic", 1, 1, 2)
    for usage in (row["yosys"], row["routed"][1]["nextpnr"]):
        assert usage["memory_mb"] > 1 and 0 <= usage["cpu_seconds"] <= usage["seconds"] + 1
    assert "120.0 MHz after routing on LFE5U-85F, seed 4: 0.017 us per step" in (
        capsys.readouterr().out)


def test_fewer_layers(tmp_path, monkeypatch):
    """``--layers 1``: the core of the first layer, and a row that says of how many it is."""
    whole, cores = artifact.save(random_artifact(1, **TINY | {"n_layers": 2}), tmp_path / "art"), []
    monkeypatch.setattr(synth, "synthesise", lambda art, *given, **options: cores.append(art) or {})
    monkeypatch.setattr(synth, "table", lambda *given: "")
    for options, layers in (([], 2), (["--layers", "1"], 1)):
        assert synth.main(["--artifact", str(whole), "--lanes", "1", *options,
                           "--out", str(tmp_path / "out")]) == 0
        row = json.loads((tmp_path / "out" / "synth.json").read_text())
        assert (row["layers"], row["of"]) == (layers, 2) and len(cores[-1].blocks) == layers


@pytest.mark.parametrize("report", ["", "[]", "{}", '{"fmax": {}, "critical_paths": []}',
                                    '{"fmax": {}, "critical_paths": [], "utilization": {}}'])
def test_a_report_that_is_none_is_one_line(report, folder, tmp_path, capsys, monkeypatch):
    """A tool that ends well without a route; the first seed's result stays."""
    stat = {"design": {"num_cells_by_type": {}}}
    good = {"fmax": {"clk": {"achieved": 1}}, "utilization": {}, "critical_paths": []}
    monkeypatch.setenv("YOSYS", tool(tmp_path, "yosys", [
        f"open('stat.json', 'w').write({json.dumps(json.dumps(stat))})", NETLIST]))
    monkeypatch.setenv("NEXTPNR_ECP5", tool(tmp_path, "nextpnr", [
        "name = sys.argv[sys.argv.index('--report') + 1]",
        f"open(name, 'w').write({json.dumps(good)!r} if '.1.' in name else {report!r})"]))
    out = tmp_path / "out"
    assert synth.main(["--artifact", str(folder), "--lanes", "1", "--route", "--seeds", "1,2",
                       "--out", str(out)]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and "nextpnr.2.json is not the report of a finished route" in text
    assert [run["seed"] for run in json.loads((out / "synth.json").read_text())["routed"]] == [1]


def test_bad_input_is_one_line(folder, tmp_path, capsys, monkeypatch):
    def error(*args):
        assert synth.main([*map(str, args), "--out", str(tmp_path / "out")]) == 2
        text = capsys.readouterr().err
        assert text.startswith("rtl.synth: ") and text.count("\n") == 1
        return text

    assert "7 lanes do not divide" in error("--artifact", folder, "--lanes", 7)
    assert "--layers 2: the network has 1" in error("--artifact", folder, "--lanes", 1,
                                                    "--layers", 2)
    assert "manifest" in error("--artifact", tmp_path / "nowhere")
    monkeypatch.setenv("YOSYS", "no-such-program")
    assert "$YOSYS names no-such-program" in error("--artifact", folder, "--lanes", 1)
    monkeypatch.setenv("YOSYS", tool(tmp_path, "broken", ["sys.exit('ERROR: it is broken')"]))
    assert "exit code 1" in (text := error("--artifact", folder, "--lanes", 1))
    assert "it is broken" in text
    assert not (tmp_path / "out" / "synth.json").exists()
    with pytest.raises(SystemExit):
        synth.main(["--artifact", str(folder), "--family", "ice40", "--route"])
    assert "--route works for ecp5, not ice40" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["engine", "mixer", "layer"])
def test_a_part_alone(part, folder):
    """Each part of layer 0 has the harness round its own ports."""
    made = synth.PARTS[part](artifact.load(folder), HardwareConfig(1, False))
    text = rtlil.convert(Harness(made, False), name="top")
    assert set(re.findall(r"\\scan_(i|x|o|cfg)__", text)) == {"i", "o", "cfg"}


def test_a_missing_tool_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.delenv("YOSYS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(toolchain.ToolError, match=r"yosys not found; pip install -e '.\[synth\]'"):
        toolchain.find("yosys")
