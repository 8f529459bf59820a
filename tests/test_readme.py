"""The README is true: its commands exist, its tables are what the code prints."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sim import results

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def commands() -> list[str]:
    """Every line of the README's shell blocks."""
    lines = []
    for block in re.findall(r"```sh\n(.*?)```", README, re.S):
        lines += [line.split("#")[0].strip() for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(("git ", "cd "))]


def test_there_are_commands_and_the_first_two_are_the_main_ones():
    assert commands()[:2] == ["make sim", "make test"]


@pytest.mark.parametrize("line", [c for c in commands() if c.startswith("make ")])
def test_make_target_exists(line):
    done = subprocess.run([*shlex.split(line), "-n"], cwd=ROOT, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", [c for c in commands() if c.startswith("python -m ")])
def test_module_and_its_options_exist(line):
    _, _, module, *arguments = shlex.split(line)
    done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for argument in arguments:
        if argument.startswith("-"):
            assert re.search(rf"(^|[\s,\[]){re.escape(argument)}\b", done.stdout), \
                f"{module} has no option {argument}"


def test_every_command_is_checked():
    assert all(c.startswith(("make ", "python -m ")) for c in commands()), commands()


def test_tables_are_what_the_code_prints():
    assert results.fill(README) == README, "run python -m sim.results --write"
    for name in results.TABLES:
        assert f"<!-- table: {name} -->" in README


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
