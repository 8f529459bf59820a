"""The walks of docs/architecture.md lead through files and functions that are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
NAMED = re.compile(r"`([\w/]+\.py)`,\s+`([\w.]+)`")
WALKS = ("One coefficient", "One sample")


def section(title: str) -> str:
    return re.search(rf"## {title}.*?\n(.*?)\n## ", PAGE, re.S)[1]


def steps(title: str) -> list[str]:
    """The numbered lines of a walk."""
    return re.split(r"^\d+\. ", section(title), flags=re.M)[1:]


def defined(path: Path, name: str) -> bool:
    """Whether a file defines a class, a function, or a method named Class.method."""
    body = ast.parse(path.read_text()).body
    for part in name.split("."):
        found = [node for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))
                 and node.name == part]
        if not found:
            return False
        body = found[0].body
    return True


@pytest.mark.parametrize("title", WALKS)
def test_every_step_names_a_file_and_a_function_of_it(title):
    walk = steps(title)
    assert len(walk) > 10
    for step in walk:
        assert NAMED.match(step), f"no `file`, `function` at the start of: {step}"
    for file, name in NAMED.findall(section(title)):
        assert (ROOT / file).is_file(), file
        assert defined(ROOT / file, name), f"{file} has no {name}"


def test_every_folder_is_there_and_listed():
    named = {name for row in re.findall(r"^\| (`.*?) \|", section("Folders"), re.M)
             for name in re.findall(r"`([\w/]+)`", row)}
    there = {path.parent.relative_to(ROOT).as_posix() for package in
             ("golden", "quant", "rtl", "sim", "host", "bench")
             for path in (ROOT / package).rglob("__init__.py")}
    assert named == there | {"golden/recipes"}


def test_what_is_not_there_is_seen():
    assert not defined(ROOT / "rtl" / "plan.py", "Plan.nothing")
    assert not defined(ROOT / "rtl" / "plan.py", "nothing")
    assert defined(ROOT / "rtl" / "plan.py", "Plan.writes")
