"""``python -m sim.bench``: simulation speed of the three simulators and cycles per step by lanes.

A synthetic network of moderate size, so that no export is needed; prints a table and writes JSON.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from quant import vectors
from quant.files import write_atomic
from quant.synthetic import random_artifact
from rtl.config import Geometry, HardwareConfig
from rtl.core import Core
from rtl.cycles import predict
from sim import cosim, native, program, pysim, tools
from sim.comparer import TRACKS
from sim.tools import SimError

SHAPE = dict(seed=1, n_layers=2, H=32, n=4, n_classes=10, length=784)
LANES = 8
STEPS = {"native": 784, "cocotb": 60, "amaranth": 8}     # about the same time each


def speeds(sequences: int = 4) -> dict[str, float]:
    """Simulated steps per second by simulator."""
    art, hw = random_artifact(**SHAPE), HardwareConfig(LANES)
    values = np.random.default_rng(1).integers(0, 256, (sequences, art.length))
    core, found = Core(art, hw), {}
    built = program.build(core)
    limit = 2 * predict(art, hw, [art.length] * sequences).cycles
    begin = time.perf_counter()
    job = native.Job(list(values[:, :STEPS["native"]]), limit)
    native.run(built, [job] * TRACKS, tools.BUILD / "bench")
    found["native"] = TRACKS * sequences * STEPS["native"] / (time.perf_counter() - begin)
    expected = vectors.make(art, values[:1, :STEPS["cocotb"]])
    found["cocotb"] = cosim.run(core, expected, tools.BUILD / "bench" / "cocotb",
                                limit=limit)["steps_per_second"]
    begin = time.perf_counter()
    pysim.run(core, [values[0, :STEPS["amaranth"]]], limit)
    found["amaranth"] = STEPS["amaranth"] / (time.perf_counter() - begin)
    return found


def cycles_by_lanes() -> dict[int, dict]:
    """Predicted cycles per step in steady state, their least number, and its share."""
    art, found = random_artifact(**SHAPE), {}
    for lanes in Geometry(art.H, art.n, 1).allowed():
        p = predict(art, HardwareConfig(lanes), [art.length])
        found[lanes] = {"cycles_per_step": p.cycles_per_step, "roofline": p.roofline,
                        "utilisation": p.utilisation}
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("sim.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), metavar="FILE")
    args = parser.parse_args(argv)
    try:
        result = {"network": SHAPE, "lanes": LANES, "steps_per_second": speeds(),
                  "lanes_cycles": cycles_by_lanes()}
        write_atomic(args.json, (json.dumps(result, indent=1) + "\n").encode())
    except (SimError, OSError) as error:
        print(f"sim.bench: {error}", file=sys.stderr)
        return 2
    for name, speed in result["steps_per_second"].items():
        print(f"{name:10} {speed:12,.1f} steps per second")
    for lanes, row in result["lanes_cycles"].items():
        print(f"{lanes:4} lanes {row['cycles_per_step']:8.2f} cycles per step, "
              f"{100 * row['utilisation']:5.1f} % of the multipliers' slots used")
    print(f"written to {args.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
