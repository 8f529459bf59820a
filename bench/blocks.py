"""One and two steps per update of the states, by the states' bits: ``python -m bench.blocks``.

The shipped psMNIST networks as integer networks on validation sequences (never the test set), in
the widths that each is shipped in, but with states of 12 to 16 bits, and once with ``block`` 1 and
once with 2, by the same sampler seeds. Every cell is kept in the JSON file as it is found, so a run
that was stopped goes on. ``--show`` only prints.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("bench.blocks")

import argparse
import statistics
from dataclasses import replace
from pathlib import Path

import numba
import torch
from rich.table import Table

from bench import kept
from bench.quantisation import Bench, text
from bench.shipped import shipped
from golden import checkpoint
from golden.base import cli
from golden.base.options import add_build, add_data_dir, add_threads, build, positive
from golden.tasks import make_task
from quant.formats import QUANT_CONFIGS, QuantConfig, shipped_config

STATES = (16, 15, 14, 13, 12)       # bits
STEPS = (1, 2)                      # per update
CELLS = tuple(f"{bits}x{steps}" for bits in STATES for steps in STEPS)


def config(name: str, cell: str) -> QuantConfig:
    """Of a shipped network and ``BITSxSTEPS``."""
    bits, steps = map(int, cell.split("x"))
    return replace(QUANT_CONFIGS[shipped_config(name)], state_bits=bits, block=steps)


def gain(one: list[float] | str, two: list[float] | str) -> str:
    """Points that two steps win: the mean over seeds, and its standard error."""
    if isinstance(one, str) or isinstance(two, str):
        return ""
    found = [100 * (b - a) for a, b in zip(one, two)]
    error = f" ± {statistics.stdev(found) / len(found) ** 0.5:.2f}" if len(found) > 1 else ""
    return f"{statistics.mean(found):+.2f}{error}"


def show(result: dict) -> None:
    table = Table(title=f"integer networks, validation accuracy in % on {result['n']} sequences, "
                        f"{result['seeds']} seeds; block: steps per update of the states")
    for head in ("network", "widths", "state bits", "block 1", "block 2", "gain"):
        table.add_column(head, justify="right")
    for name, cells in result["networks"].items():
        for bits in STATES:
            one, two = (cells.get(f"{bits}x{steps}") for steps in STEPS)
            if one is None and two is None:
                continue
            table.add_row(name, shipped_config(name), str(bits),
                          *("" if cell is None else text(cell) for cell in (one, two)),
                          "" if one is None or two is None else gain(one, two))
        table.add_section()
    cli.console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser("bench.blocks", description=__doc__.splitlines()[0])
    parser.add_argument("--network", action="append", metavar="NAME",
                        help="one of the shipped networks; default: all of them")
    parser.add_argument("-n", type=positive, default=6000, help="validation sequences")
    parser.add_argument("--seeds", type=positive, default=5)
    parser.add_argument("--json", type=Path, help="file for the results; default: "
                        "build/blocks/results.json")
    add_build(parser)
    add_data_dir(parser)
    add_threads(parser, 1)
    parser.add_argument("--show", action="store_true", help="print what is known")
    args = parser.parse_args()
    args.json = args.json or build("blocks", "results.json")
    torch.set_num_threads(args.threads)
    numba.set_num_threads(min(args.threads, numba.config.NUMBA_NUM_THREADS))
    paths = shipped(args.network)
    key = () if args.show else (kept.of_files(shipped().values()), kept.of_data(
        make_task("psmnist"), args.data_dir, "train", "val"))
    result = kept.opened(args.json, {"n": args.n, "seeds": args.seeds}, "networks", args.show,
                         *key)
    for name, path in () if args.show else paths.items():
        cells = result["networks"].setdefault(name, {})
        bench = Bench(checkpoint.load(path), args.data_dir, args.n, args.seeds)
        kept.fill(args.json, result, cells, CELLS,
                  lambda cell, name=name, bench=bench: bench.cell(config(name, cell)), name)
    show(result)


if __name__ == "__main__":
    cli.run("bench.blocks", main)
