"""Kept measurements: whose they are, what a change of sources and an edited file lead to."""

import json

import numpy as np
import pytest

from bench import kept
from golden.base import made
from golden.base.cli import UserError
from golden.tasks import Split

SETTINGS = {"n": 5}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "results.json"


def measured(path, *names, key=("data",), settings=SETTINGS):
    """(The result, and the names that had to be measured) of a run."""
    asked = []
    result = kept.opened(path, settings, "rows", False, *key)
    kept.fill(path, result, result["rows"], names, lambda name: asked.append(name) or len(name))
    return result, asked


def test_rows_are_measured_once(path):
    assert measured(path, "a")[1] == ["a"]
    result, asked = measured(path, "a", "bb")
    assert asked == ["bb"] and result["rows"] == {"a": 1, "bb": 2}
    assert json.loads(path.read_text()) == result
    assert result["made"]["commits"] == {"a": made.commit(), "bb": made.commit()}
    assert kept.opened(path, {"n": 7}, "rows", True) == result, "whatever its settings"


def test_other_sources_measure_again_and_nothing_is_lost(path, monkeypatch, capsys):
    measured(path, "a", "bb")
    before = path.read_bytes()
    monkeypatch.setattr(made, "by", lambda kind: "other sources")
    assert measured(path, "a")[1] == ["a"]
    aside, = path.parent.glob("results.before-*.json")
    assert aside.read_bytes() == before
    assert "was made by other sources, libraries, networks, data or options: it is now " \
        f"{aside.name}, and everything is measured again" in capsys.readouterr().err
    assert measured(path, "a")[1] == [], "those of these sources stay"


def test_other_data_or_networks_measure_again(path, tmp_path):
    measured(path, "a")
    assert measured(path, "a", key=("other",))[1] == ["a"]
    (tmp_path / "net.pt").write_bytes(b"1")
    one = kept.of_files([tmp_path / "net.pt"])
    (tmp_path / "net.pt").write_bytes(b"2")
    assert one != kept.of_files([tmp_path / "net.pt"])

    class Task:
        def __init__(self, value):
            self.value = value

        def load(self, name, data_dir):
            return Split(np.full((2, 3), self.value), np.array([3, 3]), np.array([0, 1]))
    assert kept.of_data(Task(1), None, "val") == kept.of_data(Task(1), None, "val") != \
        kept.of_data(Task(2), None, "val")


@pytest.mark.parametrize("change", [
    lambda text: text.replace('"a": 1', '"a": 100'), lambda text: text[:-20], lambda text: "",
    lambda text: "[" * 100_000, lambda text: "[]", lambda text: '{"n": 5, "rows": []}',
    lambda text: text.replace('"commits"', '"commit"')],
    ids=["edited", "cut off", "empty", "deep", "list", "another form", "a key"])
def test_a_damaged_or_edited_file_is_put_aside(path, change, capsys):
    measured(path, "a")
    path.write_text(change(path.read_text()))
    text = path.read_text()
    with pytest.raises(UserError, match="is damaged or was edited; measure again"):
        kept.opened(path, SETTINGS, "rows", True)
    result, asked = measured(path, "a")
    assert asked == ["a"] and result["rows"] == {"a": 1}
    aside, = path.parent.glob("results.before-*.json")
    assert aside.read_text() == text and "damaged or was edited" in capsys.readouterr().err


def test_other_settings_are_refused(path):
    measured(path, "a")
    with pytest.raises(UserError, match="was made with 5 n, not 6; give another --json"):
        measured(path, "a", settings={"n": 6})
    with pytest.raises(UserError, match="does not exist; run without --show first"):
        kept.opened(path.with_name("none.json"), SETTINGS, "rows", True)
