"""The export's report: a table of tensors, formats, ranges and saturations, and the accuracies."""

import numpy as np

from golden.base import cli
from quant.integer.artifact import Artifact, Layer
from quant.integer.head_tensors import TENSORS as HEAD

TENSORS = {"a_bar": ("a_re", "a_im"), "g": ("g_re", "g_im"), "d": ("d",), "b": ("b",), "w": ("w",),
           "shift": ("shift",), "bias": ("bias",), "addend": ("addend",), "alpha": ("alpha",),
           "beta": ("beta",), "a": ("a",), "gain": ("gain",)}
EDGES = ("enc_w", "enc_b", "dec_w", "dec_b")


def row(where: str, name: str, fmt, arrays) -> dict:
    raw = np.concatenate([np.ravel(a) for a in arrays])
    at_limit = int(np.count_nonzero((raw == fmt.lo) | (raw == fmt.hi))) if name != "shift" else 0
    one = 2.0 ** -fmt.f_bits
    return {"layer": where, "tensor": name, "values": int(raw.size), "format": str(fmt),
            "range": [float(raw.min() * one), float(raw.max() * one)],
            "holds": [fmt.lo * one, fmt.hi * one], "at_limit": at_limit}


def constants(art: Artifact) -> list[dict]:
    """One row per constant tensor: number of values, format, range, and how many are at its ends."""
    rows = []
    for j, layer in enumerate(art.layers):
        for name, fields in TENSORS.items():
            arrays = [getattr(layer, field) for field in fields]
            if arrays[0].size:
                rows.append(row(str(j), name, getattr(layer.fmt, Layer.FORMAT_OF[fields[0]]),
                                 arrays))
    for name in EDGES:
        raw = getattr(art, name)
        if raw.size:
            fmt = getattr(art.edge, name)
            if art.vocab and name == "enc_w":
                fmt = art.x_format
            rows.append(row("edge", name, fmt, [raw]))
    for name in HEAD if art.head else ():
        rows.append(row("head", name, getattr(art.head.fmt, name), [getattr(art.head, name)]))
    return rows


def _pair(pair) -> str:
    return "" if pair is None else f"{pair[0]:.4g} .. {pair[1]:.4g}"


def show(task: str, rows: list[dict], states: list[dict], saturations: list | None,
         accuracy: dict, seconds: float) -> None:
    """Print everything that an export knows about an artifact."""
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
    table = Table(title=f"{task}: states")
    for name in ("layer", "tensor", "format", "proven", "seen in calibration", "format holds",
                 "saturations"):
        table.add_column(name, no_wrap=True)
    for k, row in enumerate(states):
        count = "" if saturations is None else (saturations + [accuracy.get(
            "head_saturations")])[-1 if row["layer"] == "head" else row["layer"]]
        count = str(count[row["tensor"]] if isinstance(count, dict) else count)
        table.add_row(str(row["layer"]), row["tensor"], row["format"], _pair(row["proven"]),
                      _pair(row["seen"]), _pair(row["holds"]), count)
    console.print(table)
    if accuracy["n"]:
        console.print(f"accuracy on {accuracy['n']} test sequences: "
                      + ", ".join(f"{name} {100 * accuracy[name]:.2f} %"
                                  for name in ("float", "qat", "integer")))
    console.print(f"{seconds:.0f} s")
