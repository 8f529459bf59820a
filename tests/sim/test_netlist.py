"""The netlist check: our models of cells, cells without a model, the mapped core of every kind."""

import re

import pytest

from golden.base import folders
from rtl.families import FAMILIES
from sim import ecp5, netlist, tools

CELLS = """module core(a);
  SB_LUT4 #(
    .LUT_INIT(16'd1)
  ) x (
  );
  SB_MAC16 y (
  );
  other z (
  );
endmodule
"""


def test_cells_without_a_model_are_seen():
    assert netlist.blackboxes(CELLS, "ice40") == {"SB_LUT4", "SB_MAC16"}
    assert netlist.blackboxes("module core(a);\n  wire b;\n  assign b = a;\nendmodule\n",
                              "ice40") == set()


def test_multiplier_has_the_ports_that_yosys_connects():
    source = ecp5.multiplier()
    ports = set(re.findall(r"\b([ABCP]\d+|SIGNED[AB]|SOURCE[AB])\b",
                           source.partition(";")[0]))
    assert len(ports) == 18 * 3 + 36 + 4
    for line in ("{SIGNEDA & A17, A17, A16,", "{SIGNEDB & B17, B17, B16,", "{P35, P34,"):
        assert line in source


def test_block_ram_has_the_ports_that_yosys_connects():
    source = ecp5.block_ram()
    inputs, outputs = re.search(r"\(input ([^)]*), output ([^)]*)\);", source).groups()
    ports = set(inputs.split(", ")) | set(outputs.split(", "))
    assert len(ports) == 2 * (14 + 18 + 18 + 3 + 5)
    for line in ("if (DATA_WIDTH_B == 36)", "bytes[{ADA[13:5], 2'd3}] <= dataA[27 +: 9];",
                 "rowB[9 +: 9] <= bytes[{ADB[13:4], 1'd1}];"):
        assert line in source


@pytest.mark.cosim
@pytest.mark.parametrize("kind", ["glu", "gsu", "tables"])
def test_the_netlist_equals_the_reference(kind, tmp_path):
    """The table of their curve is in a block RAM, or those of weights are."""
    found = netlist.check("ecp5", kind, tmp_path)
    assert found["equal"], found["first"]
    assert found["signatures_compared"] == sum(netlist.LENGTHS) and found["cells"]["block_ram"] == 1


@pytest.mark.cosim
def test_two_steps_with_tables_equal_the_reference(tmp_path):
    core = netlist.small_core("ecp5", "blocks")
    assert core.geo.P == 2 and core.plan.layers[0].tables
    found = netlist.check("ecp5", "blocks", tmp_path)
    assert found["equal"], found["first"]
    assert found["signatures_compared"] == sum(-(-n // 2) for n in netlist.LENGTHS)


@pytest.mark.parametrize("kind", netlist.KINDS)
@pytest.mark.parametrize("family", netlist.MODELS)
def test_core_has_the_family_s_memories_and_fits_the_cells(family, kind):
    core = netlist.small_core(family, kind)
    assert core.hw.bank_bits == FAMILIES[family].bank_bits
    assert core.hw.lut_ram_bits == FAMILIES[family].lut_ram_bits
    assert core.hw.signature


def test_two_at_once(tmp_path, monkeypatch, capsys):
    """They would write the same files."""
    monkeypatch.setenv("SPIKESSM_BUILD", str(tmp_path))
    monkeypatch.setattr(netlist, "small_core", lambda *_: {}["never reached"])
    with folders.lock(tools.build_folder("netlist", "ice40_paper")):
        assert netlist.main(["--family", "ice40"]) == 2
    assert "belongs to another run" in capsys.readouterr().err
