"""Folders change as a whole, are one process's alone, and a kill leaves nothing for long."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from golden.base import cli, folders
from golden.base.files import write_atomic


def test_replaced_folder_has_the_new_files_and_those_of_others(tmp_path):
    out = tmp_path / "out"
    folders.replace(out, lambda new: (new / "a").write_text("1"), ("a", "b"))
    (out / "b").write_text("old")
    (out / "mine").write_text("kept")
    (out / "sub").mkdir()
    (out / "sub" / "too").write_text("kept")
    folders.replace(out, lambda new: (new / "a").write_text("2"), ("a", "b"))
    assert {path.name for path in out.iterdir()} == {"a", "mine", "sub"}
    assert (out / "a").read_text() == "2" and (out / "sub" / "too").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_fill_that_fails_changes_nothing(tmp_path):
    out = folders.replace(tmp_path / "out", lambda new: (new / "a").write_text("1"), ("a",))

    def fails(new):
        (new / "a").write_text("2")
        raise OSError("no space")
    with pytest.raises(OSError, match="no space"):
        folders.replace(out, fails, ("a",))
    assert (out / "a").read_text() == "1" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("system", [True, False])
def test_readers_never_see_files_of_two_makings(tmp_path, system, monkeypatch):
    if not system:      # a system without the exchange: the folder may be missing for a moment
        monkeypatch.setattr(folders.ctypes, "CDLL", lambda *_, **__: object())
    out, stop, seen = tmp_path / "out", threading.Event(), []

    def make(k):
        folders.replace(out, lambda new: [(new / name).write_text(str(k)) for name in "ab"], "ab")

    def read():
        while not stop.is_set():
            try:
                handle = os.open(out, os.O_RDONLY)
            except FileNotFoundError:
                seen.append(None)
                continue
            texts = []
            for name in "ab":
                with open(os.open(name, os.O_RDONLY, dir_fd=handle)) as file:
                    texts.append(file.read())
            os.close(handle)
            seen.append(len(set(texts)) == 1)
    make(0)
    reader = threading.Thread(target=lambda: _quiet(read))
    reader.start()
    for k in range(200):
        make(k)
    stop.set()
    reader.join(10)
    assert False not in seen and True in seen
    assert not system or None not in seen


def _quiet(work):
    while True:
        try:
            return work()
        except FileNotFoundError:       # the old folder was removed while it was read
            continue


KILLED = """
import os, pathlib, sys
from golden.base import folders
kind, path = sys.argv[1], pathlib.Path(sys.argv[2])
with (folders.fresh(path.parent, path.name) if kind == "folder" else folders.fresh_file(path)):
    print("made", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_a_kill_leaves_is_removed_by_the_next_maker_and_a_living_maker_keeps_his(
        tmp_path, kind):
    target = tmp_path / "thing"
    maker = [subprocess.Popen([sys.executable, "-c", KILLED, kind, str(target)], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for one in maker:
        assert one.stdout.readline() == "made\n"
    assert len(list(tmp_path.iterdir())) == 2
    maker[0].kill()
    maker[0].wait(10)
    write_atomic(target, "x") if kind == "file" else folders.replace(target, lambda new: 0, ())
    assert sorted(path.name == "thing" for path in tmp_path.iterdir()) == [False, True]
    maker[1].communicate("", timeout=10)
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


def test_two_writers_of_one_file_both_succeed(tmp_path):
    target, errors = tmp_path / "file", []

    def write(text):
        try:
            for _ in range(100):
                write_atomic(target, text * 1000)
        except Exception as error:
            errors.append(error)
    threads = [threading.Thread(target=write, args=(text,)) for text in "abcd"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if target.exists():
            text = target.read_text()
            assert len(text) == 1000 and len(set(text)) == 1
    assert not errors and [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_lock_is_one_holders_alone(tmp_path):
    with folders.lock(tmp_path / "sub" / "journal"):
        with pytest.raises(folders.Busy, match="another run that has not ended"):
            with folders.lock(tmp_path / "sub" / "journal"):
                pass
    with folders.lock(tmp_path / "sub" / "journal"):
        pass


@pytest.mark.parametrize("raised, code, said", [
    ("cli.UserError('what, where')", cli.MISTAKE, "probe.main: what, where\n"),
    ("OSError('no space')", cli.MISTAKE, "probe.main: no space\n"),
    ("MemoryError()", cli.MISTAKE, "probe.main: there is not enough memory"),
    ("KeyError('x')", cli.FAULT, "this is a fault of the program, not of your input"),
])
@pytest.mark.parametrize("late", [True, False])
def test_exit_codes_while_importing_and_while_running(tmp_path, raised, code, said, late):
    done = _probe(tmp_path, f"def fail(): raise {raised}", "fail", late)
    out, err = done.communicate(timeout=60)
    assert done.returncode == code and said in err
    assert ("Traceback" in err) == (code == cli.FAULT)


@pytest.mark.parametrize("late", [True, False])
def test_an_interrupt_is_one_line_while_importing_too(tmp_path, late):
    done = _probe(tmp_path, "import time\ndef wait(): print('here', flush=True); time.sleep(60)",
                  "wait", late)
    assert done.stdout.readline() == "here\n"
    time.sleep(0.1)
    done.send_signal(signal.SIGINT)
    out, err = done.communicate(timeout=60)
    assert (done.returncode, err) == (cli.INTERRUPTED, "probe.main: interrupted\n")


def _probe(folder, text, call, late):
    package = folder / "probe"
    package.mkdir()
    (package / "__init__.py").write_text("from golden.base import cli\n\ncli.guard()\n")
    (package / "main.py").write_text(
        f"from golden.base import cli\n{text}\n"
        + (f"cli.run('probe.main', {call})\n" if late else f"{call}()\n"))
    return subprocess.Popen([sys.executable, "-m", "probe.main"], cwd=folder, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=os.environ | {"PYTHONPATH": os.pathsep.join(
                                [os.environ.get("PYTHONPATH", ""), str(ROOT)])})


ROOT = cli.__file__.rsplit("golden", 1)[0]


def test_files_are_written_whole_inside_of_a_new_folder(tmp_path):
    """Its maker holds the lock on the folder; writing into it must not wait for that."""
    done = subprocess.run([sys.executable, "-c", (
        "import sys; from pathlib import Path; from golden.base import folders, files; "
        "folders.replace(Path(sys.argv[1]), lambda new: files.write_atomic(new / 'a', '1'), 'a')")
        , tmp_path / "out"], timeout=30)
    assert not done.returncode and (tmp_path / "out" / "a").read_text() == "1"


def test_makers_of_one_folder_all_succeed(tmp_path):
    """Also the first ones, who find no folder at all; readers get the files of one maker."""
    out, wrong, end = tmp_path / "out", [], threading.Event()

    def make(k):
        try:
            for _ in range(20):
                folders.replace(out, lambda new: [(new / name).write_text(str(k))
                                                  for name in "ab"], "ab")
        except OSError as error:
            wrong.append(error)

    def read():
        while not end.is_set():
            try:
                one, other = folders.contents(out, {"a": 9, "b": 9}).values()
            except FileNotFoundError:
                continue
            wrong.extend([(one, other)] * (one != other))
    threads = [threading.Thread(target=make, args=(k,)) for k in range(6)]
    reader = threading.Thread(target=read)
    for thread in (*threads, reader):
        thread.start()
    for thread in threads:
        thread.join()
    end.set()
    reader.join()
    assert not wrong and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_contents_are_bounded_and_files(tmp_path):
    (tmp_path / "long").write_bytes(bytes(10))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, says in (("long", "has 10 bytes, at most 9 are"), ("pipe", "pipe is not a file"),
                       ("folder", "folder is not a file")):
        with pytest.raises(cli.UserError, match=says):
            folders.contents(tmp_path, {name: 9})
    with pytest.raises(FileNotFoundError) as error:
        folders.contents(tmp_path, {"none": 9})
    assert error.value.filename == str(tmp_path / "none")


def test_a_link_to_a_folder_stays_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    folders.replace(tmp_path / "link", lambda new: (new / "a").write_text("1"), "a")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "a").read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_the_current_folder_is_not_taken_away(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    for here in (tmp_path, tmp_path / "sub"):
        monkeypatch.chdir(here)
        with pytest.raises(cli.UserError, match="has the current folder in it"):
            folders.replace(tmp_path, lambda new: (new / "a").write_text("1"), "a")
    folders.replace(tmp_path / "out", lambda new: (new / "a").write_text("1"), "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "sub"]
