"""Journals: what is kept, for whom, and what a cut off file leaves."""

import pytest

from sim.journal import Journal

KEY = {"network": "abc", "seeds": [1, 2]}
RECORDS = [{"start": number, "first": None} for number in range(3)]


@pytest.fixture
def path(tmp_path):
    journal = Journal(tmp_path / "deep" / "journal.jsonl", KEY)
    assert journal.records == [] and not journal.replaces
    for record in RECORDS:
        journal.add(record)
    return journal.path


def test_records_come_back(path):
    assert Journal(path, KEY).records == RECORDS


@pytest.mark.parametrize("cut, left", [(1, 2), (5, 2), (40, 1), (75, 0)])
def test_a_cut_off_file(path, cut, left):
    """At any byte: whole lines count, and new ones follow them."""
    path.write_bytes(path.read_bytes()[:-cut])
    journal = Journal(path, KEY)
    assert journal.records == RECORDS[:left]
    journal.add({"start": 9})
    journal.add({"start": 10})
    assert Journal(path, KEY).records == [*RECORDS[:left], {"start": 9}, {"start": 10}]


def test_another_key_replaces(path):
    journal = Journal(path, KEY | {"network": "def"})
    assert journal.replaces and journal.records == []
    assert Journal(path, KEY).records == RECORDS        # until there is something to keep
    journal.add({"start": 9})
    assert Journal(path, journal.key).records == [{"start": 9}]
    assert Journal(path, KEY).replaces


def test_without_a_path_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    journal = Journal(None, KEY)
    journal.add({"start": 1})
    assert journal.records == [{"start": 1}] and not list(tmp_path.iterdir())
