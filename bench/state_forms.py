"""Coupled or delta form of the state update: ``python -m bench.state_forms``.

Prints the tables of ``docs/decisions/0001-state-update-form.md`` and writes the numbers to
``build/state_forms/results.json``: kernel and probability errors of a trained network's modes on
own spikes, classes of whole sequences (``--images``), area and Fmax on an ECP5 (``--seeds``).
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.delta_update import DeltaUpdate, Harness
from bench.place import DEVICES, measure
from bench.state_model import (FORMS, FRACTION, SHIFTS, exact, float_run, integer_run, integers,
                               kernel, quantised)
from bench.state_network import extract, run
from golden import checkpoint
from golden.base import cli
from golden.base.files import write_json
from golden.base.options import add_build, add_data_dir, build
from golden.base.qformat import QFormat, fit_signed
from quant.formats import LayerFormats, RandomFormat
from rtl.layer.state_update import StateUpdate

WIDTHS = (14, 16, 18)
STEPS = 784
SLOW = 1 / 256              # a mode is slow when 1 - |A_bar| is below: it remembers > 256 steps
MARGIN = 1.5                # states hold this times what was seen, as in export


def kernel_errors(blocks) -> list[dict]:
    """Relative rms error of the modes' kernels from rounding the coefficients alone."""
    rows = []
    for form in FORMS:
        for width in WIDTHS:
            sums, repaired = np.zeros((3, 2)), 0
            for block in blocks:
                system = quantised(form, block.A, block.g, width)
                true = kernel(exact(form, block.A, block.g), STEPS)
                error = kernel(system, STEPS) - true
                slow = 1 - abs(block.A) < SLOW
                sums[:2] += [[np.square(e[slow]).sum(), np.square(e[~slow]).sum()]
                             for e in (error, true)]
                sums[2] += [np.square(x.sum(1)).sum() for x in (error, true)]
                repaired += system.repaired
            slow, fast = np.sqrt(sums[0] / sums[1])
            rows.append({"form": form, "coef_bits": width, "slow": float(slow), "fast": float(fast),
                         "neuron": float(np.sqrt(sums[2, 0] / sums[2, 1])),
                         "repaired": repaired})
    return rows


def word_formats(form: str, top: np.ndarray, width: int) -> tuple[QFormat, QFormat]:
    """Formats of the two state words for seen magnitudes ``top``; re and im share theirs."""
    if form == "coupled":
        top = np.full(2, top.max())
    return tuple(fit_signed(MARGIN * x, width) for x in top)


def state_errors(blocks, spikes: np.ndarray, progress) -> tuple[list[dict], dict]:
    """rms errors of p, per mode class and per neuron, and the largest |w1|, |w2| seen per layer."""
    rows, ranges = [], {}
    for form in FORMS:
        truth = []
        for j, block in enumerate(blocks):
            system = exact(form, block.A, block.g)
            truth.append(float_run(system.M, system.b, spikes[j]))
        ranges[form] = [[float(x) for x in top] for _, top in truth]
        for coef in WIDTHS:
            systems = [quantised(form, block.A, block.g, coef) for block in blocks]
            for width in WIDTHS:
                for rounding in ("stochastic", "half_even"):
                    if rounding == "half_even" and coef != 16:
                        continue
                    slow, fast, neuron, over = [], [], [], 0
                    for j, block in enumerate(blocks):
                        y, top = truth[j]
                        raw = integers(systems[j], word_formats(form, top, width))
                        modes, neurons, count = integer_run(
                            raw.M, raw.b, raw.f, raw.lo, raw.hi, spikes[j], y,
                            rounding == "stochastic", FRACTION)
                        mask = 1 - abs(block.A) < SLOW
                        slow, fast = [*slow, *modes[mask]], [*fast, *modes[~mask]]
                        neuron, over = [*neuron, *neurons], over + count
                    rows.append({"form": form, "coef_bits": coef, "state_bits": width,
                                 "rounding": rounding, "saturations": int(over)}
                                | {name: float(np.sqrt(np.mean(x))) for name, x in
                                   (("slow", slow), ("fast", fast), ("p", neuron))})
                    progress("p error " + str(rows[-1]))
    return rows, ranges


def class_accuracy(blocks, edges, values, labels, ranges, progress) -> list[dict]:
    """Accuracy of the whole network, and how often it agrees with float64 on the same draws."""
    systems = [exact("coupled", block.A, block.g) for block in blocks]
    true, _, _ = run(values, blocks, edges, systems)
    rows = [{"form": "float64", "accuracy": float((true == labels).mean()), "agreement": 1.0}]
    for form in FORMS:
        systems = [quantised(form, block.A, block.g, 16) for block in blocks]
        raw = [integers(s, word_formats(form, np.array(top), 16))
               for s, top in zip(systems, ranges[form])]
        got, over, _ = run(values, blocks, edges, systems, raw, "stochastic", FRACTION)
        rows.append({"form": form, "accuracy": float((got == labels).mean()),
                     "agreement": float((got == true).mean()), "saturations": int(over)})
        progress("classes " + str(rows[-1]))
    return rows


def lanes_of(form: str):
    """A function that makes one lane of ``form``, everything 16 bits wide."""
    fmt, random = LayerFormats(), RandomFormat()
    coef = QFormat(3, fmt.a_bar.width - 3, True)        # c1 reaches -4
    if form == "coupled":
        return lambda: StateUpdate(fmt, random, "stochastic")
    return lambda: DeltaUpdate(fmt, coef, random, (0,) if form == "delta_global" else SHIFTS,
                               form == "delta_balanced")


def table(rows: list[dict], columns: list[str]) -> str:
    """A Markdown table."""
    def cell(x):
        return f"{x:.3g}" if isinstance(x, float) else str(x)

    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(cell(row[c]) for c in columns) + " |"
                              for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.state_forms", description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", default="psmnist",
                        help="a shipped network's task, or a file (default psmnist)")
    add_data_dir(parser)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS, help="of the area")
    parser.add_argument("--out", type=Path, help="folder; default: build/state_forms")
    add_build(parser)
    parser.add_argument("--neurons", type=int, default=128, help="of each layer, for errors of p")
    parser.add_argument("--trains", type=int, default=4, help="images that give the spike trains")
    parser.add_argument("--images", type=int, default=500, help="classified; 0 leaves this out")
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--device", choices=DEVICES, default="85k")
    parser.add_argument("--seeds", type=int, default=5, help="of placement; 0 leaves area out")
    args = parser.parse_args()
    args.out = args.out or build("state_forms")

    def progress(line):
        print(line, flush=True)

    found = checkpoint.load(args.checkpoint)
    blocks, edges = extract(found.network)
    split = found.task.load("val", args.data_dir)
    values = split.values * 2.0 ** -found.task.sample_format.f_bits
    results = {"checkpoint": {k: found.info.get(k) for k in ("epoch", "val_accuracy")}}

    def keep():
        write_json(args.out / "results.json", results)

    results["kernel"] = kernel_errors(blocks)
    progress(table(results["kernel"], list(results["kernel"][0])))
    keep()
    systems = [exact("coupled", block.A, block.g) for block in blocks]
    spikes = run(values[:args.trains], blocks, edges, systems, record=True)[2]
    spikes = [np.ascontiguousarray(spikes[:, :, j, :args.neurons]) for j in range(len(blocks))]
    few = [replace(block, A=block.A[:args.neurons], g=block.g[:args.neurons]) for block in blocks]
    results["p_error"], results["ranges"] = state_errors(few, spikes, progress)
    progress(table(results["p_error"], list(results["p_error"][0])))
    keep()
    if args.images:
        results["classes"] = class_accuracy(blocks, edges, values[:args.images],
                                            split.labels[:args.images], results["ranges"], progress)
        keep()
    if args.seeds:
        results["area"] = {}
        for form in args.forms:
            make = lanes_of(form)
            results["area"][form] = measure(make, lambda k: Harness(make, k), form, args.lanes,
                                            range(1, args.seeds + 1), args.device, args.out,
                                            progress)
            keep()
        rows = [{"form": form} | {k: str(v) for k, v in row.items()}
                for form, row in results["area"].items()]
        progress(table(rows, list(rows[0])))


if __name__ == "__main__":
    cli.run("bench.state_forms", main)
