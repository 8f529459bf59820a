"""The export's report: a table of tensors, formats, ranges and saturations, and the accuracies."""

import numpy as np

from golden.base import cli
from quant.formats import TERNARY
from quant.integer.head import TENSORS as HEAD
from quant.integer.operation import Tensor
from quant.integer.program import Artifact


def _row(where: str, name: str, tensor: Tensor) -> dict:
    raw, fmt, one = np.ravel(tensor.raw), tensor.fmt, 2.0 ** -tensor.fmt.f_bits
    # A sign, and other numbers that are chosen: no rounding.
    chosen = fmt == TERNARY or name.endswith(("shift", "directions"))
    at_limit = 0 if chosen else int(np.count_nonzero((raw == fmt.lo) | (raw == fmt.hi)))
    return {"layer": where, "tensor": name, "values": int(raw.size), "format": str(fmt),
            "range": [float(raw.min() * one), float(raw.max() * one)],
            "holds": [fmt.lo * one, fmt.hi * one], "at_limit": at_limit}


def constants(art: Artifact) -> list[dict]:
    """One row per constant tensor: values, format, range, and how many are at its ends."""
    rows = []
    for place, op, _ in art.operations():
        where = place.split(".")[0].replace("first", "encoder")
        rows += [_row(where, f"{type(op).__name__} {op.wiring}: {name}", tensor)
                 for name, tensor in op.tensors.items()]
    rows += [_row("decoder", name, tensor) for name, tensor in (("w", art.decoder_w),
                                                                 ("b", art.decoder_b))]
    return rows + [_row("head", name, art.head.tensor(name)) for name in HEAD if art.head]


def _pair(pair) -> str:
    return "" if pair is None else f"{pair[0]:.4g} .. {pair[1]:.4g}"


def show(task: str, rows: list[dict], states: list[dict], saturations: dict | None,
         accuracy: dict, seconds: float) -> None:
    """Print everything that an export knows about an artifact.

    ``saturations``: by a value's name, numbers for every layer and then the encoder.
    """
    from rich.table import Table
    console = cli.console()
    table = Table(title=f"{task}: tensors")
    for name in ("layer", "tensor", "values", "format"):
        table.add_column(name, justify="right" if name == "values" else "left", no_wrap=True)
    for name in ("range", "format holds"):
        table.add_column(name, no_wrap=True)
    table.add_column("at limit", justify="right")
    for row in rows:
        table.add_row(row["layer"], row["tensor"], str(row["values"]), row["format"],
                      _pair(row["range"]), _pair(row["holds"]), str(row["at_limit"]))
    console.print(table)
    table = Table(title=f"{task}: states, and what is limited")
    for name in ("layer", "tensor", "format", "proven", "seen in calibration", "format holds",
                 "saturations"):
        table.add_column(name, no_wrap=True)
    for row in states:
        table.add_row(str(row["layer"]), row["tensor"], row["format"], _pair(row["proven"]),
                      _pair(row["seen"]), _pair(row["holds"]), _count(row, saturations, accuracy))
    console.print(table)
    if accuracy["n"]:
        console.print(f"accuracy on {accuracy['n']} test sequences: "
                      + ", ".join(f"{name} {100 * accuracy[name]:.2f} %"
                                  for name in ("float", "qat", "integer")))
    console.print(f"{seconds:.0f} s")


def _count(row: dict, saturations: dict | None, accuracy: dict) -> str:
    """Saturated elements of a row's tensor; of a compiled stream all are with the encoder's."""
    if saturations is None:
        return ""
    if row["layer"] == "head":
        return str(accuracy["head_saturations"][row["tensor"]])
    counts = saturations.get(row["tensor"].split(" of ")[0])     # all membranes of a layer
    return "" if counts is None else str(counts[-1 if row["layer"] == "encoder" else row["layer"]])
