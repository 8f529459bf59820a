"""``python -m sim.utilisation --artifact DIR --lanes 1,4,8,16``: how busy the multipliers are.

Simulates sequences that follow each other and counts, between the results of sequence 1 and
sequence 4, the cycles in which each layer's multipliers take operands. Utilisation is the products
that are needed over those the multipliers could make; the cycles must be those of ``rtl.cycles``.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from golden.base import cli, made
from golden.base.files import write_json
from golden.base.options import add_artifact, build, lanes_of, positive
from quant.integer import artifact
from quant.integer.artifact import Artifact
from rtl import products
from rtl.parts.config import Geometry, HardwareConfig, allowed
from rtl.core import Core
from rtl.cycles import predict

from sim import tools
from sim.native import native, program
from sim.native.program import Program
from sim.tools import Different, SimError

MEASURED = range(1, 4)      # sequences 2 to 4, counted from 0
FED = 6                     # and some behind them, so that no layer runs dry


def measure(core: Core, built: Program, values: np.ndarray) -> dict:
    """Counts and utilisation of a core.

    Parameters
    ----------
    built : Program
        Of ``core``.
    values : (FED, L) raw samples or tokens

    Raises
    ------
    Different
        The cycles are not the predicted ones.
    """
    steps = values.shape[1]
    prediction = predict(core.art, core.hw, [steps] * FED)
    with tools.workspace(tools.build_folder("utilisation")) as work:
        job = native.Job(list(values), 2 * prediction.cycles + 1000)
        (out,), _ = native.run(built, [job], work, allow_stuck=True)
        times, busy = out.times, out.answers["busy"].astype(np.int64)
    if times != prediction.results:
        raise Different(f"{core.hw.lanes} lanes: results in cycles {times}, predicted "
                        f"{prediction.results}")
    first, last = MEASURED[0] - 1, MEASURED[-1]
    cycles = times[last] - times[first]
    needed = len(MEASURED) * core.geo.blocks(steps) * core.plan.layers[0].geo.rows
    lanes = sum(products.of_lane(spec) for spec in core.plan.layers)
    return {"lanes": core.hw.lanes, "multipliers": lanes * core.hw.lanes,
            "others": products.others(*core.plan.parts), "cycles": cycles,
            "predicted_cycles": prediction.results[last] - prediction.results[first],
            "cycles_per_step": cycles / len(MEASURED) / steps, "roofline": core.plan.roofline,
            "busy_slots": (busy[last] - busy[first]).tolist(), "needed_slots": needed,
            "utilisation": needed / cycles}


def random_values(art: Artifact, count: int, steps: int) -> np.ndarray:
    """(count, steps) raw samples or tokens that the network takes."""
    sample = art.sample
    low, high = (0, art.vocab - 1) if sample is None else (sample.lo, sample.hi)
    return np.random.default_rng(1).integers(low, high + 1, (count, steps))


def line(row: dict) -> str:
    """A result for people."""
    return (f"{row['lanes']:4} lanes a layer, {row['multipliers']:4} multipliers and "
            f"{row['others']} of neurons and ends: "
            f"{row['cycles_per_step']:.3f} cycles per step, at least {row['roofline']:g}; busy in "
            f"{row['busy_slots']} of {row['cycles']} cycles, {100 * row['utilisation']:.2f} %")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m sim.utilisation",
                                     description=__doc__.split("\n\n")[1])
    add_artifact(parser)
    parser.add_argument("--lanes", type=lanes_of, metavar="1,4,8,16",
                        help="default: those of 1, 4, 8 and 16 that fit the network")
    parser.add_argument("--steps", type=positive, metavar="L",
                        help="of each sequence; default: all")
    parser.add_argument("--json", type=Path, metavar="FILE",
                        help="default: build/utilisation.json")
    args = parser.parse_args(argv)
    return cli.code("sim.utilisation", lambda: report(args))


def report(args: argparse.Namespace) -> None:
    """Measure every number of lanes, print, and write the result."""
    art, rows = artifact.load(args.artifact), []
    steps = args.steps or art.length
    if steps > art.length:
        raise SimError(f"--steps {steps}: {art.task} has 1..{art.length} steps")
    chosen = args.lanes or [p for p in (1, 4, 8, 16) if p in allowed(art.H, art.n)]
    for lanes in chosen:
        Geometry.of(art, lanes)
    for lanes in chosen:
        print(f"{lanes} lanes: building and simulating ...", file=sys.stderr)
        core = Core(art, HardwareConfig(lanes))
        rows.append(measure(core, program.build(core), random_values(art, FED, steps)))
        print(line(rows[-1]), flush=True)
    path = args.json or build("utilisation.json")
    write_json(path, {"artifact": artifact.digest(art), "task": art.task, "steps": steps,
                      "commit": made.commit(), "rows": rows})


if __name__ == "__main__":
    sys.exit(main())
