"""The AXI4-Stream wrapper: its ports and files, and its bench under cocotb."""

import json
import re

import pytest

from rtl import axi
from quant.integer.synthetic import KINDS
from rtl.axi import AxiCore, result_layout, result_words
from rtl.plan import plan
from sim.benches import tb_axi
from sim.benches.runner import simulate

PORTS = {"aclk": 1, "aresetn": 1}
for prefix, bits in (("s_axis", 8), ("m_axis", 32), ("cfg_axis", 32)):
    PORTS |= {f"{prefix}_{end}": 1 for end in ("tvalid", "tready", "tlast")}
    PORTS[f"{prefix}_tdata"] = bits


def test_files(tmp_path):
    path = axi.generate(tb_axi.ART, tb_axi.HW, tmp_path / "out")
    top = path.read_text().partition("module spikessm_axis")[2].partition("endmodule")[0]
    declared = {name: int(high or 0) + 1 for high, name in
                re.findall(r"^  (?:in|out)put (?:\[(\d+):0\] )?(\w+);", top, re.M)}
    assert declared == PORTS
    facts = json.loads((path.parent / "memory_map.json").read_text())
    assert len(facts["result_words"]) == result_words(tb_axi.ART) == 10
    assert result_layout(tb_axi.ART)[1:3] == ["logit 0, low half", "logit 0, high half"]
    core = (path.parent / "spikessm_axis.core").read_text()
    assert core.startswith("CAPI=2:\n") and "toplevel: spikessm_axis" in core


def test_command_line(tmp_path, capsys):
    assert axi.main(["--artifact", str(tmp_path / "none")]) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.cosim
@pytest.mark.parametrize("kind", KINDS)
def test_streams(kind):
    """Answers, and those of another network that is written meanwhile."""
    art, other = tb_axi.networks(kind)
    assert plan(art, tb_axi.HW).writes() != plan(other, tb_axi.HW).writes()
    simulate(AxiCore(art, tb_axi.HW), "sim.benches.tb_axi", "spikessm_axis", {"SIM_KIND": kind})
