"""``python -m rtl.boards --board ulx3s-85f --task psmnist``: a bitstream and what it uses.

Yosys, nextpnr and the family's packer, from pip (YoWASP) or native. Writes the bitstream, the logs
and ``bitstream.json`` to build/bitstream/<board>_<task>_<lanes>. Exit code 2: the network does
not fit, timing is not met, or a tool is missing.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from golden.base import cli, made
from golden.base.files import write_json
from golden.base.options import add_artifact_or_task, build, numbers, positive
from quant import current
from quant.integer import artifact
from quant.integer.artifact import Artifact
from rtl import cycles
from rtl.boards import estimate, flow
from rtl.boards.board import Board, add_rates
from rtl.boards.catalogue import BOARDS
from rtl.flow import toolchain
from rtl.parts.config import HardwareError, add_folded, add_spram
from rtl.families import add_mixer

WORDS = {"lut": "LUT", "ff": "flip-flops", "multiplier": "multipliers", "block_ram": "block RAM",
         "lut_ram": "LUT RAM cells", "spram": "SPRAM"}


def timing(row: dict, board: Board, art: Artifact, lanes: int) -> dict:
    """Cycles and times of a step and of the longest sequence at the board's clock."""
    hw = board.hardware(lanes)
    found = cycles.predict(art, hw, [art.length])
    mhz = board.clock / 1e6
    return row | {"cycles_per_step": found.cycles_per_step, "cycles": found.cycles,
                  "steps": art.length, "clock_MHz": mhz,
                  "us_per_step": found.cycles_per_step / mhz, "ms": found.cycles / mhz / 1e3}


def table(row: dict, board: Board) -> str:
    """The result for people."""
    lines = [f"{row['task']} ({row['artifact']}) on {board.name} ({board.device}), {row['lanes']} "
             f"lanes {'for all layers' if row['folded'] else 'a layer'}"]
    for kind, number in row["cells"].items():
        whole = board.capacity.get(kind)
        share = f"  {100 * number / whole:5.1f} % of {whole}" if whole else ""
        lines.append(f"  {WORDS[kind]:14} {number:8g}{share}")
    if "fmax" in row:
        met = "met" if row["met"] else "NOT met"
        lines.append(f"  {'Fmax':14} {row['fmax']:8.1f}  MHz, the clock is {row['clock_MHz']:g} MHz"
                     f": {met} (seed {row['seed']})")
    lines.append(f"  {'step':14} {row['cycles_per_step']:8.1f}  cycles, {row['us_per_step']:.3f} "
                 f"us; sequence of {row['steps']} steps {row['cycles']:,} cycles, "
                 f"{row['ms']:.3f} ms")
    for tool, used in row["tools"].items():
        lines.append(f"  {tool:14} {used['seconds']:8.1f}  s ({used['cpu_seconds']} s of CPU), "
                     f"{used['memory_mb']:.0f} MB")
    return "\n".join(lines)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m rtl.boards",
                                     description=__doc__.split("\n\n")[1])
    parser.add_argument("--board", choices=BOARDS, required=True)
    add_artifact_or_task(parser)
    parser.add_argument("--lanes", type=positive, metavar="P",
                        help="complex modes per cycle and layer; default: the most that fit")
    add_mixer(parser)
    add_folded(parser)
    add_spram(parser)
    parser.add_argument("--seeds", type=numbers, default="1,2,3", metavar="1,2",
                        help="placement seeds, tried until one meets the clock (default "
                        "%(default)s)")
    add_rates(parser)
    parser.add_argument("--out", type=Path, metavar="DIR")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    return cli.code("rtl.boards", lambda: make(args))


def make(args: argparse.Namespace) -> None:
    """The bitstream of the options."""
    board = replace(BOARDS[args.board].running(args.clock, args.baud), mixer=args.mixer,
                    folded=args.folded, single_ports=args.spram, longest=args.longest)
    source = current.folder(args)
    art = artifact.load(source)
    board, lanes = estimate.choose(board, art, args.lanes)
    own = "" if args.clock is None else f"_{float(args.clock):g}MHz"
    out = args.out or build("bitstream", f"{board.name}_{source.name}_{lanes}{own}"
                            + "_folded" * board.folded)
    row = {"board": board.name, "device": board.device, "task": source.name,
           "artifact": artifact.digest(art), "lanes": lanes, "folded": board.folded,
           "baud": board.baud, "made": made.stamp("synthesis")}
    row = timing(row, board, art, lanes)

    def whole(folder: Path) -> None:
        row.update(flow.build(board, art, lanes, folder, args.seeds))
        write_json(folder / "bitstream.json", row)
    toolchain.made(out, whole, ["bitstream.json"])
    print(table(row, board))
    print(f"written to {out / row['file']}, bitstream.json is beside it")
    if not row.get("met", True):
        raise HardwareError(f"timing is not met: {row['fmax']:g} MHz, the clock is "
                            f"{row['clock_MHz']:g} MHz; give more --seeds or fewer --lanes")


if __name__ == "__main__":
    sys.exit(main())
