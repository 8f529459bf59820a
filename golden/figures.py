"""The paper's pictures of a network's spikes: ``python -m golden.figures --task psmnist``.

Writes three PNGs: the share of active neurons per layer over time (Figure 1c of Bal & Sengupta,
ICLR 2025), the spikes of one neuron with its probability (1b), and the histogram and density of the
neurons' mean spike probabilities (4). Only inputs are read, no labels; ``--split`` says of which
part of the data.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("golden.figures")

import argparse
import io
from pathlib import Path

import numpy as np

from golden.analysis import chosen
from golden.base import cli
from golden.analysis.activity import CURVES, Activity, Trace, measure, trace
from golden.base.files import write_all_atomic
from golden.base.options import natural

WIDTH, DPI = 7.0, 100               # inches, dots per inch
NEAR_ZERO = 0.1                     # mean probability below which a neuron counts as silent
HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")   # Okabe and Ito's


def density(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Kernel density of ``values`` in [0, 1] at the points ``at``, its integral over [0, 1] is 1.

    Gaussian kernel, Silverman's bandwidth but at least 0.005; what leaks beyond 0 or 1 is
    reflected.
    """
    from sklearn.neighbors import KernelDensity     # slow to import, and nothing else needs it
    spread = min(values.std(), np.subtract(*np.percentile(values, (75, 25))) / 1.34)
    width = max(0.9 * spread * len(values) ** -0.2, 0.005)
    mirrored = np.concatenate([values, -values, 2 - values])
    fit = KernelDensity(bandwidth=width).fit(mirrored[:, None])
    return 3 * np.exp(fit.score_samples(at[:, None]))


def new_figure(height: float, rows: int = 1, ratios=None):
    """Figure and axes without a display, frame at the left and the bottom only."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure((WIDTH, height), DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1, sharex=rows > 1, squeeze=False, height_ratios=ratios)[:, 0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def active_figure(seen: Activity):
    """Figure 1c: share of neurons with an output spike, a line per layer over the steps."""
    figure, (ax,) = new_figure(3.2)
    for k, line in enumerate(seen.active_out):
        ax.plot(line, color=HUES[k % len(HUES)], linewidth=1,
                label=f"layer {k + 1}: mean {line.mean():.2f}")
    ax.set(xlabel="time step", ylabel="share of active neurons", ylim=(0, None),
           xlim=(0, seen.active_out.shape[1] - 1),
           title=f"neurons that spike, mean of {seen.sequences} sequences")
    ax.legend(frameon=False, ncols=2, fontsize="small")
    return figure


def neuron_figure(one: Trace):
    """Figure 1b: what decides over one neuron's spikes over time, mostly its probability, and they
    below."""
    figure, (top, bottom) = new_figure(3.2, 2, (4, 1))
    steps, probability = np.arange(len(one.curve)), one.label == CURVES["p"]
    top.plot(steps, one.curve, color=HUES[0], linewidth=1)
    expected = f", {one.curve.sum():.1f} expected" if probability else ""
    top.set(ylabel=one.label, xlim=(0, max(len(steps) - 1, 1)),
            title=f"neuron {one.neuron} of layer {one.block + 1}: "
                  f"{int(np.abs(one.spikes).sum())} spikes in {len(steps)} steps{expected}")
    if probability:
        top.set_ylim(-0.02, 1.02)
    for sign, color in ((1, "black"), (-1, HUES[1])):
        bottom.vlines(steps[one.spikes == sign], 0, 1, color=color, linewidth=0.6)
    bottom.set(xlabel="time step", ylabel="spikes", yticks=[], ylim=(0, 1))
    return figure


def probability_figure(seen: Activity):
    """Figure 4: histogram of all neurons' mean probabilities, density per layer."""
    figure, (ax,) = new_figure(3.2)
    values, at = seen.mean_p, np.linspace(0, 1, 401)
    ax.hist(values.ravel(), np.linspace(0, 1, 41), density=True, color="#cccccc",
            label=f"all {values.size} neurons")
    for k, layer in enumerate(values):
        ax.plot(at, density(layer, at), color=HUES[k % len(HUES)], linewidth=1.2,
                label=f"layer {k + 1}: {100 * (layer < NEAR_ZERO).mean():.0f} % below {NEAR_ZERO}")
    ax.set(xlabel=f"mean spike probability over {seen.steps:,} steps", ylabel="density",
           xlim=(0, 1), title="neurons by mean spike probability")
    ax.legend(frameon=False, fontsize="small")
    return figure


def png(figure) -> bytes:
    """The picture as a file's content; names no program or date, so the same picture is the same
    bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def draw(seen: Activity, one: Trace, out: Path, name: str) -> list[Path]:
    """Write the three figures to ``out``, all or none; their paths."""
    pictures = {f"{name}.{kind}.png": png(figure) for kind, figure in (
        ("active", active_figure(seen)), ("neuron", neuron_figure(one)),
        ("probability", probability_figure(seen)))}
    write_all_atomic(out, pictures)
    return [out / file for file in pictures]


def main() -> None:
    parser = argparse.ArgumentParser(prog="golden.figures", description=__doc__.split("\n")[0])
    chosen.add_options(parser, n=100)
    parser.add_argument("--seed", type=natural, default=0, help="seed of the samplers; default 0")
    parser.add_argument("--sequence", type=int, default=0,
                        help="sequence in the neuron's figure, counted from 0")
    parser.add_argument("--block", type=int,
                        help="block of the neuron, counted from 0; default: the last")
    parser.add_argument("--neuron", type=int,
                        help="default: the one whose probability varies most")
    parser.add_argument("--out", type=Path, default=Path("docs/figures"),
                        help="folder; default docs/figures")
    args = parser.parse_args()
    found, split, name = chosen.load(args, parser)
    one = trace(found.network, split, found.task, args.sequence, args.block, args.neuron, args.seed)
    split = split.first(args.n)
    seen = measure(found.network, split, found.task, seed=args.seed)
    for k, (rate, p) in enumerate(zip(seen.rate_out, seen.mean_p)):
        silent = 100 * (p < NEAR_ZERO).mean()
        print(f"layer {k + 1}: {rate.mean():.4f} spikes per neuron and step, mean probability "
              f"{p.mean():.4f}, below {NEAR_ZERO} in {silent:.1f} % of neurons")
    print(f"{len(split)} sequences of the {args.split} split, {seen.steps:,} steps")
    for path in draw(seen, one, args.out, name):
        print(f"{path} {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    cli.run("golden.figures", main)
