"""``python -m rtl.boards.program --board ulx3s-85f --task digits``: a bitstream into the board.

Calls openFPGALoader, which Linux distributions, Homebrew and the OSS CAD Suite have. The bitstream
is the newest that ``python -m rtl.boards`` made for board and task.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from golden.base import cli
from golden.base.names import slug
from golden.base.options import add_build, build, positive
from rtl.boards.catalogue import BOARDS
from rtl.flow.toolchain import ToolError

LOADER = "openFPGALoader"


def find(board: str, task: str, lanes: int | None) -> Path:
    """The newest bitstream; :class:`ToolError` if there is none."""
    found, built = [], build("bitstream")
    for report in built.glob("[!.]*/bitstream.json"):     # hidden: it is being made
        row = read(report)
        if (row["board"], row["task"]) == (board, slug(task)) and lanes in (None, row["lanes"]):
            found.append((report.stat().st_mtime, report.parent / row["file"]))
    if not found:
        raise ToolError(f"no bitstream of {task} for {board} in {built}; make it with: "
                        f"make bitstream BOARD={board} TASK={task}")
    return max(found)[1]


def read(report: Path) -> dict:
    """A ``bitstream.json``, of which this needs board, task, lanes and a file beside it."""
    try:
        row = json.loads(report.read_text())
        row["board"], row["task"], row["lanes"]
        good = Path(row["file"]).name == row["file"] != ".."
    except (ValueError, KeyError, TypeError, RecursionError):
        good = False
    if not good:
        raise ToolError(f"{report} is damaged or edited; remove {report.parent}, and make the "
                        f"bitstream again")
    return row


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rtl.boards.program",
                                     description=__doc__.split("\n\n")[1])
    parser.add_argument("--board", choices=BOARDS, required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--lanes", type=positive, metavar="P")
    add_build(parser)
    parser.add_argument("--flash", action="store_true",
                        help="write it to the flash memory, so that it is kept without power")
    args = parser.parse_args(argv)
    return cli.code("rtl.boards.program", lambda: load(args))


def load(args: argparse.Namespace) -> None:
    """Run the loader."""
    path = find(args.board, args.task, args.lanes)
    if not shutil.which(LOADER):
        raise ToolError(f"{LOADER} not found; install it (Debian: sudo apt-get install "
                        f"openfpgaloader), then: {LOADER} -b "
                        f"{BOARDS[args.board].programmer} {path}")
    command = [LOADER, "-b", BOARDS[args.board].programmer, *["-f"] * args.flash, str(path)]
    print(" ".join(command))
    code = subprocess.run(command).returncode
    if code:
        raise ToolError(f"{LOADER} ended with exit code {code}; it says why above")


if __name__ == "__main__":
    sys.exit(main())
