"""Every width at once: what is tried, how memory is counted, which is the smallest."""

import argparse
import json

import pytest

from bench import quantisation, widths
from golden.model.config import PaperConfig
from quant.formats import QUANT_CONFIGS

MODULE = widths


def test_named_configurations_are_among_them():
    assert widths.config(widths.DEFAULT) == QUANT_CONFIGS["default"]
    assert widths.config("14,12,10,7,8") == QUANT_CONFIGS["compact"]
    assert {widths.DEFAULT, "14,12,10,7,8"} <= set(widths.WIDTHS)


@pytest.mark.parametrize("text", ["14,12,10,7", "14,12,10,7,8,9", "4,2,1,7,x", "99,12,10,7,8", ""])
def test_widths_that_are_none(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not STATE,A,G,W,P in bits"):
        widths.checked(text)


def test_memory():
    net = PaperConfig(n_classes=2, n_blocks=2, d_model=10, d_state=4)
    modes, weights = 2 * 10 * 2 * 2 * (14 + 12 + 10), 2 * 10 * 10 * 7
    assert widths.memory_kbit("14,12,10,7,8", net) == (modes + weights) / 1000


def test_the_smallest_loses_at_most_what_is_allowed():
    cells = {widths.DEFAULT: [0.97, 0.98], "large": [0.975, 0.975], "just": [0.973, 0.9731],
             "less": [0.9729, 0.973], "refused": "layer 0, h: too wide"}
    kbit = {name: 5 - number for number, name in enumerate(cells)}
    assert widths.smallest(cells, kbit) == "just"
    assert widths.smallest({widths.DEFAULT: [0.9], "less": [0.8]}, kbit) == widths.DEFAULT


def test_loss():
    assert widths.loss([0.96, 0.96], [0.97, 0.97]) == "1.00 ± 0.00"
    assert widths.loss([0.94, 0.96], [0.96, 0.98]) == "2.00 ± 1.41"     # sqrt 2 each, of two
    assert widths.loss([0.96], [0.97]) == "1.00" and widths.loss("too wide", [0.97]) == ""


def test_cells_are_kept_and_shown(tmp_path, no_data, command, monkeypatch, capsys):
    asked = []

    class Bench(quantisation.Bench):
        def __init__(self, found, data_dir, count, seeds):
            assert (count, seeds) == (8, 2)

        def integer_accuracy(self, config, k):
            asked.append(config)
            if config.weight_bits == 6:
                raise quantisation.ExportError("layer 0, W: too wide")
            return [0.5, 0.75] if config.weight_bits == 8 else [0.25, 0.5]
    monkeypatch.setattr(widths, "Bench", Bench)
    path, of = tmp_path / "results.json", ("--network", "psmnist.small", "-n", 8, "--seeds", 2)
    assert command("--json", path, *of) == 0
    assert len(asked) == len(widths.WIDTHS)
    assert command("--json", path, *of, "--widths", "10,10,10,5,6") == 0
    assert len(asked) == len(widths.WIDTHS) + 1 and asked[-1].weight_bits == 5
    assert len(json.loads(path.read_text())["networks"]["psmnist.small"]) == len(asked)
    capsys.readouterr()
    assert command("--json", path, "--show") == 0
    out = capsys.readouterr().out
    assert "62.50" in out and "37.50" in out and "refused" in out and "10, 10, 10, 5, 6" in out
    marked = {line.split("│")[-2].strip(): line.split("│")[2].strip()
              for line in out.splitlines() if "psmnist.small" in line}
    assert marked["smallest"] == "13, 12, 12, 8, 8" and marked["shipped"] == "14, 12, 10, 7, 8"
    assert command("--json", path, *of[:-1], 3) == 2
    assert "was made with 2 seeds, not 3" in capsys.readouterr().err
