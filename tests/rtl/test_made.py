"""What tools make: the old result or the new one, logs of a tool that failed, names in reports."""

import json
import os
import signal
from pathlib import Path

import pytest

from golden.base import folders
from golden.base.cli import UserError
from quant.integer import artifact
from quant.integer.synthetic import random_artifact
from rtl import synth
from rtl.boards import __main__ as boards
from rtl.boards import flow, program
from rtl.flow import toolchain
from rtl.flow.toolchain import ToolError, made

TINY = random_artifact(1, n_layers=1, H=4, n=2, n_classes=3, length=16)
STAT = json.dumps({"design": {"num_cells_by_type": {"LUT4": 1}}})


@pytest.fixture
def folder(tmp_path):
    return artifact.save(TINY, tmp_path / "net")


def files(folder) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def result(new, text="new", names=("top.json", "top.bit", "nextpnr.1.log")):
    for name in names:
        (new / name).write_text(text)


def test_all_of_the_old_result_goes(tmp_path):
    out = made(tmp_path / "out", lambda new: result(new, "old"), ["synth.json"])
    (out / "synth.json").write_text("old")
    (out / "notes").write_text("mine")
    made(out, lambda new: result(new, names=["top.json"]), ["synth.json"])
    assert files(out) == {"top.json": "new", "notes": "mine"}


def test_a_tool_that_fails_leaves_its_logs_beside_the_old_result(tmp_path):
    out = made(tmp_path / "out", lambda new: result(new, "old"))

    def fails(new):
        result(new)
        raise ToolError(f"nextpnr failed; see {new / 'nextpnr.1.log'}: no place")
    for _ in range(2):
        with pytest.raises(ToolError) as error:
            made(out, fails)
        kept = tmp_path / "out.failed"
        assert str(error.value) == f"nextpnr failed; see {kept / 'nextpnr.1.log'}: no place"
        assert files(kept) == {"nextpnr.1.log": "new"} and set(files(out).values()) == {"old"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.failed"]


def test_a_full_disk_is_one_line(tmp_path):
    def full(new):
        raise OSError(28, "No space left on device")
    with pytest.raises(ToolError, match=f"cannot write {tmp_path / 'out'}: No space left on dev"):
        made(tmp_path / "out", full)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", [".", "/"])
def test_a_folder_that_cannot_be_replaced_is_refused(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="has the current folder in it"):
        made(Path(out), result)


def test_a_program_that_cannot_run_is_named(tmp_path, monkeypatch):
    (tmp_path / "mine").write_text("no program")
    (tmp_path / "mine").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOSYS", "./mine")
    with pytest.raises(ToolError, match=f"cannot run {tmp_path / 'mine'}: Exec format error"):
        made(tmp_path / "out", lambda new: toolchain.call("yosys", [], new, "yosys.log", "yosys"))


def killed(act) -> None:
    """Run it in a process of its own, which must be killed."""
    child = os.fork()
    if not child:
        try:
            act()
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def dies(tool, *_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_bitstream_leaves_the_old_one(folder, tmp_path, monkeypatch):
    """At every tool: never a report beside the bitstream of another network."""
    out = tmp_path / "built" / "board"
    command = ["--board", "ulx3s-85f", "--artifact", str(folder), "--out", str(out), "--lanes", "1"]

    def tools(text, last=""):
        def call(tool, arguments, where, log, what):
            if tool == last:
                dies(tool)
            (where / {"ecppack": "top.bit"}.get(tool, "stat.json")).write_text(
                text if tool == "ecppack" else STAT)
            (where / "top.json").write_text('{"modules": {"top": {"cells": {}}}}')
            (where / "report.json").write_text(json.dumps({"fmax": {"clk": {"achieved": 99.0}}}))
            return toolchain.Usage(1, 1, 1)
        monkeypatch.setattr(flow, "call", call)
    monkeypatch.setattr(flow, "prepare", lambda *_: None)
    tools("old")
    assert boards.main(command) == 0
    before = files(out)
    for tool in ("yosys", "nextpnr-ecp5", "ecppack"):
        tools("new", tool)
        killed(lambda: boards.main(command))
        assert files(out) == before
    tools("new")
    assert boards.main(command) == 0
    assert files(out)["top.bit"] == "new" and [p.name for p in out.parent.iterdir()] == ["board"]


def test_a_killed_synthesis_leaves_the_old_one(folder, tmp_path, monkeypatch):
    out = tmp_path / "built" / "synth"
    command = ["--artifact", str(folder), "--out", str(out), "--lanes", "1"]

    def yosys(tool, arguments, where, *_):
        (where / "stat.json").write_text(STAT)
        return toolchain.Usage(1, 1, 1)
    monkeypatch.setattr(synth.rtlil, "convert", lambda *_, **__: "module")
    monkeypatch.setattr(synth, "call", yosys)
    assert synth.main(command) == 0
    before = files(out)
    monkeypatch.setattr(synth, "call", dies)
    killed(lambda: synth.main(command))
    assert files(out) == before
    with folders.lock(out):
        assert synth.main(command) == 2


@pytest.mark.parametrize("row", [
    {"file": "../../x.bit"}, {"file": "/etc/passwd"}, {"file": ".."}, {"file": 7}, {"board": None},
    "text", [], None])
def test_reports_that_lead_elsewhere_are_refused(row, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPIKESSM_BUILD", str(tmp_path))
    built = tmp_path / "bitstream" / "one"
    built.mkdir(parents=True)
    good = {"board": "icebreaker", "task": "digits", "lanes": 1, "file": "top.bin"}
    if isinstance(row, dict):
        row = {k: v for k, v in (good | row).items() if v is not None}
    (built / "bitstream.json").write_text(json.dumps(row))
    assert program.main(["--board", "icebreaker", "--task", "digits"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "bitstream.json is damaged or edited; remove" in said


def test_what_is_being_made_is_not_programmed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPIKESSM_BUILD", str(tmp_path))
    hidden = tmp_path / "bitstream" / ".one.0123abcd.new"
    hidden.mkdir(parents=True)
    (hidden / "bitstream.json").write_text(json.dumps(
        {"board": "icebreaker", "task": "digits", "lanes": 1, "file": "top.bin"}))
    assert program.main(["--board", "icebreaker", "--task", "digits"]) == 2
    assert "no bitstream of digits" in capsys.readouterr().err
