"""The area of a small core, component by component, against what it was: ``bench.area_history``.

Yosys maps one small network of P-SpikeSSM to ECP5 cells and keeps the hierarchy, so that every cell
belongs to a component. ``docs/results/area.json`` has the figures of before: ``--check`` compares
and ends with exit code 1 when any is more than 3 % above, ``--write`` keeps those of now. Without
the signatures and taps of verification.
"""

import argparse
import json
import sys
from pathlib import Path

from amaranth.back import rtlil
from rich.table import Table

from golden.base import cli, folders, forms, made
from golden.base.files import write_json
from golden.base.options import add_build, build
from quant.integer.synthetic import random_artifact
from rtl.core import Core
from rtl.flow import toolchain
from rtl.flow.harness import Harness
from rtl.families import FAMILIES
from rtl.synth import count, mapping

FILE = Path(__file__).resolve().parents[1] / "docs" / "results" / "area.json"
NETWORK = {"seed": 1, "n_layers": 1, "H": 32, "n": 4, "n_classes": 4, "length": 64}
LANES = 4
FAMILY = "ecp5"
ALLOWED = 0.03          # growth of a figure
WHOLE = "core"
# Component: module of the core's hierarchy; what is below it belongs to it.
COMPONENTS = {"encoder": "encoder", "buffer": "layer0.buffer", "engine": "layer0.engine",
              "mixer": "layer0.mixer", "decoder": "decoder"}
FIGURES = ("lut", "ff", "block_ram", "lut_ram", "multiplier")
FORM = {"network": dict, "lanes": forms.whole(1), "family": str, "made": dict, "components": dict}


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Figures of each component and of the whole, by name; logs stay in ``folder``."""
    family = FAMILIES[FAMILY]
    core = Core(random_artifact(*NETWORK.values()), family.hardware(LANES))
    (folder / "top.il").write_text(rtlil.convert(Harness(core, taps=False), name="top"))
    script = mapping(FAMILY).replace(family.command, f"{family.command} -noflatten")
    toolchain.call("yosys", ["-q", "-p", f"{script}; tee -q -o stat.json stat -json"], folder,
                   "yosys.log", f"yosys, {FAMILY}")
    modules = json.loads((folder / "stat.json").read_text())["modules"]
    return figures({name.lstrip("\\"): module["num_cells_by_type"]
                    for name, module in modules.items()})


def figures(modules: dict[str, dict[str, int]]) -> dict[str, dict[str, float]]:
    """Of the components, from the cells by type in each module, named ``top.core...``."""
    found = {}
    for name, path in {**COMPONENTS, WHOLE: ""}.items():
        top = ".".join(filter(None, ("top.core", path)))
        cells = {}
        for module, own in modules.items():
            if module == top or module.startswith(f"{top}."):
                for kind, number in own.items():
                    cells[kind] = cells.get(kind, 0) + number
        if not cells:
            raise cli.UserError(f"the core has no module {top} any more: COMPONENTS of "
                                f"bench/area_history.py is to follow")
        counts = count(cells, FAMILIES[FAMILY])
        found[name] = {figure: counts[figure] for figure in FIGURES}
    return found


def grown(before: dict, now: dict) -> list[str]:
    """What has grown by more than ``ALLOWED``: component, figure, before and now."""
    found = []
    for name, row in now.items():
        for figure, value in row.items():
            was = before.get(name, {}).get(figure, 0)
            if value > was * (1 + ALLOWED):
                found.append(f"{name}, {figure}: {was:g} before, {value:g} now")
    return found


def kept(path: Path) -> dict:
    """The figures of before."""
    again = "make it with python -m bench.area_history --write"
    row = forms.read(path, again)
    numbers = forms.has(row, FORM) and all(
        isinstance(figures, dict) and all(map(forms.amount, figures.values()))
        for figures in row["components"].values())
    if not numbers:
        raise cli.UserError(f"{path} is not the file of an area; {again}")
    wanted = {"network": NETWORK, "lanes": LANES, "family": FAMILY}
    for name, value in wanted.items():
        if row[name] != value:
            raise cli.UserError(f"{path} is of another core ({name} {row[name]}, now {value}); "
                                f"{again}")
    return row["components"]


def run(args: argparse.Namespace) -> int:
    """Measure, compare or write, and print; 1 if a figure has grown."""
    before = {} if args.write else kept(args.json)
    out, now = build("synth", "area_history"), {}

    def measured(folder: Path) -> None:
        now.update(measure(folder))
        write_json(folder / "area.json", now)
    with folders.lock(out):
        toolchain.made(out, measured, ["area.json"])
    show(before, now)
    if args.write:
        write_json(args.json, {"network": NETWORK, "lanes": LANES, "family": FAMILY,
                               "made": made.stamp("synthesis"), "components": now})
        return 0
    found = grown(before, now)
    for line in found:
        print(f"bench.area_history: {line}, more than {100 * ALLOWED:g} % above", file=sys.stderr)
    return int(args.check and bool(found))


def show(before: dict, now: dict) -> None:
    """A row of each component, with what it was where that is another number."""
    table = Table("component", *FIGURES)
    for name, row in now.items():
        cells = []
        for figure, value in row.items():
            was = before.get(name, {}).get(figure, value)
            cells.append(f"{value:g}" if was == value else f"{was:g} -> {value:g}")
        table.add_row(name, *cells)
    cli.console().print(table)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("bench.area_history", description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true",
                      help="exit code 1 if a figure is more than 3 %% above the file's")
    what.add_argument("--write", action="store_true", help="keep the figures of now in the file")
    parser.add_argument("--json", type=Path, metavar="FILE", default=FILE,
                        help="default: docs/results/area.json")
    add_build(parser)
    args = parser.parse_args(argv)
    return cli.code("bench.area_history", lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
