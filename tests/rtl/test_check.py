"""``python -m rtl.check``: what a network needs in hardware, or what the RTL lacks for it."""

import re

import pytest

from quant.integer import artifact
from quant.integer.synthetic import random_artifact
from rtl import check
from rtl.layer.cells import CELLS
from rtl.cycles import predict
from rtl.parts.config import HardwareConfig
from tests.rtl import test_cut, test_plan
from tests.rtl.test_cut import SMALL, changed

WORKS = "run the network with python -m quant.evaluate"
REFUSED = {what: (changed(kind, change), message) for what, (kind, change, message)
           in test_cut.REFUSED.items()} | test_plan.REFUSED
SAID = {        # name: what a network needs, as it is printed
    "paper": (dict(), "2 layers of 4 neurons of 2 modes, 8 lanes: "),
    "glu": (dict(kind="glu"), "2 layers of 4 neurons of 2 modes, 8 lanes: "),
    "gsu": (dict(kind="gsu"), "2 layers of 4 neurons of 2 modes, 8 lanes: "),
    "lif": (dict(kind="lif"), "2 layers of 4 neurons of 2 modes, 8 lanes: "),
    "lif, alone": (dict(kind="lif", n=0), "2 layers of 4 neurons of 0 modes, 4 lanes: "),
}


def said(art, folder, capsys, *options) -> tuple[int, str]:
    """Exit code and all that is printed."""
    capsys.readouterr()
    code = check.main(["--artifact", str(artifact.save(art, folder / "art")), *options])
    out, err = capsys.readouterr()
    return code, err if code else out


@pytest.mark.parametrize("kind", SAID)
def test_what_a_network_needs(kind, tmp_path, capsys):
    """Cycles are those that its core takes; products are counted where they are made."""
    options, text = SAID[kind]
    art = random_artifact(1, **SMALL | options)
    code, line = said(art, tmp_path, capsys)
    assert code == 0 and line.startswith(f"synthetic: {text}") and line.count("\n") == 1
    cycles, products, others = map(int, re.search(
        r"(\d+) cycles per step, (\d+) multipliers, (\d+) of them not of lanes$", line).groups())
    lanes = 4 if "alone" in kind else 8
    assert cycles == predict(art, HardwareConfig(lanes), [16]).cycles_per_step
    of_lanes = {"paper": 4, "lif": 4, "glu": 6, "gsu": 6, "lif, alone": 0}[kind]
    assert products - others == 2 * of_lanes * lanes


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_rtl_lacks(what, tmp_path, capsys):
    """One line: the layer or end, the operation or rule, why, and what works."""
    art, message = REFUSED[what]
    code, line = said(art, tmp_path, capsys, *(["--lanes", "8"] if what == "lanes" else []))
    assert code == 2 and line.count("\n") == 1
    assert re.match(f"rtl.check: {message}", line), line
    works = {"decoder": "; shorten the sequences", "lanes": "; allowed: 1, 2, 4, 12",
             "two-sided": "; both sides share the hardware: export with --one-format"}
    assert works.get(what, f"; {WORKS}\n") in line


def test_an_operation_without_a_cell(tmp_path, capsys, monkeypatch):
    """As one of the user's own: what there is, and what works."""
    art = random_artifact(1, kind="glu", **SMALL)
    for name in ("Step", "Product"):
        kind = next(k for k in CELLS if k.__name__ == name)
        with monkeypatch.context() as patch:
            patch.delitem(CELLS, kind)
            code, line = said(art, tmp_path, capsys)
        op = next(str(op) for op in art.blocks[0] if isinstance(op, kind))
        assert code == 2 and line.startswith(f"rtl.check: layer 0: {op} has no component in the "
                                             f"RTL, which has Scale, Mix, ")
        assert line.endswith(f"; {WORKS}\n") and name not in line.partition("which has")[2]


def test_lanes_that_do_not_fit(tmp_path, capsys):
    art = random_artifact(1, **SMALL)
    for given, words in (("0", "lanes must be at least 1, not 0"), ("3", "allowed: 1, 2, 4, 8")):
        code, line = said(art, tmp_path, capsys, "--lanes", given)
        assert code == 2 and words in line and line.count("\n") == 1


def test_no_artifact(tmp_path, capsys):
    assert check.main(["--artifact", str(tmp_path / "no")]) == 2
    assert "no/manifest.json does not exist; make the artifact" in capsys.readouterr().err
