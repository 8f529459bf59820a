"""How networks are trained: schedule and network, by name; a task's own recipe has its name.

A recipe is a TOML file, of ``golden/recipes`` or a user's own: keys of :class:`Recipe`, and in
``[network]`` the family and options of ``golden.model.config``. Classes, vocabulary and the number
of inputs come from the task (:func:`recipe_for`).
"""

import math
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from golden.base.cli import UserError
from golden.model import before
from golden.model.config import FAMILIES, NetworkConfig, from_dict
from golden.model.pair import mismatch
from golden.tasks import TASKS, Task, spec
from golden.tasks.base import inputs_of

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

    AT_LEAST_1 = ("epochs", "batch", "warmup", "draws")
    SHARES = ("label_smoothing", "augment", "distil")

    def __post_init__(self):
        for field in fields(self)[1:]:
            name, value = field.name, getattr(self, field.name)
            whole, least = field.type is int, int(field.name in self.AT_LEAST_1)
            most = 1 if name in self.SHARES else math.inf
            if type(value) not in ((int,) if whole else (int, float)) or not (
                    least <= value <= most and value < (1 << 63 if whole else 1e300)):
                raise ValueError(f"{name} must be a {'whole' if whole else 'finite'} number "
                                 + ("in [0, 1]" if most == 1 else f"of at least {least}")
                                 + f", not {repr(value)[:60]}")

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
    """The content of a recipe: of the package's by its name, or of a file (``.toml``) by its path.

    Raises ``UserError`` if there is no such recipe or its keys and values are not a recipe's; the
    message names file and key, and what is allowed.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if name not in names():
            raise UserError(f"recipe {name!r} is unknown; known: {', '.join(names())}, or give a "
                            f"file whose name ends in .toml")
        path = FOLDER / f"{name}.toml"
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read recipe {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:   # of tomllib, or no UTF-8
        raise UserError(f"recipe {path} is not a TOML file: {error}") from None
    check(content, path)
    return content


def check(content: dict, path: Path) -> None:
    """Raise ``UserError`` for content that is not a recipe's."""
    network = content.get("network")
    if not isinstance(network, dict):
        raise UserError(f"recipe {path}: a table [network] with family and options is missing")
    family = network.get("family")
    if family not in list(FAMILIES):
        raise UserError(f"recipe {path}: family in [network] must be one of {', '.join(FAMILIES)}, "
                        f"not {family!r}")
    for key in OF_TASK:
        if key in network:
            raise UserError(f"recipe {path}: {key} in [network] comes from the task; leave it out")
    options = {"family", *(f.name for f in fields(FAMILIES[family]))} - set(OF_TASK)
    for where, table, allowed in (("", content, {f.name for f in fields(Recipe)}),
                                  (f" in [network] of family {family}", network, options)):
        for key in table:
            if key not in allowed:
                raise UserError(f"recipe {path}: unknown key {key}{where}; "
                                f"known: {', '.join(sorted(allowed))}")
    if "epochs" not in content:
        raise UserError(f"recipe {path}: epochs is missing")
    try:
        made(content, 1, 0, False)
    except ValueError as error:
        raise UserError(f"recipe {path}: {error}") from None


def made(content: dict, n_classes: int, vocab: int, pair: bool) -> Recipe:
    """The recipe of a file's content for a task; raises ``ValueError`` for a wrong value."""
    network = content["network"] | {"n_classes": n_classes, "vocab": vocab}
    if pair and network["family"] == "paper":
        network.setdefault("features", FEATURES)
    elif pair and network["family"] == "released":
        network["pair"] = True
    return Recipe(**content | {"network": from_dict(network)})


def recipe_for(task: Task, name: str | None = None) -> Recipe:
    """The recipe ``name`` (or a file, see :func:`read`), or the one of the task, or a general one.

    Raises ``UserError`` if there is no such recipe, or if its network cannot do the task.
    """
    own = spec(task).split(":")[0]      # a user's may have any name
    chosen = name or (own if own in TASKS and own in names() else GENERAL)
    try:
        recipe = made(read(chosen), task.n_classes, task.vocab, inputs_of(task) == 2)
        different = mismatch(recipe.network, task)
    except ValueError as error:     # of the configuration's own rules
        different = error
    if different:
        raise UserError(f"recipe {chosen} does not fit task {task.name}: {different}")
    return recipe


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
