"""The table of accuracy against widths, on a toy task."""

import json
from dataclasses import replace

import pytest
import torch

from bench import quantisation
from golden import checkpoint
from golden.model.config import PaperConfig
from golden.model.network import Network
from golden.tasks import make_task
from quant.formats import QuantConfig


@pytest.fixture
def bench(tmp_path):
    name = "tests.quant.toy:Toy"
    task = make_task(name)
    torch.manual_seed(0)
    net = Network(PaperConfig(n_classes=2, n_blocks=1, d_model=8, d_state=4))
    net.calibrate(torch.rand(8, 20))
    checkpoint.save(tmp_path / "toy.pt", net, task, {})
    return quantisation.Bench(checkpoint.load(tmp_path / "toy.pt", task=name), None, 8, seeds=2)


def test_one_width_changes_at_a_time():
    base = QuantConfig()
    assert quantisation.variant(base, "k", 6) == base
    assert quantisation.variant(base, "coef_bits", 10) == replace(base, coef_bits=10)
    assert quantisation.variant(base, "state_bits, half_even", 12) == replace(
        base, state_bits=12, rounding="half_even")


def test_every_cell_is_filled_and_kept(bench, tmp_path, monkeypatch):
    sweeps = {"k": (6, 16), "g_bits": (6,)}
    path = tmp_path / "toy.json"
    first = quantisation.run(bench, sweeps, path)
    assert set(first["cells"]) == {"default", "k 6", "k 16", "g_bits 6"}
    assert all(len(cell) == 2 and all(0 <= v <= 1 for v in cell)
               for cell in first["cells"].values())
    assert json.loads(path.read_text()) == first and first["n"] == 8

    def never(*args):
        raise AssertionError("a cell that is known was run again")
    monkeypatch.setattr(bench, "integer_accuracy", never)
    assert quantisation.run(bench, sweeps, path) == first


def test_a_format_that_does_not_fit_is_a_cell(bench, tmp_path, monkeypatch):
    def refuse(config, k):
        raise quantisation.ExportError("layer 0, h: too wide")
    monkeypatch.setattr(bench, "integer_accuracy", refuse)
    found = quantisation.run(bench, {}, tmp_path / "toy.json")
    assert found["cells"] == {"default": "layer 0, h: too wide"}
    assert quantisation.text(found["cells"]["default"]) == "refused"


def test_cells_as_text():
    assert quantisation.text("layer 0 ...") == "refused"
    assert quantisation.text([0.9]) == "90.00"
    assert quantisation.text([0.9, 0.92]) == "91.00 ± 1.41"
