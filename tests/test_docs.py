"""What docs, docstrings, comments and messages name is there: modules, functions, files, commands.

Options of commands, ``make`` targets and links are checked in ``tests/test_pages.py``.
"""

import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("golden", "quant", "rtl", "sim", "host", "bench")
NAME = re.compile(rf"(?<![\w./-])({'|'.join(PACKAGES)})((?:\.[A-Za-z_]\w*)+)(?![\w/]|\.\w)")
FILE = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)}|tests)(?:/[\w-]+)+\.(?:py|toml|cpp|h)\b")
# Anything in backticks that begins with a folder of the project: a file, a folder, or a pattern.
TICKED = re.compile(rf"`((?:{'|'.join(PACKAGES)}|tests|docs)/[^`\s]*)`")
COMMAND = re.compile(rf"python -m ((?:{'|'.join(PACKAGES)}|tests)\b(?:\.\w+)*)")
# The changelog and the decisions say what was there then.
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def there(package: str, rest: str) -> bool:
    """Whether a dotted name is a module, or a name that a module's text defines."""
    path, parts = ROOT / package, rest.strip(".").split(".")
    while parts and (path / parts[0] / "__init__.py").is_file():
        path /= parts.pop(0)
    if parts and (path / f"{parts[0]}.py").is_file():
        path = path / f"{parts.pop(0)}.py"
    elif (path / "__init__.py").is_file():
        path = path / "__init__.py"
    if not parts:
        return True
    return path.is_file() and re.search(rf"\b{parts[0]}\b", path.read_text()) is not None


def runs(module: str) -> bool:
    """Whether ``python -m module`` is a command."""
    path = ROOT / module.replace(".", "/")
    file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    return file.is_file() and '__name__ == "__main__"' in file.read_text()


def lies(path: str) -> bool:
    """Whether a path of the project, or a pattern, leads to something; <task> is any name."""
    return any(ROOT.glob(re.sub(r"<\w+>", "*", path.rstrip("/"))))


def missing(text: str) -> set[str]:
    return ({m[1] for m in TICKED.finditer(text) if not lies(m[1])}
            | {m[1] for m in COMMAND.finditer(text) if not runs(m[1])}
            | {m[0] for m in NAME.finditer(text) if not there(m[1], m[2])}
            | {m[0] for m in FILE.finditer(text) if not (ROOT / m[0]).is_file()})


def words(path: Path) -> str:
    """A page, or the strings and comments of a source."""
    if path.suffix == ".md":
        return path.read_text()
    with path.open("rb") as file:
        return "\n".join(token.string for token in tokenize.tokenize(file.readline)
                         if token.type in (tokenize.STRING, tokenize.COMMENT))


@pytest.mark.parametrize("path", PAGES + SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_is_named_is_there(path):
    assert not missing(words(path))


def test_what_is_gone_is_seen():
    gone = ("golden.config", "golden.model.gated", "golden.model.config.RELEASED", "quant.nothing",
            "golden.recipes", "golden/network.py", "golden/recipes/best.toml")
    for name in gone:
        assert missing(f"see `{name}`, or {name}.") == {name}
    for name in ("golden/model/gated", "sim/tb_*.py", "docs/results/nothing.json"):
        assert missing(f"see `{name}`") == {name}
    assert missing("`python -m golden.gated --task digits`") == {"golden.gated"}
    assert missing("run python -m golden.model.config.") == {"golden.model.config"}   # no command
    assert not missing("`golden/checkpoints/`, `sim/benches/tb_*.py`, python -m host run, "
                       "`golden/checkpoints/<task>.pt`, python -m pytest")
    assert not missing("`golden.model`, golden.model.config.from_dict and golden/model/config.py.")
