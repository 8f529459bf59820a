"""Journals: what is kept, for whom, and what a cut off file leaves."""

import pytest

from sim.journal import Journal
from sim.tools import SimError

KEY = {"network": "abc", "seeds": [1, 2]}
RECORDS = [{"start": number, "first": None} for number in range(3)]


@pytest.fixture
def path(tmp_path):
    with Journal(tmp_path / "deep" / "journal.jsonl", KEY) as journal:
        assert journal.records == [] and not journal.replaces
        for record in RECORDS:
            journal.add(record)
    return journal.path


def records(path, key=KEY):
    with Journal(path, key) as journal:
        return journal.records


def test_records_come_back(path):
    assert records(path) == RECORDS


@pytest.mark.parametrize("cut, left", [(1, 2), (5, 2), (40, 1), (75, 0)])
def test_a_cut_off_file(path, cut, left):
    """At any byte: whole lines count, and new ones follow them."""
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path, KEY) as journal:
        assert journal.records == RECORDS[:left]
        journal.add({"start": 9})
        journal.add({"start": 10})
    assert records(path) == [*RECORDS[:left], {"start": 9}, {"start": 10}]


def test_another_key_replaces(path):
    other = KEY | {"network": "def"}
    with Journal(path, other) as journal:
        assert journal.replaces and journal.records == []
    assert records(path) == RECORDS                     # until there is something to keep
    with Journal(path, other) as journal:
        journal.add({"start": 9})
    assert records(path, other) == [{"start": 9}]
    with Journal(path, KEY) as journal:
        assert journal.replaces


def test_one_run_at_a_time(path):
    with Journal(path, KEY):
        with pytest.raises(SimError, match="journal.jsonl belongs to a run that has not ended"):
            Journal(path, KEY)
    assert records(path) == RECORDS


def test_without_a_path_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    journal = Journal(None, KEY)
    journal.add({"start": 1})
    assert journal.records == [{"start": 1}] and not list(tmp_path.iterdir())
