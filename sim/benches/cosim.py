"""The core under cocotb: the same sequences and expected tensors as the native program's."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from quant.integer import artifact, vectors
from quant.integer.vectors import Vectors
from rtl.core import Core
from rtl.layer.cells import CELLS
from sim.benches.runner import simulate
from sim.tools import SimError


def _modules(core: Core) -> list[str]:
    """Where the network's operations and their cells are made known; also those of a user's own."""
    kinds = {type(op) for ops in core.art.blocks for op in ops}
    return sorted({kind.__module__ for kind in kinds}
                  | {CELLS[kind].__module__ for kind in kinds & CELLS.keys()})


def run(core: Core, expected: Vectors, folder: Path, writes: list[tuple[int, int]] = (),
        stall: float = 0.0, stall_seed: int = 1, limit: int = 100_000,
        source: str | None = None) -> dict:
    """Run the sequences of ``expected`` through ``sim.benches.tb_core``.

    Parameters
    ----------
    folder : Path
        Made anew: what the bench reads and writes.
    writes : list of (address, data)
        Configuration writes before the first sequence.
    limit : int
        Clock cycles to wait for each result.

    Returns
    -------
    dict
        sequences, steps, spikes_compared, signatures_compared, mismatches, equal, first (text),
        labels, seconds, steps_per_second.

    Raises
    ------
    SimError
        The bench could not be built or did not come to its comparison.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    artifact.save(core.art, folder / "artifact")
    vectors.save(expected, folder / "vectors.npz")
    (folder / "job.json").write_text(json.dumps({
        "hardware": asdict(core.hw), "writes": [list(pair) for pair in writes], "stall": stall,
        "stall_seed": stall_seed, "limit": limit, "modules": _modules(core)}))
    failed = None
    try:
        simulate(core, "sim.benches.tb_core", "core", {"SIM_CORE": str(folder.resolve())}, source)
    except SimError as error:
        failed = error
    tally = folder / "tally.json"
    if not tally.exists():
        raise failed or SimError("the cocotb bench wrote no result")
    found = json.loads(tally.read_text())
    if failed and found["equal"]:
        raise failed
    return found
