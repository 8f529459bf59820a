"""The lock files hold every package in one version, with hashes; the audit says what it found."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCKS = sorted((ROOT / "lock").glob("*.txt"))


def locked(path: Path) -> dict[str, list[str]]:
    """Versions by name; each entry has hashes alone behind it."""
    found: dict[str, list[str]] = {}
    for entry in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if not entry.strip() or entry.startswith("#"):
            continue
        match = re.fullmatch(r"([a-z0-9.-]+)==(\S+?)(?: ; [^#]*?)?"
                             r"((?:\s+--hash=sha256:[0-9a-f]{64})+)", entry.rstrip())
        assert match, f"{path.name}: {entry[:80]}"
        found.setdefault(match[1], []).append(match[2])
    return found


def wanted(of: list[str]) -> dict[str, str]:
    return dict(line.lower().split("==") for line in of)


def test_every_dependency_is_locked_in_its_version_with_hashes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    base = locked(ROOT / "lock" / "base.txt")
    for name, version in wanted(project["dependencies"]).items():
        assert base.get(name) == (None if name == "torch" else [version]), name
    synth = locked(ROOT / "lock" / "synth.txt")
    for name, version in wanted(project["optional-dependencies"]["synth"]).items():
        assert synth[name] == [version]
    assert base.items() <= synth.items()


def test_no_lock_file_brings_another_torch_or_an_address():
    assert len(LOCKS) == 3
    for path in LOCKS:
        assert not [name for name in locked(path) if re.match("torch|triton|nvidia|cuda", name)]
        assert "://" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("packages, number, said", [
    ([{"name": "a", "version": "1", "vulns": []}], 0, "1 of 1 packages checked, 0 known"),
    ([{"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}], 1,
     "a 1: X-1, mended in 2"),
    ([{"name": "a", "skip_reason": "not found"}], 0,
     "not checked: PyPI does not answer for any of its 1"),
    ([], 0, "")])
def test_the_audit_counts_what_it_could_not_check(packages, number, said, capsys):
    spec = importlib.util.spec_from_file_location("audit", ROOT / "lock" / "audit.py")
    audit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(audit)
    assert audit.report("x.txt", packages) == number
    out = capsys.readouterr().out
    assert said in out and bool(said) == bool(out)


@pytest.mark.parametrize("given, missing", [([], "lock/*.txt"),
                                            (["lock/none.txt"], "lock/none.txt")])
def test_an_audit_of_nothing_is_none(given, missing):
    done = subprocess.run([sys.executable, "lock/audit.py", *given], cwd=ROOT, capture_output=True,
                          text=True)
    assert (done.returncode, done.stderr) == (2, f"audit: {missing} does not exist\n")
