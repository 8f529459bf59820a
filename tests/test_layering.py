"""Imports go one way, without a circle, and what needs no PyTorch runs without it."""

import ast
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Lowest first: a module may import those of its own layer and of the layers below it.
LAYERS = ("golden.base", "golden.tasks", "golden", "quant", "rtl", "sim", "host", "bench")
# What has no PyTorch, and so may import nothing that has.
FREE = ("golden.base", "golden.tasks", "quant.formats", "quant.origin",
        "quant.current", "quant.evaluate", "quant.integer", "rtl", "sim", "host")
# Modules of these that train, compute or draw with PyTorch when they are asked to.
TORCH = {"golden.tasks.pictures", "golden.tasks.shift_and_gain"}


def module_of(path: Path) -> str:
    names = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


FILES = {module_of(path): path for layer in LAYERS if "." not in layer
         for path in sorted((ROOT / layer).rglob("*.py"))}


def imports(source: str, package: str = "") -> set[str]:
    """Modules of the project that the text of a module imports, those inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    found = set()
    for name in names:
        while name and name not in FILES:       # a name inside a module, or of no module of ours
            name = name.rpartition(".")[0]
        found |= {name} - {""}
    return found


def layer_of(module: str) -> str:
    """The narrowest layer that a module lies in."""
    names = module.split(".")
    return next(name for k in (2, 1) if (name := ".".join(names[:k])) in LAYERS)


def violations(module: str, source: str) -> list[str]:
    """Imports of layers above the module's own, and of PyTorch's side from where it is not."""
    own = LAYERS.index(layer_of(module))
    found = [name for name in imports(source) if LAYERS.index(layer_of(name)) > own]
    if is_free(module):
        found += [name for name in imports(source) if not is_free(name) and name not in TORCH]
    return sorted(set(found))


def is_free(module: str) -> bool:
    return module not in TORCH and any(module == name or module.startswith(name + ".")
                                       for name in FREE) or module in ("golden", "quant")


@pytest.mark.parametrize("module", FILES)
def test_imports_go_one_way(module):
    wrong = violations(module, FILES[module].read_text())
    assert not wrong, f"{module} imports {wrong}; the layers are {' <- '.join(LAYERS)}"


def test_there_is_no_circle():
    graph = {module: imports(path.read_text()) - {module} for module, path in FILES.items()
             if path.name != "__init__.py"}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(error.args[1])}")


def test_a_wrong_import_is_seen():
    assert violations("golden.checkpoint", "from quant.integer.artifact import load") == [
        "quant.integer.artifact"]
    assert violations("rtl.core", "import sim.benches.runner") == ["sim.benches.runner"]
    assert violations("rtl.core", "from quant.tune import qat") == ["quant.tune.qat"]
    assert violations("golden.base.cli", "from golden.tasks import data") == ["golden.tasks.data"]
    assert violations("golden.tasks.digits", "from golden.model.ops import Pass") == [
        "golden.model.ops"]
    assert violations("quant.integer.ops", "from quant.prepare import ready") == ["quant.prepare"]
    assert not violations("rtl.core", "from quant.integer import reference, lfsr")
    assert not violations("sim.verify", "from golden.base.cli import UserError")


def test_bit_widths_are_made_in_one_place():
    """Only the modules of formats build formats from literal widths; others derive or receive them.
    """
    places = {ROOT / "quant" / "formats.py", ROOT / "golden" / "tasks" / "formats.py"}
    assert all(path.exists() for path in places)
    literal = []
    for path in set(FILES.values()) - places:
        for node in ast.walk(ast.parse(path.read_text())):
            if (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                    and node.func.id in ("SQ", "UQ")
                    and all(isinstance(a, ast.Constant) for a in node.args)):
                literal.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not literal, f"formats with literal widths elsewhere: {literal}"


def test_what_is_free_of_torch_imports_without_it():
    modules = [m for m in FILES if is_free(m) and not m.endswith("__main__")]
    code = ("import sys; sys.modules['torch'] = None\n"
            + "\n".join(f"import {m}" for m in modules))
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_every_folder_of_tests_is_run():
    paths = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"][
        "testpaths"]
    folders = {f.parent.relative_to(ROOT).as_posix() for f in (ROOT / "tests").rglob("test_*.py")}
    assert folders == {path.removesuffix("/test_*.py") for path in paths}
