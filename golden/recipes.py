"""How networks are trained: configuration and schedule, by name; a task's own has its name.

Classes, vocabulary and the number of inputs come from the task (:func:`recipe_for`).
"""

from dataclasses import asdict, dataclass, fields, replace

from golden.base.cli import UserError
from golden.config import NetworkConfig
from golden.released import CONFIGURATIONS
from golden.tasks import Task


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
        return asdict(self)

    def differences(self, stored: dict) -> list[str]:
        """Where a stored recipe differs, as ``name: stored, now ...``; absent means default."""
        def flat(values, cls):
            values = {f.name: f.default for f in fields(cls)} | values
            network = values.pop("network", None)
            return values | (flat(network, NetworkConfig) if network else {})
        mine, other = flat(self.to_dict(), Recipe), flat(stored, Recipe)
        return [f"{k}: {other[k]}, now {mine[k]}" for k in mine if mine[k] != other.get(k)]


def stream(neuron: str, mixer: str, **options) -> NetworkConfig:
    """Two blocks of 64 neurons that pass a real-valued stream, norm in front of each."""
    return NetworkConfig(n_classes=10, d_model=64, neuron=neuron, mixer=mixer, residual="plain",
                         **options)


def wide_stream(neuron: str, mixer: str) -> Recipe:
    """Binary S4D or the gated spiking unit at the size of the other benchmarks' networks."""
    network = stream(neuron, mixer, n_blocks=4, d_state=16, dt_min=3e-3, dt_max=0.3)
    return Recipe(replace(network, d_model=120), epochs=40, batch=64, lr=6e-3, warmup=1000)


def moved_then_still(name: str, epochs: int, **options) -> dict[str, Recipe]:
    """Minutes on a GPU: digits that are moved, then <name>_second from those weights
    (--start build/train/psmnist/last.pt) with the digits as they are."""
    first = Recipe(NetworkConfig(n_classes=10, n_blocks=4, d_state=16, dt_min=3e-3, **options),
                   epochs=epochs, batch=64, lr=8e-3, warmup=1000, augment=True)
    return {name: first, f"{name}_second": replace(first, epochs=9, lr=2e-3, ssm_lr=6e-4,
                                                   warmup=200, augment=False, seed=9)}


def half_moved(**options) -> Recipe:
    """Half of psMNIST's digits are moved, in every epoch others."""
    return Recipe(NetworkConfig(n_classes=10, n_blocks=4, d_state=16, dt_min=1e-2, dt_max=0.3,
                                **options),
                  epochs=97, batch=64, lr=8e-3, warmup=1000, augment=0.5)


def long(**options) -> NetworkConfig:
    """Systematically sampled blocks for sequences of a thousand steps and more."""
    return NetworkConfig(n_classes=10, d_state=16, sampling="systematic", **options)


# The benchmarks, for weeks of one CPU core: at most 170,000 parameters, sum of H n at most 5,500
BENCHMARKS = {
    "smnist": Recipe(long(n_blocks=4, d_model=168, dt_min=3e-3, dt_max=0.3), epochs=60, batch=64,
                     lr=8e-3, warmup=1000, augment=0.5),
    "listops": Recipe(long(n_blocks=6, d_model=112), epochs=40, batch=32, lr=4e-3, ssm_lr=2e-3,
                      warmup=1000),
    # 25,000 reviews are soon known by heart
    "text": Recipe(long(n_blocks=4, d_model=128, dropout=0.1), epochs=30, batch=32, lr=4e-3,
                   ssm_lr=2e-3, weight_decay=0.05, warmup=500),
    "retrieval": Recipe(long(n_blocks=4, d_model=128), epochs=20, batch=32, lr=4e-3, ssm_lr=2e-3,
                        warmup=1000),
    "image": Recipe(long(n_blocks=4, d_model=168, dt_max=0.3, dropout=0.1), epochs=60, batch=50,
                    lr=6e-3, weight_decay=0.05, warmup=1000, augment=1.0),
    "pathfinder": Recipe(long(n_blocks=6, d_model=112), epochs=20, batch=64, lr=4e-3, ssm_lr=2e-3,
                         warmup=2000, augment=1.0),
    "pathx": Recipe(long(n_blocks=6, d_model=112), epochs=20, batch=16, lr=3e-3, ssm_lr=1e-3,
                    warmup=2000, augment=1.0),
    # Raw speech: dt from two thousand samples to a few
    "sc4": Recipe(long(n_blocks=4, d_model=168, dt_max=0.3), epochs=40, batch=16, lr=6e-3,
                  warmup=1000, augment=1.0),
    "sc10": Recipe(long(n_blocks=4, d_model=168, dt_max=0.3), epochs=30, batch=16, lr=6e-3,
                   warmup=1000, augment=1.0),
    "sc35": Recipe(long(n_blocks=4, d_model=160, dt_max=0.3), epochs=20, batch=16, lr=6e-3,
                   warmup=1000, augment=1.0),
    # Few clips
    "sc10small": Recipe(long(n_blocks=4, d_model=128, dt_max=0.3, dropout=0.1), epochs=60,
                        batch=16, lr=6e-3, weight_decay=0.05, warmup=500, augment=1.0),
    "fsdd": Recipe(long(n_blocks=4, d_model=128, dt_max=0.3, dropout=0.1), epochs=60, batch=16,
                   lr=6e-3, weight_decay=0.05, warmup=300, augment=1.0),
}
RECIPES = BENCHMARKS | {
    # For every task: the whole path in minutes
    "small": Recipe(NetworkConfig(n_classes=10, n_blocks=2, d_model=32, d_state=8), epochs=1,
                    batch=32),
    "digits": Recipe(NetworkConfig(n_classes=10, n_blocks=2, d_model=64, d_state=8, dt_min=1e-2,
                                   dt_max=0.5), epochs=80),
    # One block, for small FPGAs (golden/checkpoints/digits.small.pt, digits.tiny.pt)
    "digits_small": Recipe(NetworkConfig(n_classes=10, n_blocks=1, d_model=48, d_state=8,
                                         dt_min=1e-2, dt_max=0.5, sampling="systematic"),
                           epochs=150),
    "digits_tiny": Recipe(NetworkConfig(n_classes=10, n_blocks=1, d_model=24, d_state=8,
                                        dt_min=1e-2, dt_max=0.5, sampling="systematic"),
                          epochs=150),
    # Binary S4D and the gated spiking unit (golden.gated): --recipe digits_binary
    "digits_binary": Recipe(stream("heaviside", "glu", d_state=8, dt_min=1e-2, dt_max=0.5),
                            epochs=40),
    "digits_gsu": Recipe(stream("gelu", "gsu", d_state=8, dt_min=1e-2, dt_max=0.5), epochs=40),
    # LIF neurons in place of samplers, behind an SSM (the paper's comparison) or without one
    "digits_lif": Recipe(NetworkConfig(n_classes=10, n_blocks=2, d_model=64, d_state=8,
                                       neuron="lif", dt_min=1e-2, dt_max=0.5), epochs=40),
    "digits_lif_alone": Recipe(NetworkConfig(n_classes=10, n_blocks=2, d_model=64, neuron="lif",
                                             lif_drive="spikes", dt_min=1e-2, dt_max=0.5),
                               epochs=40),
    "binary": wide_stream("heaviside", "glu"),
    "gsu": wide_stream("gelu", "gsu"),
    "psmnist_binary": Recipe(stream("heaviside", "glu"), epochs=4),
    "psmnist_gsu": Recipe(stream("gelu", "gsu"), epochs=4),
    # The released architecture in small, causal
    "digits_released": Recipe(NetworkConfig(
        n_classes=10, n_blocks=2, d_model=64, d_state=8, architecture="released", ssm="dplr",
        init="hippo_legs", residual="plain", act="gelu", gelu_before_sampler=True, dt_min=1e-2,
        dt_max=0.5), epochs=40),
    # At most 170,000 parameters; minutes on a GPU
    "psmnist_large": half_moved(d_model=168, sampling="systematic"),
    # The default's shape trained the same way, for either form of sampling
    "psmnist_bernoulli": half_moved(d_model=128, sampling="bernoulli"),
    "psmnist_systematic": half_moved(d_model=128, sampling="systematic"),
} | moved_then_still(
    "psmnist_small", 61, d_model=80, sampling="systematic",         # at most 40,000
) | moved_then_still(
    "psmnist", 64, d_model=128,
) | {f"{name}_released": Recipe(CONFIGURATIONS[name].network, **CONFIGURATIONS[name].training)
     for name in ("psmnist", "listops")}

GENERAL = Recipe(NetworkConfig(n_classes=10, d_model=64), epochs=10)    # a user's own task


def recipe_for(task: Task, name: str | None = None) -> Recipe:
    """The recipe ``name``, or the one of the task, or a general one.

    Its network gets the task's classes, tokens and inputs. Raises ``UserError`` if there is no such
    recipe, or if its network cannot have them.
    """
    if name is not None and name not in RECIPES:
        raise UserError(f"recipe {name!r} is unknown; known: {', '.join(RECIPES)}")
    recipe = RECIPES.get(name or task.name.split(":")[0], GENERAL)
    try:
        network = replace(recipe.network, n_classes=task.n_classes, vocab=task.vocab,
                          pair=getattr(task, "inputs", 1) == 2)
    except ValueError as error:
        raise UserError(f"recipe {name} does not fit task {task.name}: {error}") from None
    return replace(recipe, network=network)


def table() -> str:
    """The recipes of this project's own architecture, as in docs/training.md."""
    names = ("recipe", "blocks x H", "d_state", "sum of H n", "dt", "sampling", "dropout", "epochs",
             "batch", "lr", "ssm lr", "decay", "warm-up", "augment")
    rows = [names, ("---",) * len(names)]
    for name, r in RECIPES.items():
        net = r.network
        if net.architecture == "paper":
            rows.append((
                name, f"{net.n_blocks} x {net.d_model}", net.d_state,
                f"{net.n_blocks * net.d_model * net.n_modes:,}",
                f"{net.dt_min:g} to {net.dt_max:g}",
                net.sampling if net.neuron == "sampler" else net.neuron, f"{net.dropout:g}",
                r.epochs, r.batch, f"{r.lr:g}", f"{r.ssm_lr:g}", f"{r.weight_decay:g}", r.warmup,
                f"{r.augment:g}"))
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


if __name__ == "__main__":
    print(table())
