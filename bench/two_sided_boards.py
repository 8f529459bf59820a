"""What two-sided kernels cost on each board: ``python -m bench.two_sided_boards``.

Random networks of two shapes in the default formats, causal and two-sided, both with one engine for
all layers: lanes, block RAMs and what holds them, cycles and time of the longest sequence. Nothing
is built.
"""

import argparse
from collections import Counter
from dataclasses import replace

from golden.base import cli
from quant.formats import RandomFormat
from quant.integer.artifact import Artifact
from quant.integer.lfsr import LONG
from quant.integer.synthetic import random_artifact
from quant.integer.synthetic_two_sided import random_two_sided
from rtl.boards import estimate
from rtl.boards.board import Board
from rtl.boards.catalogue import BOARDS
from rtl.cycles import predict
from rtl.parts.config import HardwareError
from rtl.plan import plan

# name: layers, neurons, modes, classes, steps; the digits' network and psmnist's.
SHAPES = {"2 x 64, n 4, 64 steps": (2, 64, 4, 10, 64), "4 x 128, n 8, 784 steps":
          (4, 128, 8, 10, 784)}
FORMS = {"causal": random_artifact, "two-sided": random_two_sided}
HEAD = ("board", "kernel", "lanes", "block RAMs", "of sequences", "cycles", "ms")


def network(shape: str, form: str) -> Artifact:
    """A random one; its streams are far enough apart for its length."""
    *_, steps = SHAPES[shape]
    return FORMS[form](1, *SHAPES[shape], random=LONG if steps > 64 else RandomFormat())


def needed(board: Board, form: str, art: Artifact) -> tuple[str, ...]:
    """A row of the table: with the most lanes that fit, or what runs out with one."""
    board = replace(board, folded=True)
    try:
        board, lanes = estimate.choose(board, art)
    except HardwareError:
        lanes, fits = 1, False
    else:
        fits = True
    hw = board.hardware(lanes)
    held = estimate.block_rams(plan(art, hw), board.family)
    kept = estimate.count(board, Counter(x=held["sequence"]))
    total, most = estimate.count(board, held), board.capacity["block_ram"]
    cycles = predict(art, hw, [art.length]).cycles
    time = (f"{cycles:,}", f"{1e3 * cycles / board.clock:.2f}") if fits else ("does not fit", "")
    return board.name, form, str(lanes), f"{total} of {most}", str(kept), *time


def rows() -> list[tuple[str, ...]]:
    """Of all boards, shape by shape."""
    return [(shape, *needed(board, form, network(shape, form))) for shape in SHAPES
            for board in BOARDS.values() for form in FORMS]


def table() -> str:
    """In Markdown."""
    lines = [f"| {' | '.join(('network', *HEAD))} |", "|---" * (1 + len(HEAD)) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows())])


def main() -> None:
    argparse.ArgumentParser("bench.two_sided_boards",
                            description=__doc__.splitlines()[0]).parse_args()
    print(table())


if __name__ == "__main__":
    cli.run("bench.two_sided_boards", main)
