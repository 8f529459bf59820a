"""Batch-norm statistics again, exactly, once training has ended.

The running statistics of training lag behind the weights, and each batch was normalised by its own.
Before a network is folded into integers they are replaced by those of the final network.
"""

from collections.abc import Iterable

import torch

from golden.fuse import ACTIVATIONS
from golden.network import Network


@torch.no_grad()
def reestimate(net: Network, batches: Iterable[tuple], dtype: torch.dtype | None = None) -> None:
    """Set every block's ``fuse.mean`` and ``fuse.var`` to those over all of ``batches``.

    One block after the other, each seeing the blocks before it as they will be in evaluation, so
    the batches (training data) are gone through once per block. The network ends in evaluation
    mode.

    Parameters
    ----------
    batches
        Tuples that begin with (values (B, L), lengths (B,) or None), as of
        ``golden.batches.batch_of``; population mean and variance per neuron over all valid steps
        of all of them, summed in float64.
    dtype
        Of the large tensors, see ``Network.forward``.
    """
    batches = list(batches)
    if not batches:
        raise ValueError("reestimate needs at least one batch")
    net.eval()
    for block in net.blocks:
        fuse = block.fuse
        H = len(fuse.mean)
        total = torch.zeros(3, H, dtype=torch.float64)          # count, sum, sum of squares

        def see(fuse, args, total=total):
            z, bias, x, *rest = args
            valid = rest[0] if rest else None
            z = ACTIVATIONS[fuse.act]((z + bias[:, None].to(z.dtype)).to(bias.dtype))
            if fuse.residual == "plain":
                z = z + x.to(z.dtype)
            if valid is not None:
                z = z[:, valid > 0]
            z = z.double()
            total.add_(torch.stack([torch.full((H,), z.shape[1]), z.sum(1),
                                    z.square().sum(1)]))

        hook = fuse.register_forward_pre_hook(see)
        try:
            for values, lengths, *_ in batches:
                net(values, lengths, dtype)
        finally:
            hook.remove()
        count, first, second = total
        mean = first / count
        fuse.mean.copy_(mean)
        fuse.var.copy_((second / count - mean.square()).clamp(min=0))
