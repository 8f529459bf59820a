"""What two-sided kernels cost and bring: the tables of the decision page."""

import json
from pathlib import Path

import pytest

from bench import two_sided, two_sided_boards
from rtl.boards.catalogue import BOARDS

MODULE = two_sided
ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/decisions/0010-two-sided-kernels-in-rtl.md").read_text()


@pytest.mark.parametrize("board", ["ulx3s-85f", "ulx3s-12f", "tang-nano-9k", "upduino-v3"])
def test_costs_are_those_of_the_page(board):
    shape = next(iter(two_sided_boards.SHAPES))
    for form in two_sided_boards.FORMS:
        row = two_sided_boards.needed(BOARDS[board], form, two_sided_boards.network(shape, form))
        assert f"| {' | '.join((shape, *row))} |" in PAGE


def test_every_board_is_on_the_page():
    assert all(PAGE.count(f" | {board} | two-sided | ") >= 1 for board in BOARDS)


def test_accuracies_are_those_of_the_page(command, capsys):
    path = ROOT / "docs/results/digits.two_sided.json"
    found = json.loads(path.read_text())["networks"]
    for kernel in ("causal", "two_sided"):
        values = [found[f"{kernel} {seed}"] for seed in range(5)]
        each = ", ".join(f"{100 * value:.1f}" for value in values)
        assert f"| {each} | {two_sided.text(values)} |" in PAGE
    assert command("--json", path, "--show") == 0
    assert "85.13" in capsys.readouterr().out


def test_networks_are_kept(tmp_path, no_data, command, monkeypatch):
    asked = []
    monkeypatch.setattr(two_sided, "accuracy", lambda name, args: asked.append(name) or 0.5)
    options = ("--json", tmp_path / "results.json", "--seeds", 2)
    assert command(*options) == 0 and command(*options) == 0
    assert asked == ["causal 0", "two_sided 0", "causal 1", "two_sided 1"]
