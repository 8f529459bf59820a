"""``python -m golden.tasks``: every task, what is at hand, where to get and to put the rest."""

import json
import re
from pathlib import Path

import pytest

from golden.tasks import data
from golden.base import cli
from golden.tasks import TASKS, __main__ as listing, make_task

DOCS = Path(__file__).resolve().parents[2] / "docs" / "tasks.md"


@pytest.fixture(autouse=True)
def nothing_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv(data.CACHE_ENV, str(tmp_path / "cache"))
    monkeypatch.delenv(data.ENV, raising=False)


def run(monkeypatch, *arguments) -> int:
    """Exit code of the command."""
    monkeypatch.setattr("sys.argv", ["golden.tasks", *map(str, arguments)])
    try:
        cli.run("golden.tasks", listing.main)
    except SystemExit as end:
        return end.code
    return 0


def test_nothing_at_hand(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--json", tmp_path / "x" / "list.json") == 0
    out = capsys.readouterr().out
    rows = {row["task"]: row for row in json.loads((tmp_path / "x" / "list.json").read_text())}
    assert list(rows) == list(TASKS)
    for name, row in rows.items():
        source = make_task(name).source
        assert name in out and row["at_hand"] is None
        assert row["missing"] == (not source.made)
        if row["missing"]:              # every file, an address, a folder, the checksum
            block, = [b for b in out.split("\n\n") if re.search(rf"\b{name}\b.*: not at hand", b)]
            assert all(Path(original).name in block for original in row["original"])
            assert f"put  into DIR/{source.folder}" in block
            assert "from http" in block or not source.home
            assert row["checksum"] and row["checksum"] in block
    assert str(tmp_path / "cache") in out
    assert not (tmp_path / "cache").exists()        # looking makes nothing


def test_what_is_at_hand(tmp_path, monkeypatch, capsys):
    for name in ("imdb_train.tsv.xz", "imdb_test.tsv.xz"):
        (tmp_path / "d" / "imdb").mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / "imdb" / name).write_bytes(b"")
    (tmp_path / "d" / "mnist").mkdir()
    (tmp_path / "d" / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"")  # one of four
    (tmp_path / "cache" / "cifar10").mkdir(parents=True)
    (tmp_path / "cache" / "cifar10" / "cifar-10-python.tar.gz").write_bytes(b"")
    monkeypatch.setenv(data.ENV, str(tmp_path / "d"))
    assert run(monkeypatch, "--json", tmp_path / "list.json") == 0
    rows = {row["task"]: row for row in json.loads((tmp_path / "list.json").read_text())}
    assert rows["text"]["at_hand"] == str(tmp_path / "d" / "imdb")
    assert rows["image"]["at_hand"] == str(tmp_path / "cache" / "cifar10")
    assert rows["psmnist"]["missing"] and rows["psmnist"]["state"] == "missing"
    assert rows["psmnist"]["put"] == str(tmp_path / "d" / "mnist")
    out = capsys.readouterr().out
    assert f"put  into {tmp_path / 'd' / 'mnist'}" in out and "text: not at hand" not in out


def test_a_folder_that_does_not_exist(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--data-dir", tmp_path / "nowhere") == 2
    assert capsys.readouterr().err.startswith("golden.tasks: the data folder")


def test_the_table_of_the_docs(monkeypatch, capsys):
    assert run(monkeypatch, "--markdown") == 0
    table = capsys.readouterr().out
    found = re.search(r"<!-- table: tasks -->\n(.*?)<!-- end -->", DOCS.read_text(), re.DOTALL)
    assert found[1] == table, "paste what python -m golden.tasks --markdown prints"
    assert len(table.splitlines()) == 2 + len(TASKS)


def test_the_docs_say_something_of_every_task():
    text = DOCS.read_text().split("<!-- end -->")[1]
    assert all(f"`{name}`" in text for name in TASKS)


@pytest.mark.parametrize("name", [name for name in TASKS if make_task(name).source.folder
                                  and not make_task(name).source.made])
def test_a_missing_file_is_one_line(tmp_path, name):
    (tmp_path / "empty").mkdir()
    source = make_task(name).source
    with pytest.raises(data.DataError) as error:
        make_task(name).load("test", tmp_path / "empty")
    text = str(error.value)
    assert "\n" not in text and str(tmp_path / "empty" / source.folder) in text
    assert (f"from {source.home} and put it there" if source.home else "no public home") in text


@pytest.mark.parametrize("name", TASKS)
def test_a_source_is_whole(name):
    """It can be made, or downloaded, or at least got somewhere and put somewhere."""
    source = make_task(name).source
    assert (source.home.startswith("http") or not source.files) and source.licence
    assert source.made or (source.folder and source.forms)
    for file in source.files:
        assert file.urls and all(url.startswith("http") for url in file.urls)
        assert file.name in source.forms[-1]
        if file.checksum:               # only where someone states it
            kind, _, digits = file.checksum.partition(":")
            assert file.stated and len(digits) == {"md5": 32, "sha256": 64}[kind]
