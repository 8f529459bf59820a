"""Batch-norm statistics again, exactly, once training has ended.

The running statistics of training lag behind the weights, and each batch was normalised by its own.
Before a network is folded into integers they are replaced by those of the final network.
"""

from collections.abc import Iterable

import torch
from torch import nn


@torch.no_grad()
def reestimate(net: nn.Module, batches: Iterable[tuple], dtype: torch.dtype | None = None) -> None:
    """Set the statistics of every batch norm of ``net`` to those over all of ``batches``.

    One norm after the other in the order of ``net.norms()``, each seeing those before it as they
    will be in evaluation, so the batches (training data) are gone through once per norm; population
    mean and variance per neuron over all valid steps, summed in float64. The network ends in
    evaluation mode.

    Parameters
    ----------
    batches
        Tuples that begin with (values (B, L), lengths (B,) or None), as of
        ``golden.batches.batch_of``.
    dtype
        Of the large tensors, see ``golden.network.Network.forward``.
    """
    batches = list(batches)
    if not batches:
        raise ValueError("reestimate needs at least one batch")
    net.eval()
    for norm in net.norms():
        if norm.kind != "batch":
            continue
        total = torch.zeros(3, len(norm.mean), dtype=torch.float64)     # count, sum, squares

        def see(norm, args, total=total):
            x = norm.normalised(*args).double()
            total.add_(torch.stack([torch.full((len(x),), x.shape[1]), x.sum(1),
                                    x.square().sum(1)]))

        hook = norm.register_forward_pre_hook(see)
        try:
            for values, lengths, *_ in batches:
                net(values, lengths, dtype)
        finally:
            hook.remove()
        count, first, second = total
        mean = first / count
        norm.mean.copy_(mean)
        norm.var.copy_((second / count - mean.square()).clamp(min=0))
