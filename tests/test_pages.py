"""README and docs are true: their commands exist, their tables are printed, their links lead on.

Modules and files that the pages name are checked in ``tests/test_docs.py``.
"""

import contextlib
import importlib
import importlib.util
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from quant.integer.synthetic import random_artifact
from rtl.cycles import predict
from rtl.parts.config import HardwareConfig
from sim import results
from sim.comparer import BACK_TO_BACK

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CHANGELOG.md"]
OTHERS = ("git ", "cd ", "export ", "fusesoc ", "pytest ")      # no commands of the project


def commands(page: Path) -> list[str]:
    """Every line of the page's shell blocks, and every ``make`` and ``python -m`` in its prose."""
    text = page.read_text()
    lines = [line.split("#")[0].strip() for block in re.findall(r"```sh\n(.*?)```", text, re.S)
             for line in block.splitlines()]
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    lines += re.findall(r"`((?:make|python -m) [^`]+)`", prose)
    return [" ".join(line.split()) for line in lines if line and not line.startswith(OTHERS)]


def every(start: str) -> list[str]:
    # The changelog and the decisions say what was there then.
    pages = [page for page in PAGES if page.parent in (ROOT, ROOT / "docs") and page != PAGES[-1]]
    return sorted({line for page in pages for line in commands(page) if line.startswith(start)})


def slugs(page: Path) -> set[str]:
    """Anchors of the page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def dead(page: Path, text: str) -> list[str]:
    """Links of a page's text to files or headings that are not there."""
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith("http"):
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and anchor not in slugs(file)):
                found.append(target)
    return found


def help_of(module: str, positional: list[str], monkeypatch) -> str:
    """What ``python -m module positional --help`` prints; nothing where it has no options."""
    if (ROOT / module.replace(".", "/") / "__main__.py").is_file():
        module += ".__main__"
    found = importlib.import_module(module)
    assert '__name__ == "__main__"' in Path(found.__file__).read_text(), f"{module} is no command"
    if not hasattr(found, "main"):
        return ""
    out = io.StringIO()
    monkeypatch.setattr(sys, "argv", [module, *positional, "--help"])
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        found.main()
    assert ended.value.code == 0
    return out.getvalue()


def test_there_are_commands_and_the_first_two_are_the_main_ones():
    assert commands(README)[:2] == ["make sim", "make test"]
    assert len(every("make ")) > 15 and len(every("python -m ")) > 60


def test_every_command_of_a_shell_block_is_checked():
    for page in PAGES:
        assert all(c.startswith(("make ", "python -m ")) for c in commands(page)), commands(page)


def test_make_targets_exist():
    for line in every("make "):
        done = subprocess.run([*shlex.split(line), "-n"], cwd=ROOT, capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 0, f"{line}: {done.stderr}"


@pytest.mark.parametrize("line", every("python -m "))
def test_module_and_its_options_exist(line, monkeypatch):
    _, _, module, *arguments = shlex.split(line)
    options = [argument for argument in arguments if argument.startswith("-")]
    positional = arguments[:arguments.index(options[0])] if options else arguments
    text = help_of(module, positional, monkeypatch)
    for option in options:
        assert re.search(rf"(^|[\s,\[]){re.escape(option)}\b", text), \
            f"{module} has no option {option}"


@pytest.mark.parametrize("page", results.PAGES, ids=lambda page: page.name)
def test_tables_are_what_the_code_prints(page):
    assert results.fill(page.read_text()) == page.read_text(), "run python -m sim.results --write"


def test_every_table_is_on_a_page():
    text = "".join(page.read_text() for page in results.PAGES)
    for name in results.TABLES:
        assert text.count(f"<!-- table: {name} -->") == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert not dead(page, page.read_text())


def test_a_dead_link_is_seen():
    text = "[a](docs/nothing.md) [b](docs/results.md#nothing) [c](docs/results.md#boards)"
    assert dead(README, text) == ["docs/nothing.md", "docs/results.md#nothing"]


def test_the_run_in_the_readme_is_a_run():
    """Its numbers fit each other and the core of that size: two layers of 64 neurons, 4 modes."""
    block = re.search(r"```\n(accuracy on .*?)```", README.read_text(), re.S)[1]
    said = {name: int(value.replace(",", "")) for name, value in
            re.findall(r"│ ([a-z ]+?) +│[^│]*│ +([\d,]+) │", block)}
    art = random_artifact(1, n_layers=2, H=64, n=4, n_classes=10, length=64)
    cores = said["sequences"] // BACK_TO_BACK           # simulated one after the other
    cycles = cores * predict(art, HardwareConfig(8), [64] * BACK_TO_BACK).cycles
    assert said["predicted cycles"] == said["simulated cycles"] == cycles
    assert said["steps"] == 64 * said["sequences"]
    assert said["signatures compared"] == 2 * said["steps"]
    assert said["spikes compared"] == 2 * 2 * 64 * said["steps"]
    assert f"{cycles / said['steps']:.2f} │" in block
