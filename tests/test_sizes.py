"""Files, functions and lines stay short enough to be read at once."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("golden", "quant", "rtl", "sim", "host", "bench", "tests", "docs", "lock")
FILE, FUNCTION = 300, 80        # lines, docstrings and comments included
LINE = 100                      # characters


def too_long(source: str) -> list[str]:
    """What of the text of a module is too long."""
    lines = len(source.splitlines())
    found = [f"{lines} lines, at most {FILE} are allowed"] if lines > FILE else []
    found += [f"line {number}: {len(line)} characters, at most {LINE} are allowed"
              for number, line in enumerate(source.splitlines(), 1) if len(line) > LINE]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION:
                found.append(f"{node.name} in line {node.lineno}: {lines} lines, at most "
                             f"{FUNCTION} are allowed")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_is_too_long(package):
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths, f"no modules in {package}"
    assert not [f"{path.relative_to(ROOT)}: {text}" for path in paths
                for text in too_long(path.read_text())]


def test_what_is_too_long_is_seen():
    def function(lines: int, head: str = "def f():") -> str:
        return "\n".join([head, *["    pass"] * (lines - 1), ""])

    assert too_long("x = 1\n" * FILE) == too_long(function(FUNCTION)) == []
    assert too_long("x = 1\n" * (FILE + 1)) == ["301 lines, at most 300 are allowed"]
    assert too_long(function(FUNCTION + 1)) == ["f in line 1: 81 lines, at most 80 are allowed"]
    assert too_long(function(FUNCTION + 1, "async def f():"))
    assert not too_long("x" * LINE)
    assert too_long("\n" + "x" * (LINE + 1)) == ["line 2: 101 characters, at most 100 are allowed"]
    inner = "class C:\n" + "".join(f"    {line}\n" for line in function(99).splitlines())
    assert too_long(inner) == ["f in line 2: 99 lines, at most 80 are allowed"]
