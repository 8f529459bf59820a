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
    "quant": {"quant", "golden"},
    "rtl": {"rtl", "quant"},
    "sim": {"sim", "rtl", "quant", "golden.tasks", "golden.data", "golden.base.cli"},
    "host": {"host", "sim", "rtl", "quant", "golden.tasks", "golden.data", "golden.base.cli"},
}
# Inside golden: what these packages may take of it, beside themselves.
INSIDE = {
    "golden.model": {"golden.carry", "golden.chunk_matrices", "golden.ops", "golden.sampling",
                     "golden.tasks.base"},
    "golden.training": {"golden.model", "golden.tasks", "golden.base.cli"},
}
# What the hardware side may take from quant: nothing that knows PyTorch.
INTEGER_SIDE = {"golden.base.files", "quant.formats", "quant.integer.lfsr", "quant.integer.artifact", "quant.integer.reference",
                "quant.integer.head", "quant.integer.head_tensors", "quant.integer.network", "quant.integer.sampling",
                "quant.integer.synthetic", "quant.integer.vectors"}


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


def violations_inside(package: str, source: str) -> list[str]:
    """Imports of golden that a package inside it may not make."""
    return [name for name in imports(source) if name.split(".")[0] in ALLOWED
            and not any(name == ok or name.startswith(ok + ".")
                        for ok in INSIDE[package] | {package})]


FILES = [f for package in ALLOWED for f in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_upstream(path):
    package = path.relative_to(ROOT).parts[0]
    wrong = violations(package, path.read_text())
    assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}; {package} may import " \
                      f"{sorted(ALLOWED[package])}"


@pytest.mark.parametrize("package", INSIDE)
def test_packages_inside_golden_know_what_is_below_them(package):
    files = sorted((ROOT / package.replace(".", "/")).glob("*.py"))
    assert len(files) > 1
    wrong = {path.name: found for path in files
             if (found := violations_inside(package, path.read_text()))}
    assert not wrong, f"{package} may import {sorted(INSIDE[package])} of golden: {wrong}"


def test_a_wrong_import_is_seen():
    assert violations_inside("golden.model", "from golden.training import recipes")
    assert violations_inside("golden.model", "from golden import checkpoint")
    assert violations_inside("golden.training", "from quant.formats import UQ")
    assert not violations_inside("golden.model", "from golden.model.ops import Pass")
    assert violations("golden", "from quant.integer.artifact import load") == ["quant.integer.artifact.load"]
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


def test_every_package_and_its_data_is_installed():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {f.parent.relative_to(ROOT).as_posix().replace("/", ".") for f in FILES}
    assert packages == set(setuptools["packages"])
    data = {f.relative_to(ROOT / "golden") for folder in ("checkpoints", "recipes")
            for f in (ROOT / "golden" / folder).iterdir()}
    listed = {f.relative_to(ROOT / "golden") for pattern in setuptools["package-data"]["golden"]
              for f in (ROOT / "golden").glob(pattern)}
    assert data == listed
