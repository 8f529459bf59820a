"""A wider network from a trained one that computes the same (Chen et al., Net2Net, 2016).

The old neurons keep their places and weights; the new ones see all of them, but none of the old
reads the new ones yet: those weights of mixers and decoder are zero, and learn from there.
"""

import torch

from golden import fields
from golden.base.cli import UserError
from golden.model import before
from golden.model.network import Network
from golden.stored import StoredError

READERS = ("mixer.weight", "decoder.weight")        # their columns are the neurons they read


class GrowError(UserError):
    """Networks of which one is no wider form of the other; the message says why."""


@torch.no_grad()
def widen(net: Network, state: dict) -> None:
    """Fill ``net`` with the tensors of a narrower network of the same blocks.

    What belongs to the new neurons stays as it is in ``net``, but for what the old ones and the
    decoder read of them. Raises :class:`GrowError`, and writes nothing, if the networks differ in
    more than the number of neurons or are of another kind.
    """
    if net.cfg.family != "paper":
        raise GrowError(f"a network of family {net.cfg.family} cannot be widened, only one of "
                        f"family paper can")
    own = net.state_dict()
    state = before.state(state, list(own), net.cfg.family)
    if set(own) != set(state):
        names = sorted(set(own) ^ set(state))
        raise GrowError(f"it has other tensors: {', '.join(names[:3])}")
    H = state["blocks.0.out.b"].numel()
    if H > net.cfg.d_model:
        raise GrowError(f"it has {H} neurons in a block, more than {net.cfg.d_model}")
    try:
        fields.fit(state, {name: t.new_empty([H if size == net.cfg.d_model else size
                                              for size in t.shape]) for name, t in own.items()},
                   "expected")
    except StoredError as error:
        raise GrowError(str(error)) from None
    for name, tensor in state.items():
        if name.endswith(READERS):
            own[name][:len(tensor), H:] = 0
        own[name][tuple(slice(size) for size in tensor.shape)] = tensor
