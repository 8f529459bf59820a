"""From a board's top level to its bitstream: yosys, nextpnr, packer."""

import json
from pathlib import Path

from quant.integer.artifact import Artifact
from rtl.boards.board import Board, Top
from rtl.flow import floorplan
from rtl.synth import PLACE, count, mapping
from rtl.flow.toolchain import ToolError, call

# Family: (nextpnr's options, the packer and its arguments, the bitstream)
PACKING = {
    "ecp5": (["--lpf", "top.lpf", "--textcfg", "top.config", *PLACE],
             ["ecppack", "--compress", "--input", "top.config", "--bit", "top.bit"], "top.bit"),
    "ice40": (["--pcf", "top.pcf", "--asc", "top.asc"],
              ["icepack", "top.asc", "top.bin"], "top.bin"),
    "gowin": (["--vopt", "cst=top.cst", "--write", "top.pnr.json"],
              ["gowin_pack", "-o", "top.fs", "top.pnr.json"], "top.fs"),
}


def prepare(board: Board, art: Artifact, lanes: int, folder: Path) -> None:
    """Write what amaranth-boards makes of the top level: ``top.il``, the pins and clocks."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = board.platform().prepare(Top(board, art, lanes), "top")
    for name, content in plan.files.items():
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def synthesise(board: Board, folder: Path) -> tuple[dict, dict]:
    """Map ``top.il``; returns cells by kind and what yosys took."""
    kind, family = board.mapping, board.family
    if family == "xilinx":      # Vivado gets Verilog; yosys only counts
        script = f"read_verilog top.v; {kind.command} -top top"
    else:
        script = mapping(family)
    usage = call("yosys", ["-q", "-p", f"{script}; tee -q -o stat.json stat -json -top top"],
                 folder, "yosys.log", f"yosys, {board.name}")
    cells = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
    return count(cells, kind), usage.as_json()


def place(board: Board, folder: Path, seed: int) -> tuple[float, dict]:
    """Place and route; returns Fmax of the core's clock in MHz and what nextpnr took."""
    tool, *options = board.place
    extra = PACKING[board.family][0]
    netlist = floorplan.planned(folder, board.device)
    arguments = [*options, "--json", netlist, *extra, "--seed", str(seed), "--freq",
                 f"{board.clock / 1e6:g}", "--timing-allow-fail", "--report", "report.json"]
    usage = call(tool, arguments, folder, "nextpnr.log", f"nextpnr, {board.name}, seed {seed}")
    report = json.loads((folder / "report.json").read_text())
    if not report["fmax"]:
        raise ToolError(f"nextpnr found no clock; see {folder / 'nextpnr.log'}")
    return min(clock["achieved"] for clock in report["fmax"].values()), usage.as_json()


def build(board: Board, art: Artifact, lanes: int, folder: Path, seeds: list[int]) -> dict:
    """Everything; placement seeds are tried until one meets the clock.

    Returns cells, tools, file, and (not for Vivado's families) fmax, seed, met. Raises
    :class:`ToolError` when a tool is missing or fails.
    """
    prepare(board, art, lanes, folder)
    cells, usage = synthesise(board, folder)
    row = {"cells": cells, "tools": {"yosys": usage}}
    if board.family not in PACKING:
        return row | {"file": "top.v"}
    best = 0.0
    for seed in seeds:
        fmax, usage = place(board, folder, seed)
        if fmax > best:
            best, met = fmax, fmax >= board.clock / 1e6
            row |= {"fmax": round(fmax, 2), "seed": seed, "met": met}
            row["tools"]["nextpnr"] = usage
            (tool, *arguments), name = PACKING[board.family][1:]
            row["tools"][tool] = call(tool, [*board.pack, *arguments], folder, f"{tool}.log",
                                      f"{tool}, {board.name}").as_json()
            row["file"] = name
        if best >= board.clock / 1e6:
            break
    return row
