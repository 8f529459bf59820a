"""Dense recurrences as independent complex modes, which is what the hardware computes.

``python -m quant.diagonalise --checkpoint FILE.pt --out FILE2.pt`` turns every DPLR layer of a
causal network into a diagonal one; ``quant.export`` does the same on the way. A neuron whose
eigenvectors have a condition number below 1e4 is diagonalised, exactly; to the others' kernels
``quant.lower.kernel_fit`` fits modes, and also where the states of exact ones would be much larger than
their sum. The kernel's error is printed, with the number of spikes that change under equal uniform
draws.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("quant.diagonalise")

import argparse
import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from golden import checkpoint
from golden.base import cli
from golden.base.options import add_data_dir, positive
from golden.batches import batch_of
from golden.checkpoint import Checkpoint
from golden.dplr import DPLR
from golden.models import build
from golden.network import Network
from golden.released_network import ReleasedNetwork
from golden.tasks import Split, Task
from quant.lower.modes import Diagonal, DiagonaliseError, diagonal
from quant.systems import system_of


def needed(net: torch.nn.Module) -> bool:
    """Whether a network has DPLR layers."""
    return any(isinstance(getattr(block, "ssm", None), DPLR) for block in net.blocks)


def network(net: Network | ReleasedNetwork, steps: int, count: int | None = None
            ) -> tuple[Network | ReleasedNetwork, list[Diagonal]]:
    """A network with diagonal layers in place of DPLR ones, and what became of each layer.

    Its time steps are 1 and its A = log A_bar, one per neuron; a sampler's scale, which the dense
    C and D include, is 1; everything else is copied.
    """
    cfg = net.cfg
    for name, wrong in (("kernel", "two_sided"), ("branch", True)):
        if getattr(cfg, name) == wrong:
            raise DiagonaliseError(f"the network has {name} = {wrong}; a recurrence in hardware "
                                   f"needs a causal kernel and no branch")
    with torch.no_grad():
        dense = [block.ssm.dense() for block in net.blocks]
    dts = [block.ssm.dt().detach().numpy() for block in net.blocks]

    def layers(least):
        for j, (d, dt) in enumerate(zip(dense, dts)):
            try:
                yield diagonal(d, steps, dt, count, least)
            except DiagonaliseError as error:
                raise DiagonaliseError(f"layer {j}: {error}") from None

    found = list(layers(1))
    n = max(layer.A_bar.shape[1] for layer in found)
    if any(layer.A_bar.shape[1] < n for layer in found):
        found = list(layers(n))
    made = build(replace(cfg, ssm="diagonal", init="s4d_legs", shared_A=False, d_state=2 * n))
    made.to(next(net.parameters()).dtype)
    own, ssm = made.state_dict(), [f"blocks.{j}.ssm." for j in range(len(found))]
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name in own and not name.startswith(tuple(ssm)):
                own[name].copy_(value)
        for j, (layer, d) in enumerate(zip(found, dense)):
            A = np.log(layer.A_bar)
            C = layer.g * A / (2 * (layer.A_bar - 1))
            for name, value in (("log_A_re", np.log(-A.real)), ("A_im", A.imag),
                                ("log_dt", np.zeros(len(A))), ("D", d.D.numpy()),
                                ("C", np.stack([C.real, C.imag], 2))):
                own[ssm[j] + name].copy_(torch.from_numpy(value))
    return made.train(net.training), found


@torch.no_grad()
def _spikes(net: Network | ReleasedNetwork, x: torch.Tensor, seed: int) -> list[dict]:
    """Records of all blocks, float64; equal draws for equal seeds."""
    net, x = copy.deepcopy(net).double(), x.double() if x.is_floating_point() else x
    if x.ndim == 3:
        generator = torch.Generator().manual_seed(seed)
        return net.trace(x, [torch.rand(x.shape, generator=generator, dtype=x.dtype)
                             for _ in range(2 * len(net.blocks))])[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        records: list[dict] = []
        net(x, record=records)
    return records


def changed_spikes(one: Network | ReleasedNetwork, other: Network | ReleasedNetwork,
                   x: torch.Tensor, seed: int = 0) -> list[dict[str, int]]:
    """Per block the spikes that differ between two networks under equal uniform draws, float64.

    x is what :func:`encoded` gives. ``s_in`` and ``s_out`` count them, ``of`` is the number of
    places. Behind a first difference the inputs differ too, so later blocks count more.
    """
    traces = [_spikes(net, x, seed) for net in (one, other)]
    return [{name: int((a[name] != b[name]).sum()) for name in ("s_in", "s_out")}
            | {"of": a["s_in"].numel()} for a, b in zip(*traces)]


@torch.no_grad()
def encoded(net: Network | ReleasedNetwork, split: Split, task: Task, count: int) -> torch.Tensor:
    """First sequences of a split as :func:`changed_spikes` takes them.

    Of the released architecture the stack's input (B, L, H), else samples or tokens (B, L).
    """
    v, _, _ = batch_of(split, np.arange(min(count, len(split))), task)
    if not isinstance(net, ReleasedNetwork):
        return v
    dtype = net.encoder.weight.dtype
    return net.encoder(v.reshape(-1), dtype).T.reshape(*v.shape, -1)


def prepare(found: Checkpoint, inputs: Callable[[], torch.Tensor], count: int | None = None,
            say: Callable[[str], None] = print) -> Checkpoint:
    """The checkpoint with diagonal layers; itself if it has no DPLR layer.

    ``say`` is told every layer's errors and the spikes that change for the stack's ``inputs()``
    (:func:`encoded`). The reports are in the result's ``info["diagonal"]``.
    """
    net = found.network
    if not needed(net):
        return found
    made, layers = network(net, found.task.length, count)
    changes = changed_spikes(net, made, inputs())
    reports = [layer.report() | change for layer, change in zip(layers, changes)]
    for j, row in enumerate(reports):
        worst = "singular" if row["singular"] else f"{row['condition']:.2g}"
        say(f"layer {j}: {row['modes']} modes; eigenvector condition {worst} at most, "
            f"{row['fitted']} of {row['neurons']} neurons fitted; relative kernel error "
            f"{row['error_max']:.2g} at most, rms {row['error_rms']:.2g}; spikes changed "
            f"{row['s_in']} at the input, {row['s_out']} at the output, of {row['of']} each")
    if any(row["fitted"] for row in reports):
        say("fitted layers can be fine-tuned: python -m quant.finetune --task TASK --checkpoint "
            "FILE, then python -m quant.export with its --qat")
    return Checkpoint(made, found.task, found.info | {"diagonal": reports})


def ready(found: Checkpoint, train: Split, sequences: int = 8) -> Checkpoint:
    """The checkpoint as ``quant.lower.passes`` takes it; prints what became of DPLR layers.

    Says too when encoder and decoder have start values, because an imported file had none. Raises
    :class:`quant.lower.passes.FoldError` for options that hardware has not.
    """
    system_of(found.network.cfg).check_config(found.network.cfg)
    fresh = found.info.get("start_values")
    if fresh:
        print(f"{' and '.join(fresh)} were not in the imported file and have start values: classes "
              f"mean nothing until they are trained (python -m quant.finetune --checkpoint)")
    return prepare(found, lambda: encoded(found.network, train, found.task, sequences))


def _stack_input(path: Path, net: ReleasedNetwork) -> torch.Tensor:
    """Array ``x`` (B, L, H) of an npz such as the released code's recorded outputs."""
    try:
        with np.load(path, allow_pickle=False) as file:
            x = file["x"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DiagonaliseError(f"{path} is no npz file with an array x: {error}") from None
    H = net.cfg.d_model
    if not isinstance(net, ReleasedNetwork):
        raise DiagonaliseError("--inputs needs architecture released; leave it out")
    if x.ndim != 3 or x.shape[2] != H:
        raise DiagonaliseError(f"{path}: x has shape {x.shape}, the network takes (B, L, {H})")
    return torch.from_numpy(x)


def main() -> None:
    parser = argparse.ArgumentParser("quant.diagonalise", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="a network with DPLR layers")
    parser.add_argument("--out", type=Path, help="file for the diagonal network; default: none")
    parser.add_argument("--modes", type=positive,
                        help="of a fitted neuron (default: half of the states)")
    parser.add_argument("--inputs", type=Path, help="npz with the stack's input x (B, L, H), by "
                        "which changed spikes are counted; default: training sequences")
    parser.add_argument("-n", type=positive, default=8, help="training sequences (default 8)")
    add_data_dir(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = checkpoint.load(args.checkpoint)
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
