"""``python -m rtl.generate --artifact DIR --lanes P``: Verilog and the map of its memories.

Writes ``core.v``, ``memory_map.json`` and the same map as a table, ``memory_map.md``.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from amaranth.back import verilog

from golden.base import cli, folders
from golden.base.files import write_all_atomic
from golden.base.names import slug
from golden.base.options import add_artifact, build
from quant.integer import artifact
from quant.integer.artifact import Artifact
from rtl.parts.config import HardwareConfig, HardwareError, add_hardware, with_options
from rtl.core import Core
from rtl.parts.memory import Region
from rtl.plan import Plan, chosen_lanes, plan

# Files of a design, of this command and of rtl.axi: they share the name of their map.
DESIGN = ("memory_map.json", "memory_map.md", "core.v", "spikessm_axis.v", "spikessm_axis.core")


def memory_map(planned: Plan) -> dict:
    """Regions of the configuration bus and the facts a host needs, ready for JSON.

    Row r, bits 32 c .. 32 c + 31, of a region is at address ``base + r * stride + c``.
    """
    art, geo = planned.art, planned.geo
    return {
        "artifact": artifact.digest(art), "task": art.task,
        "block": [str(op) for op in art.blocks[0]], "layers": len(art.blocks), "H": art.H,
        "n": art.n, "n_classes": art.n_classes, "outputs": art.outputs,
        "lanes": geo.lanes, "folded": planned.hw.folded, "neurons_per_word": geo.G,
        "words_per_step": geo.words, **({"steps_per_word": geo.P} if geo.P > 1 else {}),
        "max_sequences_in_flight": planned.max_in_flight, "signature": planned.hw.signature,
        "regions": [{"name": r.name, "base": r.base, "depth": r.depth, "width": r.width,
                     "stride": r.stride, "size": r.size, "fields": r.fields}
                    for r in planned.regions]}


def _table(facts: dict, regions: tuple[Region, ...]) -> str:
    """The memory map for people."""
    head = ", ".join(f"{name} {facts[name]}" for name in
                     ("artifact", "task", "layers", "H", "n", "lanes"))
    rows = [f"| {r.name} | 0x{r.base:06x} | {r.depth} | {r.width} | {r.stride} | {r.fields} |"
            for r in regions]
    return "\n".join([
        "# Memory map of the configuration bus", "", f"Core of {head}.", "",
        "Row r, bits 32 c .. 32 c + 31, of a region is at address `base + r * stride + c`. Fields "
        "lie in a row from", "its lowest bit upwards. Write only while no sequence is inside.", "",
        "| region | base | rows | bits | stride | fields |", "|---|---|---|---|---|---|",
        *rows, ""])


def generate(art: Artifact, hw: HardwareConfig, out: Path) -> Path:
    """Write the core of ``art`` to folder ``out``, every file whole or not at all.

    Returns the path of ``core.v``. The output depends on the artifact and ``hw`` alone. Raises
    :class:`rtl.parts.config.HardwareError` when they do not fit, or ``out`` cannot be written.
    """
    core = Core(art, hw)
    facts = memory_map(core.plan)
    before = os.environ.get("AMARANTH_USE_YOSYS")
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"    # the same Verilog on every machine
    try:
        text = verilog.convert(core, name="core", emit_src=False)
    finally:
        if before is None:
            del os.environ["AMARANTH_USE_YOSYS"]
        else:
            os.environ["AMARANTH_USE_YOSYS"] = before
    files = {"memory_map.json": json.dumps(facts, indent=1) + "\n",
             "memory_map.md": _table(facts, core.plan.regions), "core.v": text}
    return write_design(out, files) / "core.v"


def write_design(out: Path, files: dict[str, str]) -> Path:
    """Put generated files in place of those of before in ``out``, at once; returns it.

    A kill at any moment leaves the old design or the new one, never a map beside another core.
    """
    try:
        return folders.replace(out, lambda new: write_all_atomic(new, files), DESIGN)
    except OSError as error:
        raise HardwareError(f"cannot write {out}: {error.strerror or error}; choose another --out"
                            ) from None


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rtl.generate", description=__doc__)
    add_artifact(parser)
    parser.add_argument("--lanes", type=int, metavar="P",
                        help="complex modes per cycle and layer; default: the most up to "
                        f"{HardwareConfig.lanes} that fit")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="default: build/rtl/<task>_<lanes>[_folded]")
    add_hardware(parser)
    parser.add_argument("--no-signature", action="store_true",
                        help="leave out the CRCs that verification compares")
    args = parser.parse_args(argv)
    return cli.code("rtl.generate", lambda: make(args))


def make(args: argparse.Namespace) -> None:
    """Generate what the options say."""
    art = artifact.load(args.artifact)
    lanes = chosen_lanes(art, args.lanes)
    hw = with_options(lanes, args, signature=not args.no_signature)
    planned = plan(art, hw)
    geo = planned.geo
    path = generate(art, hw, args.out or build("rtl", f"{slug(art.task)}_{hw.lanes}"
                                               + "_folded" * hw.folded))
    print(f"{path}: {len(art.blocks)} layers of {art.H} neurons of {art.n} modes, {geo.lanes} "
          f"lanes, {planned.roofline:g} cycles per step at best; the memory map is beside it")


if __name__ == "__main__":
    sys.exit(main())
