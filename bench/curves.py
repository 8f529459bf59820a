"""Pictures of the accuracy on psMNIST: against the number of neurons, and over the training."""

from pathlib import Path

from golden.base import forms
from golden.base.files import write_all_atomic
from golden.figures import HUES, new_figure, png

NEURONS = {"2 blocks of 16": 32, "2 blocks of 32": 64, "base": 128, "2 blocks of 128": 256,
           "2 blocks of 256": 512}      # rows of bench.ablation that differ in the width alone


def neurons_figure(rows: dict[str, tuple[dict, dict]], short: dict | None):
    """Accuracy against the number of neurons (Bal & Sengupta, Figure 3).

    ``rows`` are (facts, accuracies) of the shipped networks, ``short`` the ablation's result: one
    short training of every width.
    """
    figure, (ax,) = new_figure(3.6)
    if short:
        points = [(count, 100 * short["rows"][name]["validation"])
                  for name, count in NEURONS.items() if name in short["rows"]]
        ax.plot(*zip(*points), "o-", color=HUES[0], markersize=4,
                label=f"2 blocks, {short['sequences']:,} training sequences, validation")
    for k, (name, (fact, found)) in enumerate(rows.items()):
        accuracies = found[f"{fact['sampling']} test"]
        ax.plot(fact["blocks"] * fact["H"], 100 * sum(accuracies) / len(accuracies), "D",
                color=HUES[(k + 1) % len(HUES)], label=f"{name}, integers, test")
    ax.set(xlabel="number of neurons", ylabel="accuracy in %", xscale="log",
           title="psMNIST: accuracy against the number of neurons")
    ax.grid(color="#eeeeee")
    if ax.has_data():
        ax.legend(frameon=False, fontsize="small")
    return figure


def learning_figure(rows: dict[str, tuple[dict, dict]]):
    """Training (line) and validation (dashes) accuracy over the epochs of the shipped networks."""
    figure, (ax,) = new_figure(3.6)
    for k, (name, (fact, _)) in enumerate(rows.items()):
        epochs = range(1, len(fact["curve"]) + 1)
        for key, style, label in (("train_accuracy", "-", name), ("val_accuracy", "--", None)):
            ax.plot(epochs, [100 * e[key] for e in fact["curve"]], style,
                    color=HUES[k % len(HUES)], linewidth=1.2, label=label)
    ax.set(xlabel="epoch", ylabel="accuracy in %", title="psMNIST: training (line) and validation "
           "(dashes), one draw per step")
    ax.grid(color="#eeeeee")
    if ax.has_data():
        ax.legend(frameon=False, fontsize="small")
    return figure


def write(rows: dict[str, tuple[dict, dict]], ablation: Path, out: Path) -> list[Path]:
    """Write both pictures to ``out``, both or none; their paths."""
    short = forms.read(ablation, "take it from the repository again") if ablation.exists() else None
    pictures = {"psmnist.neurons.png": png(neurons_figure(rows, short)),
                "psmnist.learning.png": png(learning_figure(rows))}
    write_all_atomic(out, pictures)
    return [out / name for name in pictures]
