"""The table of one and two steps per update, on figures made up."""

import json

from bench import blocks, quantisation
from quant.formats import QUANT_CONFIGS

MODULE = blocks


def test_config():
    assert blocks.config("psmnist", "16x1") == QUANT_CONFIGS["default"]
    assert blocks.config("psmnist.large", "14x1") == QUANT_CONFIGS["compact"]
    found = blocks.config("psmnist.small", "12x2")
    assert (found.state_bits, found.block, found.weight_bits) == (12, 2, 7)


def test_gain():
    assert blocks.gain([0.96, 0.97], [0.97, 0.98]) == "+1.00 ± 0.00"
    assert blocks.gain([0.96, 0.97], [0.95, 0.98]) == "+0.00 ± 1.00"
    assert blocks.gain([0.97], [0.96]) == "-1.00" and blocks.gain("too wide", [0.97]) == ""


def test_cells_are_kept_and_shown(tmp_path, no_data, command, monkeypatch, capsys):
    asked = []

    class Bench(quantisation.Bench):
        def __init__(self, found, data_dir, count, seeds):
            assert (count, seeds) == (8, 2)

        def integer_accuracy(self, config, k):
            asked.append(config)
            if config.state_bits == 12:
                raise quantisation.ExportError("layer 0, h: too narrow")
            return [0.5, 0.75] if config.block == 1 else [0.25, 0.5]
    monkeypatch.setattr(blocks, "Bench", Bench)
    path, of = tmp_path / "results.json", ("--network", "psmnist.small", "-n", 8, "--seeds", 2)
    assert command("--json", path, *of) == 0
    assert len(asked) == len(blocks.CELLS) and command("--json", path, *of) == 0
    assert len(asked) == len(blocks.CELLS)
    assert set(json.loads(path.read_text())["networks"]["psmnist.small"]) == set(blocks.CELLS)
    capsys.readouterr()
    assert command("--json", path, "--show") == 0
    out = capsys.readouterr().out
    assert "62.50" in out and "37.50" in out and "refused" in out and "-25.00 ± 0.00" in out
