"""``python -m rtl.synth --artifact DIR --family ecp5 --lanes 8 [--route]``: area and frequency.

Yosys maps the core to a family's cells and the report counts what it really inferred; ``--route``
places and routes it on an ECP5 with nextpnr. Writes ``synth.json`` beside the logs.
"""

import argparse
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

from amaranth.back import rtlil

from golden.base import cli, folders, made
from golden.base.files import write_json
from golden.base.names import slug
from golden.base.options import above_zero, add_artifact_or_task, build, numbers
from quant import current
from quant.integer import artifact
from quant.integer.artifact import Artifact
from rtl.families import FAMILIES, Family, add_mixer
from rtl.flow import floorplan
from rtl.parts.config import HardwareConfig, HardwareError, add_folded, add_spram
from rtl.parts.single_port import NAME
from rtl.core import Core
from rtl.flow.harness import Harness
from rtl.layer import mixers
from rtl.layer.layer import Layer
from rtl.plan import Plan, chosen_lanes, plan
from rtl.layer.state_engine import StateEngine
from rtl.flow import toolchain
from rtl.flow.toolchain import ToolError, call


DEVICES = {"25k": "LFE5U-25F", "45k": "LFE5U-45F", "85k": "LFE5U-85F"}
# ECP5. The static placer takes a psmnist layer in two minutes and less wire; router2 routed one of
# its placements at 105 MHz, router1 at 126.
PLACE = ["--placer", "static", "--router", "router1"]
WIRE_PS = 900       # a wire's delay for ABC9; its default of 300 makes logic too deep
# Amaranth names the fields of arrays `a[0]`; ABC9's reader takes that for bit 0 of `a`.
# No part reads a memory's row in the cycle in which it is written, but yosys adds logic for that.
READ = ("read_rtlil top.il; rename -hide */w:*\\[*; "
        "setparam -set COLLISION_X_MASK 1'1 */t:$memrd_v2 */r:CLK_ENABLE=1 %i; "
        f"delete */t:$meminit_v2 */r:MEMID=*{NAME}* %i")    # SPRAM has no content


# Gowin: a slice's flip-flops share enable and reset; an enable or reset of few becomes logic.
FEW = 24


def mapping(family: str) -> str:
    """Yosys commands from ``top.il`` to ``top.json``, the cells of a family."""
    command = f"{FAMILIES[family].command} -top top"
    parts = [READ]
    if family == "ecp5":    # in three parts, so that wires count
        parts += [f"{command} -run begin:map_luts", f"abc9 -W {WIRE_PS}", "clean",
                  f"{command} -run map_cells: -json top.json"]
    elif family == "gowin":
        parts += [f"{command} -run begin:map_ffs", "opt_clean",
                  "dfflegalize -cell $_DFF_?_ 0 -cell $_DFFE_?P_ 0 -cell $_SDFF_?P?_ r -cell "
                  "$_SDFFE_?P?P_ r -cell $_DFF_?P?_ r "     # a reset that waits for a PLL
                  f"-mince {FEW} -minsrst {FEW}",
                  f"{command} -run map_ffs: -json top.json"]
    else:
        parts += [f"{command} -json top.json"]
    return "; ".join(parts)


# What --part names: the whole, or a part of layer 0 alone.
PARTS = {"core": Core} | {
    name: lambda art, hw, kind=kind: kind(plan(art, hw).layers[0])
    for name, kind in (("layer", Layer), ("engine", StateEngine), ("mixer", mixers.make))}


def count(cells: dict[str, int], family: Family) -> dict[str, int]:
    """Multipliers, RAMs, LUTs and flip-flops in yosys's cell counts.

    LUTs include those that carry cells and LUT RAMs occupy; a RAMB18E1 counts as half a block.
    """
    found = dict.fromkeys([*family.cells, "lut"], 0)
    for name, number in cells.items():
        kind = next((kind for kind, pattern in family.cells.items()
                     if re.fullmatch(pattern, name)), None)
        if kind and kind != "lut":
            found[kind] += number / 2 if name == "RAMB18E1" else number
        if kind == "lut" or name in family.luts_per:
            found["lut"] += number * family.luts_per.get(name, 1)
    return found


def synthesise(art: Artifact, lanes: int, family: str, folder: Path, signature: bool = False,
               part: str = "core", **options) -> dict:
    """Cells by kind and by name of one of ``PARTS``; leaves ``top.json`` for nextpnr in ``folder``.

    The harness's own flip-flops and LUTs are in the counts: they are under 2 % of any core that
    one would build.
    """
    kind = FAMILIES[family]
    hw = kind.hardware(lanes, signature, **options)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "top.il").write_text(rtlil.convert(
        Harness(PARTS[part](art, hw), signature), name="top"))
    script = f"{mapping(family)}; tee -q -o stat.json stat -json -top top"
    usage = call("yosys", ["-q", "-p", script], folder, "yosys.log", f"yosys, {family}")
    cells = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
    tables = sum(spec.tables for spec in plan(art, hw).layers)
    return {"part": part, "tables": tables, "family": family, "lanes": lanes,
            "signature": signature, "folded": hw.folded, "device": kind.device,
            "cells": count(cells, kind), "capacity": kind.capacity, "by_name": cells,
            "yosys": usage.as_json()}


def route(folder: Path, device: str = "85k", seed: int = 1, target: float = 110.0) -> dict:
    """Place and route ``top.json`` on an ECP5, CABGA381, speed grade 6.

    Returns Fmax in MHz after routing, the critical path as (delay in ns, what, to), what of the
    device is used, and what the run took. :class:`ToolError` for a report without these.
    """
    report = f"nextpnr.{seed}.json"
    usage = call("nextpnr-ecp5",
                   [f"--{device}", "--package", "CABGA381", "--speed", "6", "--seed", str(seed),
                    "--lpf-allow-unconstrained", "--timing-allow-fail", "--freq", str(target),
                    *PLACE, "--json", floorplan.planned(folder, DEVICES[device]),
                    "--report", report], folder,
                   f"nextpnr.{seed}.log", f"nextpnr, {DEVICES[device]}")
    try:
        found = json.loads((folder / report).read_text())
        paths = [path["path"] for path in found["critical_paths"]
                 if path["from"] == path["to"] and "async" not in path["from"]]
        fmax = min(clock["achieved"] for clock in found["fmax"].values())
        used = {name: cells["used"] for name, cells in found["utilization"].items()
                if cells["used"]}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ToolError(f"{folder / report} is not the report of a finished route ({error!r}); see "
                        f"nextpnr.{seed}.log beside it") from None
    worst = max(paths, key=lambda path: sum(step["delay"] for step in path), default=[])
    return {"device": DEVICES[device], "seed": seed, "target": target, "fmax": round(fmax, 2),
            "critical_path": [(step["delay"], step["type"], step["to"]["cell"]) for step in worst],
            "used": used, "nextpnr": usage.as_json()}


def table(row: dict, art: Artifact, planned: Plan) -> str:
    """The result for people."""
    geo, cycles = planned.geo, planned.roofline
    lines = [f"{art.task}, {row['part']}: {len(art.blocks)} layers of {art.H} neurons of {art.n} "
             f"modes, {row['lanes']} lanes {'for all' if row['folded'] else 'a layer'}, {cycles:g} "
             f"cycles per step, {row['family']}"]
    for kind, number in row["cells"].items():
        whole = (row["capacity"] or {}).get(kind)
        share = f"  {100 * number / whole:5.1f} % of {whole} ({row['device']})" if whole else ""
        lines.append(f"  {kind:12} {number:8g}{share}")
    for run in row.get("routed", []):
        step = cycles / run["fmax"]
        lines.append(f"  {run['fmax']:.1f} MHz after routing on {run['device']}, seed "
                     f"{run['seed']}: {step:.3f} us per step, {step * art.length / 1000:.3f} ms "
                     f"per sequence of {art.length} steps")
    return "\n".join(lines)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m rtl.synth",
                                     description=__doc__.split("\n\n")[1])
    add_artifact_or_task(parser)
    parser.add_argument("--family", choices=FAMILIES, default="ecp5")
    parser.add_argument("--lanes", type=int, metavar="P",
                        help="complex modes per cycle and layer; default: the most up to "
                        f"{HardwareConfig.lanes} that fit")
    parser.add_argument("--signature", action="store_true",
                        help="with the CRCs and taps that only verification needs")
    add_mixer(parser)
    add_folded(parser)
    add_spram(parser)
    parser.add_argument("--layers", type=int, metavar="N",
                        help="the network's first N layers alone: a quicker look")
    parser.add_argument("--part", choices=PARTS, default="core",
                        help="a part of layer 0 alone: a quicker look still")
    parser.add_argument("--route", action="store_true", help="ECP5: place and route")
    parser.add_argument("--device", choices=DEVICES, default="85k")
    parser.add_argument("--seeds", type=numbers, default="1", metavar="1,2", help="placement seeds")
    parser.add_argument("--target", type=above_zero, default=110.0, metavar="MHZ")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="default: build/synth/<task>_<family>_<lanes>[_folded]")
    args = parser.parse_args(argv)
    if args.route and args.family != "ecp5":
        parser.error(f"--route works for ecp5, not {args.family}")
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    return cli.code("rtl.synth", lambda: report(args))


def report(args: argparse.Namespace) -> None:
    """Synthesise, route if asked to, write and print."""
    art = artifact.load(current.folder(args))
    digest, whole = artifact.digest(art), len(art.blocks)
    if args.layers is not None and not 1 <= args.layers <= whole:
        raise HardwareError(f"--layers {args.layers}: the network has {whole}")
    art = replace(art, blocks=art.blocks[:args.layers])
    lanes = chosen_lanes(art, args.lanes)
    planned = plan(art, HardwareConfig(lanes, folded=args.folded, longest=args.longest))
    out = args.out or build("synth", f"{slug(art.task)}_{args.family}_{lanes}"
                            + "_folded" * args.folded)
    row = {"task": art.task, "artifact": digest, "layers": len(art.blocks), "of": whole,
           "cycles_per_step": planned.roofline, "made": made.stamp("synthesis")}

    def mapped(folder: Path) -> None:
        row.update(synthesise(art, lanes, args.family, folder, args.signature, args.part,
                               mixer=args.mixer, folded=args.folded, single_ports=args.spram,
                               longest=args.longest))
        write_json(folder / "synth.json", row)

    with folders.lock(out):
        toolchain.made(out, mapped, ["synth.json"])
        for seed in args.seeds if args.route else []:
            row.setdefault("routed", []).append(route(out, args.device, seed, args.target))
            write_json(out / "synth.json", row)     # a next seed may take hours
    print(table(row, art, planned))
    print(f"written to {out / 'synth.json'}")


if __name__ == "__main__":
    sys.exit(main())
