"""The programs for synthesis and place-and-route: where they are, and how a run is shown."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from golden.base import folders
from golden.base.cli import UserError

INSTALL = "pip install -e '.[synth]'"
OWN = ("top.*", "*.log", "stat.json", "planned.json", "report.json", "nextpnr.*")
SHOWN_EVERY = 1.0       # seconds between two lines of progress
ASKED_EVERY = 0.02      # between two looks whether the program has ended
RSS_UNIT = 1 if sys.platform == "darwin" else 1024      # bytes, of getrusage's ru_maxrss


class ToolError(UserError):
    """A tool is missing or failed; the message says which, and where its log is."""


def find(tool: str) -> str:
    """Path of ``yosys``, ``nextpnr-ecp5``, ``gowin_pack``, ...

    ``$YOSYS`` or ``$NEXTPNR_ECP5`` decides; else YoWASP's build beside this Python, else PATH.
    """
    variable = tool.upper().replace("-", "_")
    if os.environ.get(variable):
        found = shutil.which(os.environ[variable])
        if not found:
            raise ToolError(f"${variable} names {os.environ[variable]}, which is not a program")
        return os.path.abspath(found)       # it is run in another folder
    beside = [Path(sys.executable).with_name(name) for name in (f"yowasp-{tool}", tool)]
    found = next((str(path) for path in beside if path.exists()), None) or \
        shutil.which(f"yowasp-{tool}") or shutil.which(tool)
    if not found:
        raise ToolError(f"{tool} not found; {INSTALL}, or name one in ${variable}")
    return os.path.abspath(found)


@dataclass(frozen=True)
class Usage:
    """What a run of a program took."""

    seconds: float          # by the clock on the wall
    cpu_seconds: float
    memory_mb: float        # at its peak

    def as_json(self) -> dict:
        """Rounded, for reports."""
        return {name: round(value, 1) for name, value in vars(self).items()}


def call(tool: str, arguments: list[str], folder: Path, log: str, what: str) -> Usage:
    """Run a tool in ``folder`` (its file names relative, as YoWASP sees few others).

    On a terminal one line shows what runs, for how long, and the log's last line.
    """
    program, begin = find(tool), time.monotonic()
    path = folder / log
    with open(path, "w") as out:
        try:
            process = subprocess.Popen([program, *arguments], cwd=folder, stdout=out,
                                       stderr=subprocess.STDOUT)
        except OSError as error:
            raise ToolError(f"cannot run {program}: {error.strerror}") from None
        shown, ended = begin, 0
        try:
            while not ended:
                ended, status, usage = os.wait4(process.pid, os.WNOHANG)
                now = time.monotonic()
                if not ended and now - shown > SHOWN_EVERY:
                    _show(f"{what}: {now - begin:.0f} s  {_last_line(path)}")
                    shown = now
                if not ended:
                    time.sleep(ASKED_EVERY)
            code = process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if not ended:
                process.kill()
            _show("")
    if code:
        raise ToolError(f"{tool} failed with exit code {code}; see {path}: {_last_line(path)}")
    return Usage(time.monotonic() - begin, usage.ru_utime + usage.ru_stime,
                 usage.ru_maxrss * RSS_UNIT / 1e6)


def made(out: Path, fill: Callable[[Path], object], own: Collection[str] = ()) -> Path:
    """``folders.replace`` for what tools make; the logs of one that fails are kept beside ``out``.

    All that tools write under the names of ``OWN`` belongs to the old result, and so does ``own``.
    """
    out = Path(os.path.realpath(out))

    def kept(new: Path) -> None:
        try:
            fill(new)
        except ToolError as error:
            failed = out.with_name(f"{out.name}.failed")
            folders.replace(failed, lambda logs: [shutil.copy(path, logs)
                                                  for path in new.glob("*.log")], os.listdir(new))
            raise ToolError(str(error).replace(str(new), str(failed))) from None
    before = [path.name for pattern in OWN for path in out.glob(pattern)]
    try:
        return folders.replace(out, kept, {*before, *own})
    except OSError as error:
        raise ToolError(f"cannot write {out}: {error.strerror or error}; choose another --out"
                        ) from None


def _show(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text[:100]}", end="", file=sys.stderr, flush=True)


def _last_line(path: Path) -> str:
    """The end of a log that may be large."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 2000))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
