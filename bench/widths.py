"""Every width at once, smaller and smaller: ``python -m bench.widths``.

The shipped psMNIST networks as integer networks on validation sequences (never the test set: what
they are shipped in is chosen from this table), in the default widths, the compact ones and some
between and beyond. ``--widths`` adds others. Every cell is kept in the JSON file as it is found, so
a run that was stopped goes on. ``--show`` only prints.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("bench.widths")

import argparse
import math
import statistics
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
from golden.model.config import NetworkConfig
from golden.tasks import make_task
from golden.base.qformat import FormatError
from quant.formats import QUANT_CONFIGS, QuantConfig, shipped_config

DEFAULT = "16,16,16,8,12"
# State, A_bar, g, W and p; 14,12,10,7,8 is QUANT_CONFIGS["compact"].
WIDTHS = (DEFAULT, "14,14,12,8,8", "13,12,12,8,8", "14,14,12,7,8", "14,12,10,7,8", "13,12,10,7,8",
          "14,14,12,6,8", "14,12,10,6,8")
ALLOWED = 0.002     # accuracy that a shipped format may lose


def config(widths: str) -> QuantConfig:
    """Of the widths ``STATE,A,G,W,P`` in bits. Rows of few bits shift further."""
    state, a, g, w, p = map(int, widths.split(","))
    return QuantConfig(state_bits=state, coef_bits=a, g_bits=g, weight_bits=w, p_bits=p,
                       shift_bits=4 if w >= 8 else 5)


def checked(widths: str) -> str:
    """``widths`` unchanged if it is one, for argparse."""
    try:
        config(widths)
    except (ValueError, FormatError) as error:
        raise argparse.ArgumentTypeError(f"{widths!r} is not STATE,A,G,W,P in bits, such as "
                                         f"14,12,10,7,8: {error}") from None
    return widths


def memory_kbit(widths: str, net: NetworkConfig) -> float:
    """States, coefficients and mixer weights of all blocks in 1,000 bits."""
    c = config(widths)
    mode = 2 * (c.state_bits + c.coef_bits + c.g_bits)
    return net.n_blocks * net.d_model * (net.n_modes * mode + net.d_model * c.weight_bits) / 1000


def smallest(cells: dict[str, list[float] | str], kbit: dict[str, float]) -> str:
    """The widths with the least memory that lose at most ``ALLOWED`` against the default ones."""
    limit = statistics.mean(cells[DEFAULT]) - ALLOWED
    return min((widths for widths, cell in cells.items()
                if not isinstance(cell, str) and statistics.mean(cell) >= limit), key=kbit.get)


def loss(cell: list[float] | str, default: list[float]) -> str:
    """Points lost against the default widths, with the standard error over seeds."""
    if isinstance(cell, str):
        return ""
    lost = 100 * (statistics.mean(default) - statistics.mean(cell))
    if min(len(cell), len(default)) < 2:
        return f"{lost:.2f}"
    error = 100 * math.hypot(*(statistics.stdev(c) / len(c) ** 0.5 for c in (cell, default)))
    return f"{lost:.2f} ± {error:.2f}"


def show(result: dict) -> None:
    table = Table(title=f"integer networks, validation accuracy in % on {result['n']} sequences, "
                        f"{result['seeds']} seeds; smallest: of those that lose at most "
                        f"{100 * ALLOWED:g}")
    for head in ("network", "state, A, g, W, p bits", "kbit", "accuracy", "loses", ""):
        table.add_column(head, justify="right")
    for name, cells in result["networks"].items():
        net = checkpoint.load(shipped([name])[name]).network.cfg
        kbit = {widths: memory_kbit(widths, net) for widths in cells}
        best, ships = smallest(cells, kbit), QUANT_CONFIGS[shipped_config(name)]
        for widths, cell in cells.items():
            marks = ("smallest" * (widths == best), "shipped" * (config(widths) == ships))
            table.add_row(name, widths.replace(",", ", "), f"{kbit[widths]:,.0f}", text(cell),
                          loss(cell, cells[DEFAULT]), ", ".join(filter(None, marks)))
        table.add_section()
    cli.console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser("bench.widths", description=__doc__.splitlines()[0])
    parser.add_argument("--network", action="append", metavar="NAME",
                        help="one of the shipped networks; default: all of them")
    parser.add_argument("--widths", action="append", type=checked, default=[],
                        metavar="STATE,A,G,W,P", help="in bits, in addition to the usual ones")
    parser.add_argument("-n", type=positive, default=5000, help="validation sequences")
    parser.add_argument("--seeds", type=positive, default=5)
    parser.add_argument("--json", type=Path, help="file for the results; default: "
                        "build/widths/results.json")
    add_build(parser)
    add_data_dir(parser)
    add_threads(parser, 1)
    parser.add_argument("--show", action="store_true", help="print what is known")
    args = parser.parse_args()
    args.json = args.json or build("widths", "results.json")
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
        kept.fill(args.json, result, cells, (*WIDTHS, *args.widths),
                  lambda widths, bench=bench: bench.cell(config(widths)), name)
    show(result)


if __name__ == "__main__":
    cli.run("bench.widths", main)
