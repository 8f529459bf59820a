"""``python -m rtl.boards.program --board ulx3s-85f --task digits``: a bitstream into the board.

Calls openFPGALoader, which Linux distributions, Homebrew and the OSS CAD Suite have. The bitstream
is the newest that ``python -m rtl.boards`` made for board and task. Of several boards ``--serial``
or ``--port`` says which.
"""

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from serial.tools import list_ports

from golden.base import cli, forms, made
from golden.base.names import slug
from golden.base.options import add_build, add_net, build, positive
from rtl.boards.board import Board
from rtl.boards.catalogue import BOARDS
from rtl.flow.toolchain import ToolError

LOADER = "openFPGALoader"


def newest(board: str, task: str, lanes: int | None = None) -> tuple[Path, dict] | None:
    """The newest bitstream and its ``bitstream.json``; None: there is none."""
    found = []
    for report in build("bitstream").glob("[!.]*/bitstream.json"):    # hidden: it is being made
        row = read(report)
        if (row["board"], row["task"]) == (board, slug(task)) and lanes in (None, row["lanes"]):
            found.append((report.stat().st_mtime, report.parent / row["file"], row))
    return max(found, key=lambda one: one[:2])[1:] if found else None


def find(board: str, task: str, lanes: int | None) -> tuple[Path, str]:
    """The newest bitstream, and what to say of it, or "": other sources, or too slow a clock.

    Raises :class:`ToolError` if there is none.
    """
    found = newest(board, task, lanes)
    if not found:
        raise ToolError(f"no bitstream of {task} for {board} in {build('bitstream')}; make it "
                        f"with: make bitstream BOARD={board} TASK={task}")
    path, row = found
    said = [made.older("synthesis", row.get("made"))]
    said += ["built without meeting its clock's timing"] * (row.get("met") is False)
    old = ", and ".join(filter(None, said))
    if path.suffix == ".v":
        raise ToolError(f"{path.parent} has no bitstream, but {path.name} for Vivado, which makes "
                        f"one from it: vivado -mode batch -source top.tcl")
    return path, old


def choose(board: Board, serial: str | None, port: str | None) -> list[str]:
    """openFPGALoader's options that say which of several boards.

    serial : the number of the board's USB chip, or port : the board's serial port; None: it is the
    only one. Raises :class:`ToolError` if there are others that it could be, or none.
    """
    if not board.usb:
        if serial or port:
            raise ToolError(f"of a {board.name} {LOADER} loads the first in its boot loader; leave "
                            f"--{'serial' if serial else 'port'} out, and unplug the others")
        return []
    boards = {}     # by their place; a chip with two ports is one board
    for one in sorted(list_ports.comports(), key=lambda one: one.device):
        if (one.vid, one.pid) == board.usb:
            boards.setdefault((one.location or one.device).split(":")[0], []).append(one)
    if not boards and not port:     # a port is hidden while the loader's own driver has the chip
        return ["--ftdi-serial", serial] if serial else []
    here = ", ".join(f"{ports[0].serial_number or 'without number'} at {ports[0].device}"
                     for ports in boards.values()) or "none"
    fitting = [ports for ports in boards.values() if serial in (None, ports[0].serial_number)
               and port in (None, *(one.device for one in ports))]
    if not fitting:
        raise ToolError(f"no board with {'--serial' if serial else '--port'} {serial or port}; "
                        f"those here that can be a {board.name}: {here}")
    if len(fitting) > 1:
        raise ToolError(f"{len(fitting)} boards here can be the {board.name}: {here}; say which, "
                        f"with --serial NUMBER or --port PORT")
    if not serial and not port:
        return []
    (one, *_), = fitting
    same = sum(ports[0].serial_number == one.serial_number for ports in boards.values())
    return ["--ftdi-serial", one.serial_number] if one.serial_number and same == 1 else \
        _place(board, one)


def _place(board: Board, port) -> list[str]:
    """The option for a board without a number of its own: its place, where the system tells it."""
    folder = Path(getattr(port, "usb_device_path", None) or "")
    try:
        bus, device = ((folder / name).read_text().strip() for name in ("busnum", "devnum"))
    except OSError:
        raise ToolError(f"the {board.name} at {port.device} has no number of its own that "
                        f"{LOADER} could be told; unplug the others") from None
    return ["--busdev-num", f"{bus}:{device}"]


def read(report: Path) -> dict:
    """A ``bitstream.json``, of which this needs board, task, lanes and a file beside it."""
    try:
        row = forms.parsed(report.read_text())
        row["board"], row["task"], row["lanes"]
        good = Path(row["file"]).name == row["file"] != ".."
    except (ValueError, KeyError, TypeError):
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
    add_net(parser)
    add_build(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--serial", metavar="NUMBER", help="serial number of the board's USB chip")
    which.add_argument("--port", metavar="PORT", help="serial port of the board (/dev/ttyUSB0)")
    parser.add_argument("--flash", action="store_true",
                        help="write it to the flash memory, so that it is kept without power")
    args = parser.parse_args(argv)
    return cli.code("rtl.boards.program", lambda: load(args))


def load(args: argparse.Namespace) -> None:
    """Run the loader."""
    board = BOARDS[args.board]
    path, old = find(args.board, slug(args.task, args.net), args.lanes)
    if old:
        print(f"rtl.boards.program: {path} was {old}; it is loaded all the same", file=sys.stderr)
    which = choose(board, args.serial, args.port)
    command = [LOADER, "-b", board.programmer, *which, *["-f"] * args.flash, str(path)]
    if not shutil.which(LOADER):
        raise ToolError(f"{LOADER} not found; install it (Debian: sudo apt-get install "
                        f"openfpgaloader), then: {shlex.join(command)}")
    print(shlex.join(command), flush=True)
    ended = subprocess.run(command).returncode
    if ended:
        raise ToolError(f"{LOADER} ended with exit code {ended}; see above (is the board plugged "
                        f"in, may your user open it?)")


if __name__ == "__main__":
    sys.exit(main())
