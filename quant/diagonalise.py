"""Dense recurrences as independent complex modes, which is what the hardware computes.

``python -m quant.diagonalise --checkpoint FILE.pt --out FILE2.pt`` turns every DPLR layer of a
network into a diagonal one; ``quant.export`` does the same on the way. A neuron whose
eigenvectors have a condition number below 1e4 is diagonalised, exactly; to the others' kernels
``quant.lower.kernel_fit`` fits modes, and also where the states of exact ones would be much larger
than their sum. The kernel's error is printed, with the number of spikes that change under equal
uniform draws.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("quant.diagonalise")

import argparse
from pathlib import Path

import numpy as np
import torch

from golden import checkpoint
from golden.base import cli
from golden.base.arrays import ArraysError, read_npz
from golden.base.options import add_data_dir, add_task, positive
from golden.model.network import Network
from quant.lower.diagonalise import encoded, needed, prepare
from quant.lower.modes import DiagonaliseError

MOST = 1 << 31          # bytes of the arrays of --inputs


def _stack_input(path: Path, net: Network) -> torch.Tensor:
    """Array ``x`` (B, L, H) of an npz such as the released code's recorded outputs."""
    try:
        x = read_npz(path, MOST, kinds="iuf")["x"]
    except (ArraysError, KeyError) as error:
        raise DiagonaliseError(f"{path} is not an npz file with an array x: {error}") from None
    H = net.cfg.d_model
    if net.cfg.family != "released":
        raise DiagonaliseError("--inputs needs a network of family released; leave it out")
    if x.ndim != 3 or x.shape[2] != H:
        raise DiagonaliseError(f"{path}: x has shape {x.shape}, the network takes (B, L, {H})")
    if not np.isfinite(x).all():
        raise DiagonaliseError(f"{path}: x contains values that are not finite")
    return torch.from_numpy(x)


def main() -> None:
    parser = argparse.ArgumentParser("quant.diagonalise", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="a network with DPLR layers")
    add_task(parser, required=False, default="the checkpoint's")
    parser.add_argument("--out", type=Path, help="file for the diagonal network; default: none")
    parser.add_argument("--modes", type=positive,
                        help="modes of a fitted neuron (default: half of the states)")
    parser.add_argument("--inputs", type=Path, help="npz with the stack's input x (B, L, H), by "
                        "which changed spikes are counted; default: training sequences")
    parser.add_argument("-n", type=positive, default=8, help="training sequences (default 8)")
    add_data_dir(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = checkpoint.load(args.checkpoint, task=args.task or "")
    checkpoint.of_task(found, args.task, args.checkpoint)
    net = found.network
    if not needed(net):
        raise DiagonaliseError(f"{args.checkpoint} has no DPLR layer; it is diagonal already")
    made = prepare(found, lambda: _stack_input(args.inputs, net) if args.inputs else encoded(
        net, found.task.load("train", args.data_dir), found.task, args.n), args.modes)
    if args.out:
        checkpoint.save(args.out, made.network, made.task, made.info)
        print(args.out)


if __name__ == "__main__":
    cli.run("quant.diagonalise", main)
