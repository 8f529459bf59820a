"""The figures show what was counted; the command writes them whole or says why not."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from golden import checkpoint, figures
from golden.analysis.activity import measure, trace
from golden.base import cli
from golden.model.config import LIFConfig, NetworkConfig, ReleasedConfig, StreamConfig
from golden.model.network import Network
from golden.tasks import make_task

ROOT = Path(__file__).resolve().parents[2]
PNG = b"\x89PNG\r\n"


def run(monkeypatch, *args) -> int:
    """Exit code of ``python -m golden.figures`` with these arguments, in this process."""
    monkeypatch.setattr(sys, "argv", ["golden.figures", *map(str, args), "--threads", "1"])
    try:
        cli.run("golden.figures", figures.main)
    except SystemExit as end:
        return end.code
    return 0


@pytest.fixture(scope="module")
def seen():
    found = checkpoint.load("digits")
    few = found.task.load("val").take(np.arange(10))
    return measure(found.network, few, found.task), trace(found.network, few, found.task)


def test_lines_are_the_counts(seen):
    activity, one = seen
    ax, = figures.active_figure(activity).axes
    np.testing.assert_array_equal([line.get_ydata() for line in ax.lines], activity.active_out)
    top, bottom = figures.neuron_figure(one).axes
    np.testing.assert_array_equal(top.lines[0].get_ydata(), one.curve)
    drawn = [path.vertices[0, 0] for path in bottom.collections[0].get_paths()]
    np.testing.assert_array_equal(drawn, np.flatnonzero(one.spikes))
    ax, = figures.probability_figure(activity).axes
    area = sum(bar.get_width() * bar.get_height() for bar in ax.patches)
    assert area == pytest.approx(1) and len(ax.lines) == 2
    below = (activity.mean_p[0] < figures.NEAR_ZERO).mean()
    assert f"{100 * below:.0f} %" in ax.get_legend().get_texts()[1].get_text()


@pytest.mark.parametrize("values", [np.full(8, 0.0), np.full(8, 1.0), np.array([0.4]),
                                    np.random.default_rng(0).beta(0.5, 2, 500)])
def test_density_integrates_to_one(values):
    at = np.linspace(0, 1, 4001)
    density = figures.density(values, at)
    assert np.trapezoid(density, at) == pytest.approx(1, abs=5e-3)
    assert abs(at[density.argmax()] - np.median(values)) < 0.3


def test_command_writes_the_same_bytes_twice(tmp_path, monkeypatch, capsys):
    for out in ("a", "b"):
        assert run(monkeypatch, "--task", "digits", "-n", 4, "--out", tmp_path / out) == 0
    assert "4 sequences of the val split, 256 steps" in capsys.readouterr().out
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == ["digits.active.png", "digits.neuron.png", "digits.probability.png"]
    for name in files:
        content = (tmp_path / "a" / name).read_bytes()
        assert content.startswith(PNG) and content == (tmp_path / "b" / name).read_bytes()


def test_a_checkpoint_of_another_name_does_not_overwrite_the_shipped_ones_figures(
        tmp_path, monkeypatch):
    mine = tmp_path / "mine.pt"
    mine.write_bytes(checkpoint.shipped("digits").read_bytes())
    assert run(monkeypatch, "--checkpoint", mine, "-n", 2, "--out", tmp_path) == 0
    assert (tmp_path / "digits-mine.active.png").is_file()


SHAPE = {"n_classes": 10, "n_blocks": 2, "d_model": 6, "d_state": 4}


def fresh(path: Path, cfg: NetworkConfig) -> Path:
    """An untrained network for digits as a checkpoint."""
    torch.manual_seed(0)
    checkpoint.save(path, Network(cfg), make_task("digits"), {})
    return path


@pytest.mark.parametrize("cfg, label, has_in", [
    (LIFConfig(**SHAPE), "membrane / threshold", True),
    (StreamConfig(**SHAPE), "SSM output y", False),
    (StreamConfig(**SHAPE, neuron="gelu", mixer="gsu"), "SSM output y", False),
    (ReleasedConfig(**SHAPE, init="s4d_lin"), "spike probability p", True)],
    ids=["lif", "binary", "gsu", "released"])
def test_every_kind_of_spiking_network_has_figures(cfg, label, has_in, tmp_path, monkeypatch):
    path = fresh(tmp_path / "net.pt", cfg)
    assert run(monkeypatch, "--checkpoint", path, "-n", 2, "--out", tmp_path) == 0
    assert len(list(tmp_path.glob("digits-net.*.png"))) == 3
    found = checkpoint.load(path)
    few = found.task.load("val").take(np.arange(2))
    assert trace(found.network, few, found.task).label == label
    seen = measure(found.network, few, found.task)
    assert (seen.rate_in is not None) == has_in
    if label != "spike probability p":
        np.testing.assert_array_equal(seen.mean_p, seen.rate_out)


def test_a_network_without_spikes_has_none(tmp_path, monkeypatch, capsys):
    path = fresh(tmp_path / "net.pt", StreamConfig(**SHAPE, neuron="gelu", mixer="linear"))
    assert run(monkeypatch, "--checkpoint", path, "-n", 2, "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert "no spikes" in error and error.count("\n") == 1 and not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize("args, says", [
    (["--checkpoint", "none.pt"], "none.pt does not exist"),
    (["--task", "nothing"], "task 'nothing' is unknown"),
    (["--task", "digits", "--neuron", "64"], "neuron 64 does not exist; it must be from 0 to 63"),
    (["--task", "digits", "--sequence", "9999"], "sequence 9999 does not exist"),
    (["--task", "digits", "--out", "pyproject.toml"], "pyproject.toml")])
def test_mistakes_are_one_line(args, says, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert run(monkeypatch, *args, "-n", "2") == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_committed_figures_are_small():
    shown = sorted((ROOT / "docs" / "figures").glob("*.png"))
    assert len(shown) >= 3
    for path in shown:
        assert path.read_bytes().startswith(PNG) and path.stat().st_size < 150_000, path
