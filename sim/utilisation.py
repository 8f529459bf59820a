"""``python -m sim.utilisation --artifact DIR --lanes 1,4,8,16``: how busy the multipliers are.

Simulates sequences that follow each other and counts, between the results of sequence 1 and
sequence 4, the cycles in which each layer's multipliers take operands. Utilisation is the products
that are needed over those the multipliers could make; the cycles must be those of ``rtl.cycles``.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from amaranth.back import verilog

from quant import artifact
from quant.artifact import Artifact, ArtifactError
from quant.files import write_atomic
from rtl.config import Geometry, HardwareConfig, HardwareError
from rtl.core import Core
from rtl.cycles import predict
from sim import tools
from sim.ports import fields
from sim.tools import SimError

MAIN = Path(__file__).with_name("utilisation.cpp")
MEASURED = range(1, 4)      # sequences 2 to 4, counted from 0
FED = 6                     # and some behind them, so that no layer runs dry


def build(core: Core) -> Path:
    """The counting program of a core (cached by content)."""
    value = fields(core, "i")["value"]
    header = (f"#pragma once\nconstexpr int LAYERS = {len(core.layers)};\n"
              f"constexpr int VALUE_BITS = {value.width};\n"
              f"constexpr uint64_t VALUE_MASK = {(1 << value.width) - 1};\n")
    source = verilog.convert(core, name="core", emit_src=False)
    tool = tools.verilator()
    key = tools.content_hash("utilisation", source, header, MAIN.read_text(), tool.version)

    def compile_into(folder: Path) -> None:
        (folder / "core.v").write_text(source)
        (folder / "shape.h").write_text(header)
        tools.call([tool.binary, "--cc", "--exe", "--build", "-j", "1", "--Mdir", "obj",
                    "--top-module", "core", "--prefix", "Vcore", "-o", "../count", "-O3",
                    "--x-assign", "fast", "--noassert", "-Wno-fatal", "-Wno-lint",
                    "-CFLAGS", "-I..", "-MAKEFLAGS", "OPT_FAST=-O1", str(MAIN), "core.v"],
                   folder, tool.env(), "compiling the core")

    return tools.cached(tools.BUILD / "native" / key, compile_into) / "count"


def measure(art: Artifact, lanes: int, steps: int) -> dict:
    """Counts and utilisation of one number of lanes.

    Raises
    ------
    SimError
        Nothing could be built, or the cycles are not the predicted ones.
    """
    hw = HardwareConfig(lanes, signature=False)
    core = Core(art, hw)
    prediction = predict(art, hw, [steps] * FED)
    done = subprocess.run([build(core), str(FED), str(steps), str(2 * prediction.cycles + 1000)],
                          capture_output=True, text=True)
    rows = [list(map(int, line.split())) for line in done.stdout.splitlines()]
    if done.returncode or [row[0] for row in rows] != prediction.results:
        raise SimError(f"{lanes} lanes: results in cycles {[row[0] for row in rows]}, predicted "
                       f"{prediction.results}. {done.stderr.strip()}")
    before, after = rows[MEASURED[0] - 1], rows[MEASURED[-1]]
    cycles = after[0] - before[0]
    slots = [b - a for a, b in zip(before[1:], after[1:])]
    needed = len(MEASURED) * steps * core.geo.issue
    return {"lanes": lanes, "multipliers": 4 * lanes * len(core.layers), "cycles": cycles,
            "predicted_cycles": prediction.results[MEASURED[-1]] - prediction.results[
                MEASURED[0] - 1],
            "cycles_per_step": cycles / len(MEASURED) / steps, "roofline": core.geo.issue,
            "busy_slots": slots, "needed_slots": needed, "utilisation": needed / cycles}


def lanes_of(text: str) -> list[int]:
    if not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of lanes; write 1,4,8,16")
    return [int(part) for part in text.split(",")]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m sim.utilisation",
                                     description=__doc__.split("\n\n")[1])
    parser.add_argument("--artifact", type=Path, required=True, metavar="DIR")
    parser.add_argument("--lanes", type=lanes_of, default=[1, 4, 8, 16], metavar="1,4,8,16")
    parser.add_argument("--steps", type=int, metavar="L", help="of each sequence; default: all")
    parser.add_argument("--json", type=Path, default=Path("build/utilisation.json"), metavar="FILE")
    args = parser.parse_args(argv)
    rows = []
    try:
        art = artifact.load(args.artifact)
        steps = args.steps or art.length
        if not 1 <= steps <= art.length:
            raise SimError(f"--steps {steps}: {art.task} has 1..{art.length} steps")
        for lanes in args.lanes:
            Geometry(art.H, art.n, lanes)
        for lanes in args.lanes:
            print(f"{lanes} lanes: building and simulating ...", file=sys.stderr)
            rows.append(row := measure(art, lanes, steps))
            print(f"{lanes:4} lanes a layer, {row['multipliers']:4} multipliers: "
                  f"{row['cycles_per_step']:.3f} cycles per step, at least {row['roofline']}; busy "
                  f"in {row['busy_slots']} of {row['cycles']} cycles, "
                  f"{100 * row['utilisation']:.2f} %", flush=True)
        write_atomic(args.json, (json.dumps({"artifact": artifact.digest(art), "task": art.task,
                                             "steps": steps, "rows": rows}, indent=1)
                                 + "\n").encode())
    except (ArtifactError, HardwareError, SimError, OSError) as error:
        print(f"sim.utilisation: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
