"""Imports follow the data flow golden -> quant -> rtl -> sim -> host, and hardware needs no torch."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "golden": {"golden", "quant.formats"},
    "golden.base": {"golden.base"},
    "quant": {"quant", "golden"},
    "rtl": {"rtl", "quant", "golden.base"},
    "sim": {"sim", "rtl", "quant", "golden.tasks", "golden.data", "golden.base"},
    "host": {"host", "sim", "rtl", "quant", "golden.tasks", "golden.data", "golden.base"},
}
# What the hardware side may take from quant: nothing that knows PyTorch.
INTEGER_SIDE = {"quant.formats", "quant.integer.lfsr", "quant.integer.artifact", "quant.origin", "quant.integer.reference",
                "quant.integer.head", "quant.integer.head_tensors", "quant.integer.network", "quant.rules",
                "quant.integer.sampling", "quant.integer.synthetic", "quant.integer.vectors"}


def imports(source: str) -> set[str]:
    """Absolute module names imported by the text of a module."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def violations(package: str, source: str) -> list[str]:
    """Imports that ``package`` may not make."""
    allowed = ALLOWED[package] - ({"quant"} if package == "rtl" else set())
    if package == "rtl":
        allowed |= INTEGER_SIDE
    return [name for name in imports(source) if name.split(".")[0] in ALLOWED
            and not any(name == ok or name.startswith(ok + ".") for ok in allowed)
            and not (package == "rtl" and name in {ok for ok in INTEGER_SIDE})]


def package_of(path: Path) -> str:
    """The narrowest package of ALLOWED that a file lies in."""
    names = path.relative_to(ROOT).parts
    return next(name for k in (2, 1) if (name := ".".join(names[:k])) in ALLOWED)


FILES = sorted({f for package in ALLOWED for f in (ROOT / package).rglob("*.py")})


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_upstream(path):
    package = package_of(path)
    wrong = violations(package, path.read_text())
    assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}; {package} may import " \
                      f"{sorted(ALLOWED[package])}"


def test_a_wrong_import_is_seen():
    assert violations("golden", "from quant.integer.artifact import load") == ["quant.integer.artifact.load"]
    assert violations("golden.base", "from golden import data") == ["golden.data"]
    assert violations("rtl", "from golden import data") == ["golden.data"]
    assert not violations("rtl", "from golden.base.cli import UserError")
    assert package_of(ROOT / "golden" / "base" / "cli.py") == "golden.base"
    assert violations("rtl", "import sim.runner") == ["sim.runner"]
    assert violations("rtl", "from quant import qat") == ["quant.tune.qat"]
    assert not violations("rtl", "from quant import reference, lfsr")


def test_bit_widths_are_made_in_one_file():
    """Only quant/formats.py builds formats from literal widths; others derive or receive them."""
    assert (ROOT / "quant" / "formats.py").exists()
    literal = []
    for path in FILES:
        if path == ROOT / "quant" / "formats.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                    and node.func.id in ("SQ", "UQ")
                    and all(isinstance(a, ast.Constant) for a in node.args)):
                literal.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not literal, f"formats with literal widths outside quant/formats.py: {literal}"


def test_hardware_side_imports_without_torch():
    modules = sorted(".".join(p.relative_to(ROOT).with_suffix("").parts)
                     for p in (ROOT / "rtl").rglob("*.py") if p.stem != "__init__")
    code = ("import sys; sys.modules['torch'] = None\n"
            + "\n".join(f"import {m}" for m in modules + sorted(INTEGER_SIDE)))
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_every_folder_of_tests_is_run():
    paths = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"][
        "testpaths"]
    folders = {f.parent.relative_to(ROOT).as_posix() for f in (ROOT / "tests").rglob("test_*.py")}
    assert folders == {path.removesuffix("/test_*.py") for path in paths}
