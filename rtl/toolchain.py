"""The programs for synthesis and place-and-route: where they are, and how a run is shown."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

INSTALL = "pip install -e '.[synth]'"
SHOWN_EVERY = 1.0       # seconds between two lines of progress


class ToolError(Exception):
    """A tool is missing or failed; the message says which, and where its log is."""


def find(tool: str) -> str:
    """Path of ``yosys`` or ``nextpnr-ecp5``.

    ``$YOSYS`` or ``$NEXTPNR_ECP5`` decides; else YoWASP's build beside this Python, else PATH.
    """
    variable = tool.upper().replace("-", "_")
    if os.environ.get(variable):
        found = shutil.which(os.environ[variable])
        if not found:
            raise ToolError(f"${variable} names {os.environ[variable]}, which is no program")
        return found
    beside = Path(sys.executable).with_name(f"yowasp-{tool}")
    found = str(beside) if beside.exists() else shutil.which(f"yowasp-{tool}") or shutil.which(tool)
    if not found:
        raise ToolError(f"{tool} not found; {INSTALL}, or name one in ${variable}")
    return found


def call(tool: str, arguments: list[str], folder: Path, log: str, what: str) -> float:
    """Run a tool in ``folder`` (its file names relative, as YoWASP sees few others).

    On a terminal one line shows what runs, for how long, and the log's last line. Returns seconds.
    """
    program, begin = find(tool), time.monotonic()
    path = folder / log
    with open(path, "w") as out:
        process = subprocess.Popen([program, *arguments], cwd=folder, stdout=out,
                                   stderr=subprocess.STDOUT)
        try:
            while True:
                try:
                    code = process.wait(SHOWN_EVERY)
                    break
                except subprocess.TimeoutExpired:
                    _show(f"{what}: {time.monotonic() - begin:.0f} s  {_last_line(path)}")
        finally:
            process.kill()
            _show("")
    if code:
        raise ToolError(f"{tool} failed with exit code {code}; see {path}: {_last_line(path)}")
    return time.monotonic() - begin


def _show(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text[:100]}", end="", file=sys.stderr, flush=True)


def _last_line(path: Path) -> str:
    """The end of a log that may be large."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 2000))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
