"""Files are whole or not there, also when the disk is full or another process writes the same."""

import json
import os

import pytest

from golden.base.files import write_all_atomic, write_atomic, write_json


def full(file):
    file.write(b"half")
    raise OSError(28, "No space left on device")


def test_bytes_text_and_functions_in_folders_that_are_made(tmp_path):
    contents = {"a.bin": b"\0\1", "b/c.txt": "µ\n", "d": lambda file: file.write(b"made")}
    assert write_all_atomic(tmp_path / "new", contents) == tmp_path / "new"
    found = {path.relative_to(tmp_path / "new").as_posix(): path.read_bytes()
             for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert found == {"a.bin": b"\0\1", "b/c.txt": "µ\n".encode(), "d": b"made"}
    assert json.loads(write_json(tmp_path / "x.json", {"k": [1]}).read_text()) == {"k": [1]}


def test_a_full_disk_leaves_all_as_it_was(tmp_path):
    write_all_atomic(tmp_path, {"a": "old", "b": "old"})
    with pytest.raises(OSError, match="No space"):
        write_all_atomic(tmp_path, {"a": "new", "b": full})
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "old", "b": "old"}


def test_a_writer_inside_another_of_the_same_file(tmp_path):
    """As of two processes: each has a temporary name of its own; the last renaming stays."""
    def outer(file):
        file.write(b"out")
        write_atomic(tmp_path / "a", "inner")
        assert (tmp_path / "a").read_text() == "inner"
        file.write(b"er")
    write_atomic(tmp_path / "a", outer)
    assert (tmp_path / "a").read_text() == "outer" and os.listdir(tmp_path) == ["a"]


def test_a_link_stays_one_and_what_is_no_file_is_never_replaced(tmp_path):
    """/dev/null is such a thing, which root could replace."""
    (tmp_path / "link").symlink_to("real")
    for text in ("one", "two"):
        write_atomic(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == text
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_atomic(tmp_path / "pipe", "said")
    assert (tmp_path / "pipe").is_fifo() and os.read(reader, 9) == b"said"
    os.close(reader)


def test_an_error_of_making_the_hidden_file_names_the_one_that_was_asked_for():
    with pytest.raises(OSError, match="'/proc/x.json'$"):
        write_json("/proc/x.json", 1)
