"""Journals: what is kept, for whom, and what a cut off or edited file leaves."""

import json

import pytest

from golden.base import forms
from golden.base.folders import Busy
from sim.comparer import Part
from sim.journal import Journal

KEY = {"network": "abc", "seeds": [1, 2]}
RECORDS = [{"start": number, "first": None} for number in range(3)]
OTHER = KEY | {"network": "def"}


@pytest.fixture
def path(tmp_path):
    """The file with all records."""
    with Journal(tmp_path / "deep" / "journal", KEY) as journal:
        assert journal.records == [] and not journal.others
        for record in RECORDS:
            journal.add(record)
    return journal.path


def again(path, key=KEY, **options) -> Journal:
    with Journal(path.with_name("journal"), key, **options) as journal:
        return journal


def test_records_come_back(path):
    found = again(path)
    assert found.records == RECORDS and not found.ignored and found.path == path


@pytest.mark.parametrize("cut, left", [(1, 3), (2, 2), (40, 2), (90, 1), (150, 0), (200, 0)])
def test_a_cut_off_file(path, cut, left):
    """At any byte: whole lines count, and new ones follow them."""
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path.with_name("journal"), KEY) as journal:
        assert journal.records == RECORDS[:left]
        journal.add({"start": 9})
        journal.add({"start": 10})
    found = again(path)
    assert found.records == [*RECORDS[:left], {"start": 9}, {"start": 10}] and not found.ignored


@pytest.mark.parametrize("line", [
    "", "{", "[]", "3", '"text"', "null", "NaN", "{}", '{"sum": 1, "record": {}}',
    '{"record": {"start": 1, "first": null}}', '{"start": 1, "first": null}',
    '{"sum": "0123456789abcdef", "record": {"start": 1, "first": null}}',
    '{"sum": "0123456789abcdef", "record": [], "more": 1}', "[" * 100_000, "9" * 5000, "\xff\x00",
    '{"sum": "0123456789abcdef", "record": ' + '{"a": ' * 400 + "1" + "}" * 401])
def test_a_bad_line_counts_as_not_there(path, line):
    """The lines behind it count."""
    lines = path.read_bytes().splitlines()
    lines[2] = line.encode("latin1")
    path.write_bytes(b"\n".join(lines) + b"\n")
    found = again(path)
    assert found.records == [RECORDS[0], RECORDS[2]] and found.ignored == 1


def test_an_edited_record_counts_as_not_there(path):
    """So does one that was taken from another journal."""
    text = path.read_text()
    path.write_text(text.replace('"start": 1', '"start": 7'))
    assert again(path).records == [RECORDS[0], RECORDS[2]]
    with Journal(path.with_name("journal"), OTHER) as journal:
        journal.add({"start": 5})
    stolen = journal.path.read_text().splitlines()[1]
    path.write_text(f"{text}{stolen}\n")
    assert again(path).records == RECORDS and again(path).ignored == 1


def test_a_record_that_cannot_be_true_counts_as_not_there(path):
    found = again(path, check=lambda record: record["start"] != 1)
    assert found.records == [RECORDS[0], RECORDS[2]] and found.ignored == 1


def test_no_more_is_read_than_allowed(path, monkeypatch):
    monkeypatch.setattr(forms, "LARGEST", path.read_bytes().index(b"\n") + 100)
    assert again(path).records == RECORDS[:1]


def test_another_key_has_a_file_of_its_own(path):
    """Nothing is lost: the records are there again where their key comes back."""
    with Journal(path.with_name("journal"), OTHER) as journal:
        assert journal.others == 1 and journal.records == [] and journal.path != path
        journal.add({"start": 9})
    assert again(path, OTHER).records == [{"start": 9}] and not again(path, OTHER).others
    assert again(path).records == RECORDS


def test_one_run_at_a_time(path):
    with Journal(path.with_name("journal"), KEY):
        with pytest.raises(Busy, match="journal belongs to another run that has not ended"):
            Journal(path.with_name("journal"), KEY)
    assert again(path).records == RECORDS


def test_without_a_path_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    journal = Journal(None, KEY)
    journal.add({"start": 1})
    assert journal.records == [{"start": 1}] and not list(tmp_path.iterdir())


def test_the_form_of_a_part_is_that_of_its_fields():
    assert set(Part.FORM) == set(Part.__dataclass_fields__)


@pytest.mark.parametrize("value, form, fits", [
    (3, int, True), (True, int, False), (3.0, int, False), (None, (str, None), True),
    ("a", (str, None), True), (3, (str, None), False), ([1, -1], [forms.whole(-1)], True),
    ([1, -2], [forms.whole(-1)], False), (10**30, forms.whole(), False),
    (True, forms.whole(), False),
    (0.5, forms.amount, True), (float("nan"), forms.amount, False), ("1", forms.amount, False),
    (10**400, forms.amount, True),
    ({"a": 1}, {"a": int}, True), ({"a": 1, "b": 1}, {"a": int}, False), ({}, {"a": int}, False),
    ([], {"a": int}, False), ({}, [int], False)])
def test_forms(value, form, fits):
    assert forms.has(json.loads(json.dumps(value)), form) == fits
