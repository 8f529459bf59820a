"""One folder of everything that commands make: by option, by variable, else in the current one."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from golden.base import caches, names, options
from sim import tools

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("golden", "quant", "rtl", "sim", "host", "bench")


def test_the_option_wins_over_the_variable(tmp_path, monkeypatch):
    monkeypatch.delenv(options.BUILD, raising=False)
    monkeypatch.chdir(tmp_path)
    assert options.build("a", "b") == Path("build/a/b")
    assert tools.build_folder("x") == tmp_path / "build" / "sim" / "x"
    monkeypatch.setenv(options.BUILD, "other place")
    assert options.build() == Path("other place")
    parser = argparse.ArgumentParser()
    options.add_build(parser)
    assert vars(parser.parse_args(["--build", "mine"])) == {}
    assert options.artifact_of("digits", "small") == tmp_path / "mine/artifacts/digits.small"
    code = "from golden.base.options import build; print(build('here'))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True)
    assert said.stdout.strip() == str(tmp_path / "mine" / "here"), "a command's own programs too"
    with pytest.raises(SystemExit) as end:
        parser.parse_args(["--build", ""])
    assert end.value.code == 2


def test_names_stay_inside():
    assert names.slug("my_tasks:Louder") == "my_tasks-Louder"
    assert options.artifact_of("../x", "..").parent == options.build("artifacts")
    assert names.slug("digits", "small") == "digits.small"


def test_no_code_names_another_folder():
    """Neither one of its own nor one beside the code; texts may say ``build/...``."""
    used = re.compile(r'Path\("build|/ "build"|"-C", "build|open\("build')
    found = [f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
             for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))
             for number, line in enumerate(path.read_text().splitlines(), 1) if used.search(line)]
    assert not found


def commands() -> list[str]:
    """Every module that parses options and whose help speaks of the folder build."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text()
            if "ArgumentParser(" in text and re.search(r"\bbuild\(|build_folder\(|artifact_of\(|"
                                                       r"current\.folder\(|inputs\.load", text):
                found.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return found


def test_every_command_that_writes_there_has_the_option():
    found = commands()
    assert {"golden.train", "quant.export", "rtl.synth", "sim.fuzz", "bench.widths"} <= set(found)
    without = [name for name in found if not re.search(
        r"add_build\(|add_artifact(_or_task)?\(|inputs\.add_options\(",
        (ROOT / f"{name.replace('.', os.sep)}.py").read_text())]
    assert not without


def test_a_user_without_a_cache_has_one_there(tmp_path, monkeypatch):
    """numba and wasmtime would end with an error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine" / "cache"))
    caches.keep()
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / "mine" / "cache")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    monkeypatch.setenv(options.BUILD, "made")
    caches.keep()
    assert os.environ["XDG_CACHE_HOME"] == str(Path("made/cache").absolute())


def test_a_folder_that_cannot_be_looked_into_is_not_writable(tmp_path, monkeypatch):
    """As /root of a user who is not root: the file system says so by an error."""
    def stat(path, **_):
        if "cache" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **_)
    real = os.stat
    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert not caches.writable(tmp_path / ".cache")
