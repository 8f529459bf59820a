"""The released configurations of P-SpikeSSM by name, with their published sizes.

``python -m golden.released`` builds them, counts their parameters and runs each once forward and
backward at its full length; ``python -m golden.train --task psmnist --recipe psmnist_released``
trains one. Settings are those of the released configuration files; where a task of this project
has another vocabulary than the authors' (ListOps: 16 tokens, not 18), this project's counts.
"""

import argparse
import resource
import time
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from golden.base import cli
from golden.base.options import positive
from golden.config import NetworkConfig
from golden.released_network import ReleasedNetwork


@dataclass(frozen=True)
class Configuration:
    """One released configuration."""

    network: NetworkConfig
    length: int                 # steps of its longest sequence
    parameters: int             # used ones, as derived from the released code
    training: dict = field(default_factory=dict)    # what golden.recipes.Recipe takes


def _made(length: int, parameters: int, training: dict, **network) -> Configuration:
    """The options all six share, beside their own: a DPLR kernel seen from both sides, GELU."""
    shared = dict(architecture="released", ssm="dplr", init="hippo_legs", kernel="two_sided",
                  act="gelu", gelu_before_sampler=True, shared_A=True, residual="plain",
                  branch=True)
    return Configuration(NetworkConfig(**shared | network), length, parameters,
                         training | {"ssm_lr": 1e-3, "label_smoothing": 0.0})


CONFIGURATIONS = {
    "psmnist": _made(
        784, 436_000, dict(epochs=200, batch=64, lr=5e-4, weight_decay=0.01, warmup=1),
        n_classes=10, n_blocks=2, d_model=400, d_state=64, residual="none", branch=False,
        dropout=0.1),
    "listops": _made(
        2048, 175_000, dict(epochs=200, batch=32, lr=8e-4, weight_decay=0.01, warmup=12_000),
        n_classes=10, vocab=16, n_blocks=4, d_model=128, d_state=16, norm_position="post"),
    "text": _made(
        4096, 189_000, dict(epochs=200, batch=32, lr=5e-3, weight_decay=0.05, warmup=5_000),
        n_classes=2, vocab=135, n_blocks=4, d_model=128, d_state=16, dropout=0.05),
    "retrieval": _made(
        4000, 589_000, dict(epochs=20, batch=36, lr=3e-3, weight_decay=0.05, warmup=5_000),
        n_classes=2, vocab=98, n_blocks=4, d_model=200, d_state=24, pair=True),
    "image": _made(
        1024, 3_980_000, dict(epochs=200, batch=50, lr=5e-3, weight_decay=0.01, warmup=18_000),
        n_classes=10, n_blocks=6, d_model=512, d_state=64, norm="layer", norm_position="post",
        dropout=0.1, tie_dropout=True),
    "pathfinder": _made(
        1024, 1_790_000, dict(epochs=500, batch=100, lr=2e-4, weight_decay=0.0, warmup=50_000),
        n_classes=2, n_blocks=6, d_model=256, d_state=64, shared_A=False, dropout=0.1),
}


def run(config: NetworkConfig, length: int, batch: int = 1) -> tuple[ReleasedNetwork, float]:
    """The network after one forward and backward pass on random input, and the loss."""
    net = ReleasedNetwork(config)
    rows = 2 * batch if config.pair else batch
    v = (torch.randint(config.vocab, (rows, length)) if config.vocab
         else torch.rand(rows, length))
    loss = F.cross_entropy(net(v), torch.zeros(batch, dtype=torch.long))
    loss.backward()
    return net, loss.item()


def main() -> None:
    parser = argparse.ArgumentParser(prog="golden.released",
                                     description="Build and run the released configurations.")
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help=f"of {', '.join(CONFIGURATIONS)}; default all")
    parser.add_argument("--length", type=positive, help="steps; default: the full length")
    parser.add_argument("--batch", type=positive, default=1)
    parser.add_argument("--threads", type=positive, default=1)
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in CONFIGURATIONS]
    if unknown:
        raise cli.UserError(f"configuration {unknown[0]!r} is unknown; known: "
                            f"{', '.join(CONFIGURATIONS)}")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print("configuration  parameters  published  difference  steps  without gradient  "
          "loss    seconds  memory")
    for name in args.names or CONFIGURATIONS:
        made = CONFIGURATIONS[name]
        began = time.process_time()
        length = args.length or made.length
        net, loss = run(made.network, length, args.batch)
        count = net.parameter_count()
        without = sum(p.grad is None or not p.grad.isfinite().all() for p in net.parameters())
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{name:13s}  {count:10,d}  {made.parameters:9,d}  "
              f"{count / made.parameters - 1:9.2%}  {length:6d}  {without:16d}  {loss:6.3f}  "
              f"{time.process_time() - began:6.1f}  {memory:5.2f} GB", flush=True)
        del net


if __name__ == "__main__":
    cli.run("golden.released", main)
