"""Generated pictures beside two published ones: ``python -m golden.tasks.pathfinder_figure``.

Draws docs/figures/pathfinder.png from generated pictures alone and prints statistics of their grey
values. Where the data folder has published pictures, as they stand in a document, enlarged
(``pathfinder/*pathfinder128*.png``), their pixels are recovered, measured too, and drawn beside.
"""

import argparse
import re
from pathlib import Path

import numpy as np

from golden.tasks import data
from golden.base import cli
from golden.base.options import add_build, add_data_dir, build
from golden.tasks.pathfinder_rules import pictures, rules32, rules128

ROWS = ((rules32(6), 1), (rules32(9), 1), (rules32(14), 1), (rules128(14), 2))
LIT = 20                # grey values above it are not background
APART = 60              # segments are counted at this level


def recovered(shown: np.ndarray, side: int) -> np.ndarray:
    """(side, side) pixels of a picture that was enlarged by a Hann window of one pixel.

    So Matplotlib shows pictures. The width is the whole picture's; a row may be cut off at the top.
    """
    scale = shown.shape[1] / side
    cut = round(shown.shape[1] - shown.shape[0])

    def weights(n: int, first: int) -> np.ndarray:
        at = ((np.arange(n) + first + 0.5) / scale - 0.5)[:, None] - np.arange(side)
        hann = np.where(np.abs(at) < 1, 0.5 + 0.5 * np.cos(np.pi * at), 0)
        return hann / hann.sum(1, keepdims=True)
    rows, columns = weights(shown.shape[0], cut), weights(shown.shape[1], 0)
    pixels = np.linalg.pinv(rows) @ shown @ np.linalg.pinv(columns).T
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def middles(grey: np.ndarray) -> np.ndarray:
    """(n, 2) middles of the markers: nothing else is bright and three pixels wide."""
    from scipy import ndimage
    parts, n = ndimage.label(ndimage.minimum_filter(grey, 3) >= 200)
    return np.rint(ndimage.center_of_mass(parts > 0, parts, range(1, n + 1))).astype(int)


def measured(grey: np.ndarray, markers: np.ndarray) -> dict[str, float]:
    """Numbers of one picture by which two generators can be compared."""
    from scipy import ndimage
    y, x = np.indices(grey.shape)
    near = np.min([np.hypot(y - v, x - u) for v, u in markers], axis=0)
    return {"lit %": 100 * np.mean(grey > LIT), "mean grey": grey.mean(),
            "marker's middle": np.median([grey[v, u] for v, u in markers]),
            "pixels from 245": np.sum(grey >= 245),
            "brightest segment": grey[near > grey.shape[0] / 20].max(),
            "connected parts": ndimage.label(grey > APART)[1]}


def table(rows: dict[str, list[dict]]) -> str:
    """Markdown: a line of means, with the least and the greatest where there are several."""
    keys = list(next(iter(rows.values()))[0])
    lines = ["| pictures | " + " | ".join(keys) + " |", "| --- " * (len(keys) + 1) + "|"]
    for name, found in rows.items():
        cells = []
        for key in keys:
            v = [m[key] for m in found]
            cells.append(f"{np.mean(v):.1f}"
                         + (f" ({min(v):.0f} to {max(v):.0f})" if len(v) > 1 else ""))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(path: Path, shown: list[list[tuple[str, np.ndarray]]]) -> None:
    """Write rows of pictures with a line of text above each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    height = sum(9.6 / len(row) for row in shown)
    figure = Figure((9.0, height), 100, layout="constrained")
    FigureCanvasAgg(figure)
    for part, row in zip(np.atleast_1d(figure.subfigures(
            len(shown), 1, height_ratios=[1 / len(row) for row in shown])), shown):
        for ax, (title, grey) in zip(np.atleast_1d(part.subplots(1, len(row))), row):
            ax.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            ax.set_title(title, fontsize=8)
            ax.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def row_of(made: dict, contour: int, count: int) -> list[tuple[str, np.ndarray]]:
    """As many pictures of each class, with titles."""
    chosen = [np.flatnonzero(made["labels"] == label)[:count // 2] for label in (1, 0)]
    return [(f"{contour} segments: {('no', 'yes')[made['labels'][k]]}", made["grey"][k])
            for k in np.concatenate(chosen)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="golden.tasks.pathfinder_figure",
                                     description=__doc__.split("\n\n")[0].split(":")[0])
    add_data_dir(parser)
    parser.add_argument("--out", type=Path, default=Path("docs/figures/pathfinder.png"))
    parser.add_argument("--beside", type=Path, help="file for the picture with the published ones, "
                        "if they are at hand; default: build/pathfinder.png")
    add_build(parser)
    args = parser.parse_args()
    made = {rules: pictures(rules, seed, 64) for rules, seed in ROWS}
    draw(args.out, [row_of(m, r.contour, 6 if r.size == 32 else 4) for r, m in made.items()])
    rows = {f"generated, {r.size} x {r.size}, {r.contour} segments":
            [measured(g, p) for g, p in zip(m["grey"], m["markers"])] for r, m in made.items()}
    print(args.out)
    folder = data.folder(args.data_dir)
    published = sorted((folder / "pathfinder").glob("*pathfinder*.png")) if folder else []
    shown = []
    for path in published:
        from PIL import Image
        side = int(re.search(r"pathfinder(\d+)", path.name)[1])
        grey = recovered(np.asarray(Image.open(path).convert("L"), float), side)
        rows[f"published, {side} x {side}"] = [measured(grey, middles(grey))]
        shown.append((f"published, {side} x {side}", grey))
    if shown:
        beside = args.beside or build("pathfinder.png")
        draw(beside, [shown, row_of(made[rules128(14)], 14, 2)])
        print(beside)
    print(table(rows))


if __name__ == "__main__":
    cli.run("golden.tasks.pathfinder_figure", main)
