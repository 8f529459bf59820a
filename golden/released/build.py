"""This project's network from the tensors of a released checkpoint, value for value."""

import numpy as np
import torch

from golden.model import pair
from golden.model.config import ReleasedConfig
from golden.model.network import Network
from golden.released.state import Release, ReleaseError, Sizes, sizes, tensors
from golden.tasks import Task, spec
from golden.tasks.base import inputs_of

PIXEL = 256 / 255       # the released code reads v / 255, this project's tasks v / 256
SINGULAR = 1e-12        # of I - A_bar^length, relative to A_bar^length, where C is lost in rounding


def _one(tensors: dict[str, np.ndarray], ending: str) -> np.ndarray | None:
    """The only tensor whose name ends so, or None."""
    found = [value for name, value in tensors.items() if name.endswith(ending)]
    return found[0] if len(found) == 1 else None


def encoder(found: Release, made: Sizes, task: Task) -> dict[str, np.ndarray] | None:
    """Tensors of ``golden.model.encoder.Encoder``, None if the file has no encoder."""
    if not found.encoder:
        return None
    weight, bias = _one(found.encoder, "weight"), _one(found.encoder, "bias")
    if weight is not None and task.vocab and weight.shape == (task.vocab, made.H):
        return {"weight": weight}
    if (weight is not None and bias is not None and not task.vocab
            and weight.shape == (made.H, 1) and bias.shape == (made.H,)):
        return {"weight": weight[:, 0] * PIXEL, "bias": bias}
    shapes = ", ".join(f"{name} {value.shape}" for name, value in found.encoder.items())
    wanted = (f"an embedding ({task.vocab}, {made.H})" if task.vocab
              else f"a linear map ({made.H}, 1) with bias")
    raise ReleaseError(f"{found.path}: the encoder has {shapes}; task {spec(task)} needs {wanted}")


def decoder(found: Release, made: Sizes, task: Task) -> dict[str, np.ndarray] | None:
    """Tensors of the decoder, of two sequences if there are two layers; None if there is none."""
    if not found.decoder:
        return None
    H, classes = made.H, task.n_classes
    forms = {("output_transform",): {"": (classes, H)},
             ("classifier.0", "classifier.2"): {"hidden.": (H, 4 * H), "last.": (classes, H)}}
    for endings, layers in forms.items():
        tensors = {}
        for ending, (name, shape) in zip(endings, layers.items()):
            weight = _one(found.decoder, ending + ".weight")
            bias = _one(found.decoder, ending + ".bias")
            if weight is not None and bias is not None and weight.shape == shape:
                tensors |= {name + "weight": weight, name + "bias": bias}
        if len(tensors) == 2 * len(layers):
            return tensors
    shapes = ", ".join(f"{name} {value.shape}" for name, value in found.decoder.items())
    raise ReleaseError(f"{found.path}: the decoder has {shapes}; task {spec(task)} needs "
                       f"({classes}, {H})")


def fill(net: Network, found: Release, made: Sizes) -> None:
    """Copy the tensors of the stack to where this project has them."""
    own = net.state_dict()
    for name, (here, _) in tensors(made).items():
        # C of the past comes first; rows that neurons share are repeated: neuron h, row h mod rows
        own[here].copy_(torch.from_numpy(np.resize(found.stack[name], own[here].shape)))
        if f"{here}_future" in own:
            own[f"{here}_future"].copy_(torch.tensor(found.stack[name][1]))


@torch.no_grad()
def network(found: Release, residual: str, task: Task) -> Network:
    """The network, in evaluation mode; encoder and decoder start afresh where the file has none.

    ``residual`` is "none" or "plain". Raises :class:`golden.released.state.ReleaseError` for
    tensors that do not make a network or whose kernel cannot be un-folded.
    """
    made = sizes(found)
    around = {"encoder": encoder(found, made, task), "decoder": decoder(found, made, task)}
    cfg = ReleasedConfig(
        n_classes=task.n_classes, vocab=task.vocab, n_blocks=made.blocks, d_model=made.H,
        d_state=2 * made.n, kernel="two_sided" if made.sides == 2 else "causal",
        residual=residual, shared_A=made.rows == 1, branch=made.branch,
        pair=("hidden.weight" in around["decoder"] if around["decoder"]
              else inputs_of(task) == 2),
        norm="batch" if made.batch_norm else "layer",
        norm_position="pre" if made.prenorm else "post")
    different = pair.mismatch(cfg, task)
    if different:
        raise ReleaseError(f"{found.path}: {different}; give another --task")
    generator = torch.get_rng_state()
    torch.manual_seed(0)                    # start values of what the file has not
    net = Network(cfg)
    torch.set_rng_state(generator)
    fill(net, found, made)
    for part, tensors_of in around.items():
        for name, value in (tensors_of or {}).items():
            getattr(net, part).get_parameter(name).copy_(torch.tensor(value))
    _check_folding(net, found)
    return net.eval()


def _check_folding(net: Network, found: Release) -> None:
    """Refuse C that cannot be recovered from its folded form."""
    for k, block in enumerate(net.blocks):
        for name in ("ssm", "ssm_branch"):
            ssm = getattr(block, name, None)
            if ssm is None or not int(ssm.length):
                continue
            power = np.linalg.matrix_power(ssm.discrete()[0].detach().numpy(), int(ssm.length))
            smallest = np.linalg.svd(np.eye(power.shape[1]) - power, compute_uv=False)[:, -1]
            bad = np.count_nonzero(~(smallest > SINGULAR * np.linalg.norm(power, 2, (1, 2))))
            if bad:
                raise ReleaseError(
                    f"{found.path}: layers.{k}.{'layer' if name == 'ssm' else 'reverse_layer'}: C "
                    f"of {bad} of {len(smallest)} neurons cannot be unfolded, I - A_bar^"
                    f"{int(ssm.length)} is singular (to {smallest.min():.1e})")
