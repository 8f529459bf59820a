"""Places of multipliers and block RAMs: legal, one each, a part of the device per layer."""

import json

import pytest

from rtl.flow import floorplan
from rtl.flow.floorplan import assign, part, places


def netlist(layers: int, lanes: int = 8, prefix: str = "core.") -> dict[str, str]:
    """Cells of a core as yosys names them."""
    cells = {f"{prefix}decoder.w.rows.bank0.0.0": "DP16KD",
             f"{prefix}decoder.products.low$7": "MULT18X18D", f"{prefix}x_LUT4": "LUT4"}
    for layer in range(layers):
        at = f"{prefix}layer{layer}"
        cells |= {f"{at}.engine.lanes{lane}.products.{name}$1": "MULT18X18D"
                  for lane in range(lanes) for name in ("rr", "ii", "ri", "ir")}
        for what, count in (("engine.modes.rows", 13), ("engine.states", 6), ("mixer.w0.rows", 28)):
            cells |= {f"{at}.{what}.bank{k}.0.0": "DP16KD" for k in range(count)}
        cells |= {f"{at}.buffer.ram.{k}.0": "DP16KD" for k in range(2)}
    return cells


def test_places_of_the_device():
    """208 and 156, as nextpnr names them (read from what it places itself)."""
    rams, multipliers = (set(map(str, places(kind))) for kind in ("DP16KD", "MULT18X18D"))
    assert (len(rams), len(multipliers)) == (208, 156)
    assert {"X4/Y22/EBR0", "X64/Y46/EBR3", "X69/Y70/EBR0", "X120/Y82/EBR3"} <= rams
    assert {"X4/Y10/MULT18_0", "X63/Y34/MULT18_5", "X119/Y58/MULT18_5"} <= multipliers


@pytest.mark.parametrize("prefix", ["core.", "link.core."])
def test_every_cell_of_a_layer_has_a_place_of_its_own(prefix):
    cells = netlist(4, prefix=prefix)
    chosen = assign(cells)
    assert set(chosen) == {name for name, kind in cells.items()
                           if ".layer" in name and kind != "LUT4"}
    assert len(set(map(str, chosen.values()))) == len(chosen)
    for name, place in chosen.items():
        assert place in places(cells[name])
    assert assign(cells) == chosen


def test_layers_stand_in_their_parts_and_lanes_in_order():
    chosen = assign(netlist(4))
    for layer in range(4):
        x, y, width, height = part(layer, 4)
        mine = {name: place for name, place in chosen.items() if f"layer{layer}." in name}
        inside = [x - 6 <= p.x <= x + width + 6 and y - 15 <= p.y <= y + height + 15
                  for p in mine.values()]
        assert sum(inside) == len(inside)
        lanes = [sum(p.x for name, p in mine.items() if f"lanes{lane}." in name) / 4
                 for lane in range(8)]
        assert lanes == sorted(lanes)
    assert len({part(layer, 4)[:2] for layer in range(4)}) == 4
    assert (part(0, 1), part(1, 2)) == ((0, 0, 126, 95), (63, 0, 63, 95))


def test_left_alone_where_it_is_not_crowded_or_too_much():
    assert assign(netlist(1)) == {}
    assert assign(netlist(5)) == {}
    assert assign({"a": "LUT4"}) == {}


def test_netlist_for_nextpnr(tmp_path):
    cells = {name: {"type": kind, "attributes": {}} for name, kind in netlist(4).items()}
    text = json.dumps({"modules": {"top": {"cells": cells}}})
    (tmp_path / "top.json").write_text(text)
    assert floorplan.planned(tmp_path, "LFE5U-25F") == "top.json"
    name = floorplan.planned(tmp_path, "LFE5U-85F")
    after = json.loads((tmp_path / name).read_text())["modules"]["top"]["cells"]
    assert (tmp_path / "top.json").read_text() == text
    assert sum("BEL" in cell["attributes"] for cell in after.values()) == 4 * (49 + 32)
