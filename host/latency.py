"""How long a sequence takes on a board: its way over the serial line, and the core's cycles.

Both are known without a board. The line's bytes are those of the frames that the host sends and the
board answers with, ten bits each; the cycles are predicted. What the USB chip, the operating system
and the host program add is not in it.
"""

from dataclasses import dataclass

import numpy as np
from rich.table import Table

from golden.base.cli import console
from host.requests import EMPTY, line_bytes, load, seeding
from quant.integer import lfsr
from quant.integer.artifact import Artifact
from rtl import cycles
from rtl.boards.board import Board
from rtl.link import protocol
from rtl.link.identity import result_bytes, sample_bytes
from rtl.link.packing import plain
from rtl.link.protocol import Command
from rtl.plan import plan

READ = EMPTY + 3                                            # bytes of a READ request on the line
REPLY = EMPTY + protocol.REPLY_HEAD - protocol.REQUEST_HEAD     # of a reply without data
SHOWN = EMPTY + protocol.READ_HEAD - protocol.REQUEST_HEAD      # of one to READ, and its data


@dataclass(frozen=True)
class Times:
    """Milliseconds: of the way to the board, in the core, of the result's way back."""

    up: float
    core: float
    back: float

    @property
    def total(self) -> float:
        return self.up + self.core + self.back

    @property
    def bottleneck(self) -> str:
        """What takes most of it."""
        return "core" if self.core >= self.up + self.back else "line"

    def as_json(self) -> dict:
        """With sum and bottleneck."""
        return {"ms_up": self.up, "ms_core": self.core, "ms_back": self.back,
                "ms_total": self.total, "bottleneck": self.bottleneck}


def result_line(art: Artifact) -> int:
    """Bytes, in both directions, of asking for a result until it is read: once for its cycles."""
    size, step = result_bytes(len(art.blocks), art.outputs), protocol.READ_DATA
    reads = -(-size // step)
    return READ + SHOWN + 4 + reads * (READ + SHOWN) + size


def measure(art: Artifact, board: Board, lanes: int, sequences: list[np.ndarray],
            seeds: list[int]) -> dict:
    """Averages over sequences, each under one seed and under all of ``seeds``.

    Returns what the table and the JSON say.
    """
    size, planned = sample_bytes(art), plan(art, board.hardware(lanes))
    loads = [load(values, size) for values in sequences]
    up = float(np.mean([line_bytes(requests) for requests in loads]))
    whole = float(np.mean([line_bytes([(Command.SAMPLES, data) for data in plain(values, size)])
                           for values in sequences]))
    lengths = [len(values) for values in sequences]
    taken = {steps: cycles.predict(art, board.hardware(lanes), [steps]).cycles
             for steps in set(lengths)}
    clocks = float(np.mean([taken[steps] for steps in lengths]))
    masters = [lfsr.master_seed(art.random, seed) for seed in seeds]
    seed = float(np.mean([line_bytes(seeding(planned, master)) for master in masters]))
    go, take, back = EMPTY + 2 + REPLY, EMPTY + REPLY, result_line(art)

    def line(count: float) -> float:
        return 1e4 * count / board.baud
    core, votes = 1e3 * clocks / board.clock, len(seeds)
    again = (votes - 1) * (EMPTY + REPLY + take)
    one = Times(line(up + go), core, line(back))
    more = Times(line(up + go + again + votes * seed), votes * core, line(votes * back))
    # While one sequence is in the core, the next is on its way to the other buffer.
    period = line(go + take) + max(core, line(up)) + line(back)
    return {"board": board.name, "task": art.task, "lanes": lanes, "clock_MHz": board.clock / 1e6,
            "baud": board.baud, "sequences": len(sequences), "steps": float(np.mean(lengths)),
            "bytes": whole, "bytes_sent": up, "bytes_result": back, "bytes_seed": seed,
            "cycles": clocks, "one": one.as_json(), "votes": votes, "voted": more.as_json(),
            "ms_period": period, "sequences_per_second": 1e3 / period}


def show(row: dict) -> None:
    """The table."""
    table = Table("", "one sequence", f"{row['votes']} votes",
                  title=f"{row['task']} on {row['board']}, lanes: {row['lanes']}")
    for name, field in (("line, to the board", "ms_up"), ("core", "ms_core"),
                        ("line, the result", "ms_back"), ("total", "ms_total")):
        table.add_row(name, *(f"{row[form][field]:.3f} ms" for form in ("one", "voted")))
    table.add_row("bottleneck", *(row[form]["bottleneck"] for form in ("one", "voted")))
    table.add_section()
    table.add_row("clock, line", f"{row['clock_MHz']:g} MHz, {row['baud']:,} baud")
    table.add_row("cycles", f"{row['cycles']:,.0f}")
    table.add_row("bytes of the sequence", f"{row['bytes_sent']:,.0f} of {row['bytes']:,.0f}")
    table.add_row("one after the other", f"{row['sequences_per_second']:,.1f} a second")
    console().print(table)
