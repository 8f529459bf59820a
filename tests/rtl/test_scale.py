"""The arithmetic of scale: block RAMs by their shapes, whole cores, bad input in one line."""

import pytest

from quant.integer import artifact
from golden.base.qformat import SQ
from quant.formats import LayerFormats
from quant.integer.synthetic import random_artifact
from rtl import products, scale
from rtl.parts.config import HardwareConfig
from rtl.plan import plan

# The psmnist network's shape and formats, of which there is a synthesis report.
PSMNIST = dict(n_layers=1, H=128, n=8, n_classes=10, length=784)


@pytest.mark.parametrize("rows, bits, blocks", [
    (1, 1, 1), (512, 36, 1), (513, 36, 2), (512, 37, 2), (1024, 18, 1), (1024, 36, 2),
    (2048, 9, 1), (16384, 1, 1), (16385, 1, 2), (12800, 36, 25), (800, 36, 2)])
def test_block_rams(rows, bits, blocks):
    assert scale.block_rams(rows, bits) == blocks


def test_blocks_of_a_layer_as_yosys_infers_them():
    """28 of the mixer, 13 and 6 of the engine, 2 of the buffer."""
    art = random_artifact(1, fmt=LayerFormats(w=SQ(8, 0)), **PSMNIST)
    found = scale.memories(plan(art, HardwareConfig(8, False, 36, 5632)))
    blocks = {name: sum(m.blocks for m in found if m.name == name) for name in
              ("weights", "modes", "states", "buffer", "encoder", "fuse", "neurons")}
    assert blocks == {"weights": 28, "modes": 13, "states": 6, "buffer": 2, "encoder": 0,
                      "fuse": 0, "neurons": 0}
    assert {m.lut_ram_bits for m in found if m.name == "encoder"} == {128 * 32}


@pytest.mark.parametrize("options, count", [
    (dict(residual="clampfuse"), 2 * 4 * 8 + 1 + 2),        # G = 1: lanes, encoder, decoder
    (dict(residual="plain"), 2 * (4 * 8 + 1) + 1 + 2),      # and alpha x
    (dict(residual="none", vocab=5), 2 * 4 * 8 + 2),        # tokens need none
    (dict(kind="glu"), 2 * (6 * 8 + 3) + 1 + 2),            # norm, d u, gate
    (dict(kind="gsu"), 2 * (6 * 8 + 3 + 1) + 1 + 2),        # and the threshold
    (dict(kind="lif"), 2 * (4 * 8 + 2) + 1 + 2),            # two membranes
    (dict(kind="lif", n=0), 2 * 8 * 2 + 8 + 2)])     # words of 8 neurons
def test_multipliers(options, count):
    art = random_artifact(1, **dict(H=16, n=8, length=1000) | options)
    assert products.multipliers(*plan(art, HardwareConfig(8)).parts) == count


def test_rows_and_the_table(tmp_path, capsys):
    art = random_artifact(1, n_layers=2, H=16, n=4, n_classes=2, length=100)
    folder = artifact.save(art, tmp_path)
    assert scale.main(["--artifact", str(folder), "--lanes", "1,4,64"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("synthetic, 2 x 16 neurons of 4 modes; states 16, A 16, g 16")
    first, second, third = (line.split(" | ") for line in lines[4:])
    assert first[:4] == ["| 1", "11", "64", "0.64"] and first[-1] == "fits |"
    assert second[:4] == ["| 4", "35", "16", "0.16"]
    assert third[2:4] == ["9", "0.09"] and third[-1].startswith("too many: multipliers")
    row = scale.row(art, 4)
    assert row["bits"]["states"] == 2 * 16 * 4 * 2 * 16
    assert row["bits"]["weights"] == 2 * 16 * 16 * art.spiking.layers[0].fmt.w.width


@pytest.mark.parametrize("options, most", [
    (dict(kind="glu"), 16), (dict(kind="gsu"), 16), (dict(kind="lif"), 32),
    (dict(kind="lif", n=0), 8)])
def test_every_kind_has_a_table(options, most, tmp_path, capsys):
    """Registers are no memories; what a kind lacks takes nothing."""
    art = random_artifact(1, **dict(n_layers=2, H=8, n=4, length=16) | options)
    assert scale.main(["--artifact", str(artifact.save(art, tmp_path))]) == 0
    rows = capsys.readouterr().out.splitlines()[4:]
    assert [int(row.split(" | ")[0][2:]) for row in rows] == [
        lanes for lanes in (1, 2, 4, 8, 16, 32) if lanes <= most]
    planned = plan(art, HardwareConfig(2))
    found = scale.memories(planned)
    assert any(region.register for region in planned.regions)
    assert sum(m.rows * m.bits for m in found if m.name == "tables") == sum(
        region.depth * region.width for region in planned.regions
        if region.name.endswith(("sigmoid", "gelu")))
    assert (options.get("n") == 0) == ("states" not in {m.name for m in found})


def test_bad_input_is_one_line(tmp_path, capsys):
    for args, words in ((["--artifact", str(tmp_path / "no")], "manifest"),
                        (["--paper", "--weights", "9"], "--weights from 2 to 8"),
                        (["--paper", "--lanes", "2,x"], "--lanes 2,x: write whole numbers"),
                        (["--paper", "--lanes", "7"], "7 lanes do not divide 400 neurons")):
        assert scale.main(args) == 2
        text = capsys.readouterr().err
        assert text.startswith("rtl.scale: ") and text.count("\n") == 1 and words in text
