"""The released configurations of P-SpikeSSM by name, with their published sizes.

``python -m golden.released`` builds them, counts their parameters and runs each once forward and
backward at its full length; ``python -m golden.train --task psmnist --recipe psmnist_released``
trains one. The recipes (golden/recipes/*_released.toml) are those of the released configuration
files; where a task of this project has another vocabulary than the authors' (ListOps: 16 tokens,
not 18), this project's counts.
"""

import argparse
import resource
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from golden.base import cli
from golden.base.options import add_threads, positive
from golden.model.config import NetworkConfig
from golden.model.network import Network
from golden.training import recipes


@dataclass(frozen=True)
class Published:
    """What is known of one released configuration beside its recipe, <name>_released."""

    length: int                 # steps of its longest sequence
    parameters: int             # used ones, as derived from the released code
    n_classes: int
    vocab: int = 0
    pair: bool = False

    def network(self, name: str) -> NetworkConfig:
        """Its configuration, with the authors' vocabulary."""
        return recipes.made(recipes.read(f"{name}_released"), self.n_classes, self.vocab,
                            self.pair).network


CONFIGURATIONS = {
    "psmnist": Published(784, 436_000, 10),
    "listops": Published(2048, 175_000, 10, vocab=16),
    "text": Published(4096, 189_000, 2, vocab=135),
    "retrieval": Published(4000, 589_000, 2, vocab=98, pair=True),
    "image": Published(1024, 3_980_000, 10),
    "pathfinder": Published(1024, 1_790_000, 2),
}


def run(config: NetworkConfig, length: int, batch: int = 1) -> tuple[Network, float]:
    """The network after one forward and backward pass on random input, and the loss."""
    net = Network(config)
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
    parser.add_argument("--batch", type=positive, default=1,
                        help="sequences at once; default: 1")
    add_threads(parser, 1)
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
        net, loss = run(made.network(name), length, args.batch)
        count = net.parameter_count()
        without = sum(p.grad is None or not p.grad.isfinite().all() for p in net.parameters())
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{name:13s}  {count:10,d}  {made.parameters:9,d}  "
              f"{count / made.parameters - 1:9.2%}  {length:6d}  {without:16d}  {loss:6.3f}  "
              f"{time.process_time() - began:6.1f}  {memory:5.2f} GB", flush=True)
        del net
