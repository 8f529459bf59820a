"""``python -m sim.netlist --family ecp5 --kind glu``: a synthesised netlist against its vectors.

Yosys maps a small core to a family's cells, then puts its models of these cells in their place;
what comes out runs under cocotb as the generated Verilog does: every spike of every layer is
compared.
Exit code 1: a difference.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np
from amaranth.back import rtlil

from golden.base import cli, folders, made
from golden.base.options import add_build
from golden.base.files import write_json
from golden.base.qformat import SQ
from quant.formats import QUANT_CONFIGS, LayerFormats
from quant.integer import vectors
from quant.integer.synthetic import random_artifact
from rtl.core import Core
from rtl.families import FAMILIES
from rtl.parts.single_port import BLOCKS
from rtl.synth import READ, count
from rtl.flow.toolchain import call
from sim import ecp5, tools
from sim.benches import cosim
from sim.tools import SimError

# Yosys's models of the families' cells, and ours of cells that it has no model of.
MODELS = {"ecp5": "+/lattice/cells_sim_ecp5.v", "ice40": "+/ice40/cells_sim.v"}
OWN = {"ecp5": ecp5.multiplier() + ecp5.block_ram()}
LENGTHS = (12, 1, 5)
SHAPE = dict(n_layers=1, H=4, n=2, n_classes=3, length=16)
TABLES = dict(kind="paper", residual="plain",
              fmt=LayerFormats(w=SQ(QUANT_CONFIGS["compact"].weight_bits, 0)))
KINDS = {"paper": dict(residual="clampfuse", stress=0.2), "glu": dict(), "gsu": dict(stress=0.2),
         "lif": dict(),       # options of quant.integer.synthetic
         "tables": TABLES, "blocks": TABLES | dict(block=2),
         "folded": dict(kind="paper", n_layers=2, H=6, n=4, block=2)}


def small_core(family: str, kind: str = "paper") -> Core:
    """A core of one layer, or of two that share it, with the memories that the family's bitstreams
    have: where there are some with one port, the folded core has its network written."""
    art = random_artifact(3, **SHAPE | dict(kind=kind) | KINDS[kind])
    folded = kind == "folded"
    ports = BLOCKS if folded and "spram" in FAMILIES[family].cells else 0
    return Core(art, FAMILIES[family].hardware(2 - folded, signature=True, folded=folded,
                                               single_ports=ports))


def netlist(core: Core, family: str, folder: Path) -> tuple[str, dict[str, int]]:
    """Verilog of the mapped core, cells as their models; and how many cells there are by kind."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = FAMILIES[family]
    (folder / "top.il").write_text(rtlil.convert(core, name="core"))
    (folder / "models.v").write_text(OWN.get(family, ""))
    script = (f"{READ}; {kind.command} -top core; tee -q -o stat.json stat -json -top core; "
              f"write_verilog -noattr cells.v; design -reset; read_verilog cells.v; "
              f"read_verilog -overwrite {MODELS[family]}; read_verilog -overwrite models.v; "
              f"hierarchy -check -top core; proc; flatten; memory_collect; opt_clean; "
              f"write_verilog -noattr flat.v")
    call("yosys", ["-q", "-p", script], folder, "yosys.log", f"yosys, {family}")
    cells = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
    return (folder / "flat.v").read_text(), count(cells, kind)


def blackboxes(source: str, family: str) -> set[str]:
    """Cells of the family that are instances still: they had no model."""
    names = re.findall(r"^  (\w+) (?:#\(|\\?\S+ \()", source, re.M)
    patterns = FAMILIES[family].cells.values()
    return {name for name in names for pattern in patterns if re.fullmatch(pattern, name)}


def check(family: str, kind: str, folder: Path) -> dict:
    """Build and run; returns the bench's tally with the cells' counts.

    Raises :class:`SimError` or :class:`rtl.flow.toolchain.ToolError` when that is not possible.
    """
    core = small_core(family, kind)
    source, cells = netlist(core, family, folder)
    left = blackboxes(source, family)
    if left:
        raise SimError(f"yosys has no model of {', '.join(sorted(left))}; see {folder / 'cells.v'}")
    rng = np.random.default_rng(1)
    values = rng.integers(0, 256, (len(LENGTHS), max(LENGTHS)))
    expected = vectors.make(core.art, values, np.array(LENGTHS))
    writes = [] if core.plan.built_in else core.plan.writes()
    return cosim.run(core, expected, folder / "bench", writes, source=source) | {"cells": cells}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("sim.netlist", description=__doc__.split("\n\n")[1])
    parser.add_argument("--family", choices=MODELS, required=True)
    parser.add_argument("--kind", choices=KINDS, default="paper",
                        help="of the network; default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result")
    add_build(parser)
    args = parser.parse_args(argv)
    return cli.code("sim.netlist", lambda: report(args))


def report(args: argparse.Namespace) -> int:
    """Check, write and print; 1 if anything differs."""
    folder = tools.build_folder("netlist", f"{args.family}_{args.kind}")    # kept, to look at
    with folders.lock(folder):
        found = check(args.family, args.kind, folder)
    if args.json:
        write_json(args.json, found | {"commit": made.commit()})
    cells = ", ".join(f"{number:g} {kind}" for kind, number in found["cells"].items())
    print(f"{args.family}, {args.kind}: {cells}; {found['spikes_compared']} spikes and "
          f"{found['signatures_compared']} signatures of {found['sequences']} sequences compared: "
          f"{'equal' if found['equal'] else 'DIFFERENT, ' + found['first']}")
    return int(not found["equal"])


if __name__ == "__main__":
    sys.exit(main())
