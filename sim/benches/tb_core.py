"""cocotb test bench of the core: whole sequences against the expected tensors.

``SIM_CORE`` names a folder made by :func:`sim.benches.cosim.run`: the artifact, ``job.json`` and
the expected vectors. The comparison is written to ``tally.json`` there.
"""

import importlib
import json
import os
import time
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from quant.integer import artifact, vectors
from rtl.parts.config import HardwareConfig
from rtl.core import Core
from sim import heads
from sim.compare import Result, Tally, block_starts
from sim.ports import Field, fields
from sim.pysim import steps_of
from sim.benches.streams import Stream, configure, start


async def watch(dut, name: str, valid: Field, rows: list) -> None:
    """Append the bits of every committed word of a layer."""
    port = getattr(dut, name)
    while True:
        await RisingEdge(dut.clk)
        word = int(port.value)
        if valid.of(word):
            rows.append(word)


@cocotb.test()
async def every_spike(dut):
    folder = Path(os.environ["SIM_CORE"])
    job = json.loads((folder / "job.json").read_text())
    for module in job["modules"]:       # a user's own operations too
        importlib.import_module(module)
    art = artifact.load(folder / "artifact")
    expected = vectors.load(folder / "vectors.npz", art)
    core = Core(art, HardwareConfig(**job["hardware"]))
    sequences = [values[:length] for values, length in zip(expected.values, expected.lengths)]
    samples = [{"value": int(v), "last": t == len(values) - 1} for values in sequences
               for t, v in enumerate(values)]

    dut.cfg__en.value = 0
    await start(dut, "i__valid", "o__ready")
    await configure(dut, job["writes"])
    i = Stream(dut, "i", core.i.p.shape(), job["stall"], job["stall_seed"])
    o = Stream(dut, "o", core.o.p.shape(), job["stall"], job["stall_seed"] + 1)
    words = [[] for _ in art.blocks]
    watchers = [cocotb.start_soon(watch(dut, f"tap{j}", fields(core, f"tap{j}")["valid"], layer))
                for j, layer in enumerate(words)]

    begin = time.perf_counter()
    cocotb.start_soon(i.put(samples))
    results, stuck = [], ""
    try:
        for _ in sequences:
            results += await o.get(1, job["limit"])
    except AssertionError as error:
        stuck = str(error)
    for _ in range(64):     # anything more would be wrong
        await RisingEdge(dut.clk)
    seconds = time.perf_counter() - begin
    for watcher in watchers:
        watcher.cancel()

    tally, P = Tally(core.geo.words, art.inputs), core.geo.P
    starts = block_starts(expected.lengths, P)
    layers = [steps_of(layer, getattr(core, f"tap{j}").shape(), core.geo)
              for j, layer in enumerate(words)]
    seen = [Result(r["label"], np.array(r["logits"]), np.array(r["saturations"])) for r in results]
    seen += [None] * (len(sequences) - len(seen))
    for b in range(len(sequences)):
        tally.add(int(expected.indices[b]), expected.traces[b],
                  [layer.part(*starts[b:b + 2]) for layer in layers], seen[b])
    heads.compare(tally, art, expected.indices, expected.lengths, expected.traces, seen)
    tally.surplus(int(expected.indices[-1]),
                  [P * max(0, len(layer) - starts[-1]) for layer in layers], 0)
    (folder / "tally.json").write_text(json.dumps({
        "sequences": tally.sequences, "steps": tally.steps, "spikes_compared": tally.spikes,
        "signatures_compared": tally.signatures, "mismatches": tally.mismatches,
        "equal": tally.equal, "first": tally.first and str(tally.first), "labels": tally.labels,
        "classes": tally.classes,
        "seconds": seconds, "steps_per_second": tally.steps / seconds}))
    assert tally.equal, f"{tally.first}{'; ' + stuck if stuck else ''}"
