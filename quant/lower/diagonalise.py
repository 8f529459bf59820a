"""Dense recurrences of a network as independent complex modes, which is what hardware computes."""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from golden.training.batches import batch_of
from golden.checkpoint import Checkpoint
from golden.model.dplr import DPLR
from golden.model.network import Network
from golden.tasks import Split, Task
from quant.lower.modes import Diagonal, DiagonaliseError, diagonal


def needed(net: torch.nn.Module) -> bool:
    """Whether a network has DPLR layers."""
    return any(isinstance(getattr(block, "ssm", None), DPLR) for block in net.blocks)


def network(net: Network, steps: int, count: int | None = None
            ) -> tuple[Network, list[Diagonal]]:
    """A network with diagonal layers in place of DPLR ones, and what became of each layer.

    Its time steps are 1 and its A = log A_bar, one per neuron; a sampler's scale, which the dense
    C and D include, is 1; everything else is copied.
    """
    cfg = net.cfg
    if getattr(cfg, "branch", False):
        raise DiagonaliseError("the network has branch = True; integers need a network without")
    with torch.no_grad():
        dense = [block.ssm.dense() for block in net.blocks]
        future = [block.ssm.dense(future=True) if block.ssm.two_sided else None
                  for block in net.blocks]
    dts = [block.ssm.dt().detach().numpy() for block in net.blocks]

    def layers(least):
        for j, (d, dt, later) in enumerate(zip(dense, dts, future)):
            try:
                yield diagonal(d, steps, dt, count, least, future=later)
            except DiagonaliseError as error:
                raise DiagonaliseError(f"layer {j}: {error}") from None

    found = list(layers(1))
    n = max(layer.A_bar.shape[1] for layer in found)
    if any(layer.A_bar.shape[1] < n for layer in found):
        found = list(layers(n))
    made = Network(replace(cfg, init="s4d_legs", shared_A=False, d_state=2 * n))
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
                                *zip(("C", "C_future"), np.stack([C.real, C.imag], 3))):
                own[ssm[j] + name].copy_(torch.from_numpy(value))
    return made.train(net.training), found


@torch.no_grad()
def _spikes(net: Network, x: torch.Tensor, seed: int) -> list[dict]:
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


def changed_spikes(one: Network, other: Network,
                   x: torch.Tensor, seed: int = 0) -> list[dict[str, int]]:
    """Per block the spikes that differ between two networks under equal uniform draws, float64.

    x is what :func:`encoded` gives. ``s_in`` and ``s_out`` count them, ``of`` is the number of
    places. Behind a first difference the inputs differ too, so later blocks count more.
    """
    traces = [_spikes(net, x, seed) for net in (one, other)]
    return [{name: int((a[name] != b[name]).sum()) for name in ("s_in", "s_out")}
            | {"of": a["s_in"].numel()} for a, b in zip(*traces)]


@torch.no_grad()
def encoded(net: Network, split: Split, task: Task, count: int) -> torch.Tensor:
    """First sequences of a split as :func:`changed_spikes` takes them.

    Of family released the stack's input (B, L, H), else samples or tokens (B, L).
    """
    v, _, _ = batch_of(split, np.arange(min(count, len(split))), task)
    if net.cfg.family != "released":
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
