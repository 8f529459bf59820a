"""How networks are trained: schedule and network, by name; a task's own recipe has its name.

A recipe is a TOML file of ``golden/recipes``: keys of :class:`Recipe`, and in ``[network]`` the
family and options of ``golden.model.config``. Classes, vocabulary and the number of inputs come
from the task (:func:`recipe_for`).
"""

import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from golden.cli import UserError
from golden.model import before
from golden.model.config import NetworkConfig, from_dict
from golden.tasks import Task

FOLDER = Path(__file__).resolve().parents[1] / "recipes"
GENERAL = "general"         # a user's own task
OF_TASK = ("n_classes", "vocab", "pair")        # options that no recipe has
FEATURES = 32               # of the paper's family, for two sequences that are classified together


@dataclass(frozen=True)
class Recipe:
    """One training run."""

    network: NetworkConfig
    epochs: int
    batch: int = 32
    lr: float = 1e-2              # of weights, peak of a warm-up and cosine schedule
    ssm_lr: float = 3e-3          # of A and dt
    weight_decay: float = 0.01    # of matrices only
    label_smoothing: float = 0.05
    warmup: int = 100             # steps
    clip: float = 1.0             # norm of the gradient
    augment: float = 0.0          # share of the sequences that get the task's own augmentation
    draws: int = 1                # forward passes whose logits are averaged in a step
    distil: float = 0.0           # share of the loss that follows a teacher's classes
    seed: int = 0

    def to_dict(self) -> dict:
        return asdict(self) | {"network": self.network.to_dict()}

    def differences(self, stored: dict) -> list[str]:
        """Where a stored recipe differs, as ``name: stored, now ...``; absent means default."""
        def flat(values: dict) -> dict:
            return {k: v for k, v in values.items() if k != "network"} | values["network"]

        defaults = {f.name: f.default for f in fields(Recipe)}
        network = before.config(stored["network"]).to_dict()
        mine, other = flat(self.to_dict()), flat(defaults | stored | {"network": network})
        return [f"{k}: {other.get(k)}, now {mine.get(k)}" for k in mine | other
                if mine.get(k) != other.get(k)]


def names() -> list[str]:
    """All recipes of the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read(name: str) -> dict:
    """The content of a recipe's file; raises ``UserError`` if there is none of this name."""
    if name not in names():
        raise UserError(f"recipe {name!r} is unknown; known: {', '.join(names())}")
    content = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    for key in OF_TASK:
        if key in content["network"]:
            raise UserError(f"recipe {name}: {key} comes from the task; leave it out")
    return content


def made(content: dict, n_classes: int, vocab: int, pair: bool) -> Recipe:
    """The recipe of a file's content for a task; raises ``ValueError`` for what does not fit."""
    network = content["network"] | {"n_classes": n_classes, "vocab": vocab}
    if pair and network["family"] == "paper":
        network.setdefault("features", FEATURES)
    elif pair:
        network["pair"] = True
    return Recipe(**content | {"network": from_dict(network)})


def recipe_for(task: Task, name: str | None = None) -> Recipe:
    """The recipe ``name``, or the one of the task, or a general one.

    Raises ``UserError`` if there is no such recipe, or if its network cannot do the task.
    """
    own = task.name.split(":")[0]
    chosen = name or (own if own in names() else GENERAL)
    try:
        return made(read(chosen), task.n_classes, task.vocab, getattr(task, "inputs", 1) == 2)
    except (TypeError, ValueError) as error:
        raise UserError(f"recipe {chosen} does not fit task {task.name}: {error}") from None


def table() -> str:
    """The recipes of this project's own networks, as in docs/training.md."""
    heads = ("recipe", "family", "blocks x H", "d_state", "sum of H n", "dt", "sampling",
             "dropout", "epochs", "batch", "lr", "ssm lr", "decay", "warm-up", "augment")
    rows = [heads, ("---",) * len(heads)]
    for name in names():
        r = made(read(name), 1, 0, False)
        net = r.network
        if net.family != "released":
            modes = net.n_blocks * net.d_model * net.n_modes
            state = (net.d_state, f"{modes:,}") if net.reads("d_state") else ("", "")
            rows.append((
                name, net.family, f"{net.n_blocks} x {net.d_model}", *state,
                f"{net.dt_min:g} to {net.dt_max:g}", getattr(net, "sampling", ""),
                f"{net.dropout:g}", r.epochs, r.batch, f"{r.lr:g}", f"{r.ssm_lr:g}",
                f"{r.weight_decay:g}", r.warmup, f"{r.augment:g}"))
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


if __name__ == "__main__":
    print(table())
