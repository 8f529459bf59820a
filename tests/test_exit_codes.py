"""Exit codes by their meaning: ``docs/commands.md`` has the table, and one place gives them."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from golden.base import cli

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("golden", "quant", "rtl", "sim", "host", "bench")
FILES = {str(path.relative_to(ROOT)): path.read_text()
         for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
# They only print or write pages of this project, and a wrapper of the compiler.
SIMPLE = {"bench/operations.py", "golden/training/recipes.py", "sim/results.py",
          "sim/native/objcache.py"}


def ends(source: str) -> list[str]:
    """Calls of ``sys.exit`` whose argument is a text: that is exit code 1."""
    return [ast.unparse(call) for call in ast.walk(ast.parse(source))
            if isinstance(call, ast.Call) and ast.unparse(call.func) in ("sys.exit", "SystemExit")
            and any(isinstance(arg, ast.JoinedStr) or isinstance(arg, ast.Constant)
                    and isinstance(arg.value, str) for arg in call.args)]


def test_no_command_ends_with_a_text():
    assert ends("import sys\nsys.exit(f'{1}')\nraise SystemExit('x')\nsys.exit(2)") == [
        "sys.exit(f'{1}')", "SystemExit('x')"]
    assert not {name: found for name, text in FILES.items() if (found := ends(text))}


def test_every_command_tells_input_from_faults():
    commands = {name for name, text in FILES.items() if '__name__ == "__main__"' in text}
    assert len(commands) > 40
    assert {name for name in commands if not re.search(r"cli\.(run|code)\(", FILES[name])} == SIMPLE


def test_the_table_has_every_code():
    table = (ROOT / "docs" / "commands.md").read_text()
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.M)]
    assert codes == [0, cli.DIFFERENT, cli.MISTAKE, cli.FAULT, cli.INTERRUPTED]


class Other(cli.UserError):
    code = cli.DIFFERENT


@pytest.mark.parametrize("error, code", [
    (cli.UserError("x"), 2), (Other("x"), 1), (OSError(28, "full"), 2), (MemoryError(), 2),
    (KeyError("x"), 3), (AssertionError(), 3), (KeyboardInterrupt(), 130)], ids=repr)
def test_codes(error, code, capsys):
    assert cli.told("command", error) == code
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 if code != 3 else "fault of the program" in said[-1]


@pytest.mark.parametrize("arguments", [
    ["golden.tasks.listops", "check", "no-such-file"], ["golden.tasks", "--data-dir", "/nowhere"],
    ["rtl.generate", "--artifact", "nowhere"], ["host.adapt", "--artifact", "a", "--like", "b",
                                                "--out", "c"]], ids=lambda words: words[0])
def test_a_users_mistake_is_two(arguments, tmp_path):
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr
