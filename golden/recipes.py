"""How each shipped network was trained: its configuration and the schedule, by name."""

from dataclasses import asdict, dataclass

from golden.config import NetworkConfig


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
    seed: int = 0

    def to_dict(self) -> dict:
        return asdict(self)


RECIPES = {
    "psmnist": Recipe(NetworkConfig(n_classes=10, n_blocks=4, d_model=128, d_state=16), epochs=7),
}
