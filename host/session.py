"""From command line options to a board at the other end of a line."""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from golden.base.cli import UserError
from golden.base.names import slug
from golden.base.options import build, positive, probability
from host import simulated
from host.board import Board
from host.line import BAUD, Line
from host.simulated import Noise, SimulatedBoard
from host.transport import Transport
from quant.integer import artifact
from quant.integer.artifact import Artifact
from rtl.boards import program
from rtl.boards.catalogue import BOARDS
from rtl.parts.config import HardwareConfig, add_hardware, with_options
from rtl.plan import check_link, chosen_lanes, plan
from sim import tools

SIM = "sim"
SIM_PATIENCE = 30.0     # seconds: a simulation may have to share its processor


def add_port_options(parser: argparse.ArgumentParser, real: bool = True) -> None:
    """Where the board is, or how to simulate it; not ``real``: only the latter."""
    if real:
        parser.add_argument("--port", required=True, metavar="PORT",
                            help="serial port of the board (/dev/ttyUSB0), or sim")
        rate = parser.add_mutually_exclusive_group()
        rate.add_argument("--baud", type=positive, help=f"that of the bitstream; default: {BAUD}")
        rate.add_argument("--board", choices=BOARDS, help="take the rate of the newest bitstream "
                          "that was made here for this board and --task")
    group = parser.add_argument_group("simulated board (--port sim)")
    group.add_argument("--lanes", type=positive, metavar="P", help="default: the most up to "
                       f"{HardwareConfig.lanes} that fit the network")
    add_hardware(group)
    group.add_argument("--built-for", type=Path, metavar="DIR",
                       help="artifact that the board is built for; default: the one it runs")
    group.add_argument("--noise-corrupt", type=probability, default=0.0, metavar="P",
                       help="change a byte on the line with this probability")
    group.add_argument("--noise-drop", type=probability, default=0.0, metavar="P",
                       help="lose a byte on the line with this probability")
    group.add_argument("--noise-seed", type=positive, default=1, metavar="N")


def rate(args: argparse.Namespace) -> int:
    """Baud of the line, by ``--baud``, or of a bitstream that was made here."""
    if args.baud or not args.board:
        return args.baud or BAUD
    found = program.newest(args.board, slug(args.task or "", args.net))
    if not found:
        raise UserError(f"no bitstream of {args.task or 'a --task'} for {args.board} in "
                        f"{build('bitstream')}; say its rate with --baud")
    return found[1].get("baud", BAUD)


def progress(text: str) -> None:
    tqdm.write(text, file=sys.stderr)


def simulate(args: argparse.Namespace, art: Artifact) -> SimulatedBoard:
    """Build and start the board that ``args`` describe."""
    built_for = artifact.load(args.built_for) if args.built_for else art
    lanes = chosen_lanes(built_for, args.lanes)
    hw = with_options(lanes, args, signature=False)
    check_link(plan(built_for, hw))
    tools.verilator()
    progress("building the simulated board, if it is not there yet ...")
    return SimulatedBoard(simulated.build(built_for, hw),
                          Noise(args.noise_corrupt, args.noise_drop, args.noise_seed))


@contextlib.contextmanager
def connect(port: str, baud: int, patience: float | None = None) -> Iterator[Board]:
    """A board at a serial port, closed at the end."""
    line = Line(port, baud)
    try:
        yield Board(Transport(line, patience) if patience else Transport(line))
    finally:
        line.close()


@contextlib.contextmanager
def opened(args: argparse.Namespace, art: Artifact,
           ) -> Iterator[tuple[Board, SimulatedBoard | None]]:
    """The board of ``args``, and the simulation where it is one."""
    if args.port != SIM:
        with connect(args.port, rate(args)) as board:
            yield board, None
        return
    with simulate(args, art) as running, connect(running.port, BAUD, SIM_PATIENCE) as board:
        yield board, running


def upload(board: Board, art: Artifact) -> int:
    """Upload with a progress bar; returns the number of words."""
    total = sum(region.depth * region.chunks for region in board.plan(art).regions)
    with tqdm(total=total, unit="word", desc="upload", disable=None, leave=False) as bar:
        for done in board.upload(art):
            bar.update(done - bar.n)
    return total
