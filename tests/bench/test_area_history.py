"""The area of a small core against what it was: what is counted, compared, refused and written."""

import json

import pytest

from bench import area_history as MODULE
from golden.base.cli import UserError

MODULES = {"top": {"TRELLIS_FF": 40},
           "top.core": {"LUT4": 1, "$scopeinfo": 1},
           "top.core.encoder": {"LUT4": 10, "MULT18X18D": 1, "top.core.encoder.ram": 1},
           "top.core.encoder.ram": {"DP16KD": 2},
           "top.core.layer0": {},
           "top.core.layer0.buffer": {"TRELLIS_DPR16X4": 2, "TRELLIS_FF": 5},
           "top.core.layer0.engine": {"CCU2C": 3, "TRELLIS_FF": 100},
           "top.core.layer0.mixer": {"LUT4": 200, "DP16KD": 4},
           "top.core.decoder": {"LUT4": 30}}


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """``measured(figures)`` is what the next command measures, into and from one file."""
    monkeypatch.setenv("SPIKESSM_BUILD", str(tmp_path / "build"))

    def run(modules: dict, *arguments) -> int:
        monkeypatch.setattr(MODULE, "measure", lambda folder: MODULE.figures(modules))
        return MODULE.main([*arguments, "--json", str(tmp_path / "area.json")])
    return run


def more(component: str, cell: str, number: int) -> dict:
    name = f"top.core.{MODULE.COMPONENTS[component]}"
    return MODULES | {name: MODULES[name] | {cell: number}}


def test_cells_belong_to_components():
    found = MODULE.figures(MODULES)
    assert found["encoder"] == {"lut": 10, "ff": 0, "block_ram": 2, "lut_ram": 0, "multiplier": 1}
    assert found["buffer"] == {"lut": 12, "ff": 5, "block_ram": 0, "lut_ram": 2, "multiplier": 0}
    assert found["engine"] == {"lut": 6, "ff": 100, "block_ram": 0, "lut_ram": 0, "multiplier": 0}
    assert found["core"] == {"lut": 259, "ff": 105, "block_ram": 6, "lut_ram": 2, "multiplier": 1}


def test_a_component_that_is_gone_is_named():
    with pytest.raises(UserError, match="no module top.core.decoder any more"):
        MODULE.figures({name: cells for name, cells in MODULES.items() if "decoder" not in name})


@pytest.mark.parametrize("component, cell, before, now, grows", [
    ("mixer", "LUT4", 200, 206, False), ("mixer", "LUT4", 200, 207, True),
    ("mixer", "LUT4", 200, 100, False), ("engine", "TRELLIS_FF", 100, 104, True),
    ("encoder", "MULT18X18D", 1, 2, True), ("decoder", "DP16KD", 0, 1, True)])
def test_three_percent_are_allowed(measured, capsys, component, cell, before, now, grows):
    assert measured(MODULES, "--write") == 0
    assert measured(MODULES, "--check") == 0
    assert measured(more(component, cell, now)) == 0, "it only shows"
    assert ("above" in capsys.readouterr().err) == grows
    assert measured(more(component, cell, now), "--check") == grows
    figure = {"LUT4": "lut", "TRELLIS_FF": "ff", "MULT18X18D": "multiplier", "DP16KD": "block_ram"}
    if grows:
        assert f"bench.area_history: {component}, {figure[cell]}: {before} before, {now} now" in \
            capsys.readouterr().err


def test_write_keeps_the_figures_of_now(measured, tmp_path):
    assert measured(MODULES, "--write") == 0
    assert measured(more("mixer", "LUT4", 300), "--write") == 0
    row = json.loads((tmp_path / "area.json").read_text())
    assert row["components"]["mixer"]["lut"] == 300 and row["network"] == MODULE.NETWORK
    assert measured(more("mixer", "LUT4", 300), "--check") == 0


def test_files_that_are_none(measured, tmp_path, capsys):
    assert measured(MODULES, "--check") == 2
    assert "area.json" in capsys.readouterr().err
    measured(MODULES, "--write")
    row = json.loads((tmp_path / "area.json").read_text())
    for wrong, text in ((row | {"lanes": 8}, "is of another core (lanes 8, now 4)"),
                        (row | {"components": {"mixer": {"lut": "9"}}}, "not the file of an area"),
                        ([], "not the file of an area")):
        (tmp_path / "area.json").write_text(json.dumps(wrong))
        assert measured(MODULES, "--check") == 2
        assert text in capsys.readouterr().err


def test_the_file_is_of_the_components_of_now():
    assert set(MODULE.kept(MODULE.FILE)) == {*MODULE.COMPONENTS, MODULE.WHOLE}
