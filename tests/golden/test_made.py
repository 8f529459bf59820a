"""What makes a kept result: every source of its kind is in the digest, and the commit sees all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from golden.base import made
from golden.base.files import SOURCES, source_digest

ROOT = Path(__file__).resolve().parents[2]
# A module that makes results of a kind.
# Builds are not among them: the text of their Verilog is in their key.
MAKERS = {"artifact": "quant.export", "verilog": "rtl.core", "comparison": "sim.verify",
          "synthesis": "rtl.boards.flow", "experiment": "bench.reproduce"}
IMPORTED = """
import importlib, sys
importlib.import_module(sys.argv[1])
for name, module in list(sys.modules.items()):
    if getattr(module, "__file__", None):
        print(module.__file__)
"""


@pytest.mark.parametrize("kind", MAKERS)
def test_the_sources_of_a_kind_are_all_that_its_maker_imports(kind):
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run([sys.executable, "-c", IMPORTED, MAKERS[kind]], text=True, cwd=ROOT,
                          env=os.environ | {"PYTHONPATH": ":".join(paths)}, check=True,
                          stdout=subprocess.PIPE)
    used = [Path(line).relative_to(ROOT).as_posix() for line in done.stdout.splitlines()
            if line.startswith(f"{ROOT}/") and "/.venv/" not in line]
    assert len(used) > 3
    places = (*made.KINDS[kind][0], "golden/__init__.py")   # which has the exit codes alone
    assert [path for path in used if not path.startswith(places)] == []


@pytest.mark.parametrize("kind", made.KINDS)
def test_one_line_of_any_source_changes_the_digest(kind, tmp_path):
    """Of the first and the last file of each place, with every ending; other files do not."""
    for place in made.KINDS[kind][0]:
        found = [path for path in sorted((ROOT / place).rglob("*")) if path.suffix in SOURCES] if (
            ROOT / place).is_dir() else [ROOT / place]
        assert found and all(path.exists() for path in found)
        for path in found:
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    seen = [made.sources.__wrapped__(kind, tmp_path)]
    for place in made.KINDS[kind][0]:
        files = sorted((tmp_path / place).rglob("*")) if (tmp_path / place).is_dir() else [
            tmp_path / place]
        by_ending = {path.suffix: path for path in files if path.is_file()}
        for path in {files[-1], *by_ending.values()}:
            with open(path, "a") as file:
                file.write("\n")
            seen.append(made.sources.__wrapped__(kind, tmp_path))
    assert len(set(seen)) == len(seen) > 1
    (tmp_path / made.KINDS[kind][0][0]).with_name("note.txt").write_text("")
    assert made.sources.__wrapped__(kind, tmp_path) == seen[-1]


def test_a_file_that_moves_or_changes_its_name_is_another_source(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one.py").write_text("1")
    seen = {source_digest(tmp_path / "a")}
    for old, new in (("one.py", "two.py"), ("two.py", "b/two.py"), ("b/two.py", "b/two.cpp")):
        (tmp_path / "a" / old).rename(tmp_path / "a" / new)
        seen.add(source_digest(tmp_path / "a"))
    assert len(seen) == 4


def test_a_library_of_another_version_is_another_maker(monkeypatch):
    now = made.by.__wrapped__("comparison")
    assert now == made.by("comparison")
    right = made.version
    monkeypatch.setattr(made, "version", lambda name: "9" if name == "numba" else right(name))
    assert made.by.__wrapped__("comparison") != now
    assert made.by.__wrapped__("verilog") == made.by("verilog")
    assert made.versions(["numba", "no-such"]) == {"numba": "9", "no-such": None}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b",
                        *words], check=True, capture_output=True)
    for package in (*made.PACKAGES, "docs"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "a.py").write_text("")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr(made, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize("package", made.PACKAGES)
def test_the_commit_says_where_a_package_differs_from_it(repository, package):
    clean = made.commit()
    assert len(clean) == 12
    (repository / "docs" / "a.py").write_text("changed")
    assert made.commit() == clean
    (repository / package / "new.py").write_text("")
    assert made.commit() == f"{clean}+"


def test_packages_are_those_of_the_project():
    assert sorted(made.PACKAGES) == sorted(
        path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests")


def test_what_is_said_of_older_results():
    assert made.older("verilog", made.stamp("verilog")) == ""
    said = made.older("verilog", {"by": "0", "commit": "abc"})
    assert said == "made at commit abc by other sources or libraries than now"
    assert made.older("verilog", None) == made.older("verilog", 3) == (
        "made by other sources or libraries than now")
    assert made.commits(["b", None, "a", "b"]) == "a, b" and made.commits([None]) is None
