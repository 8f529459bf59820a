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


def end_of(found: Release, part: str, forms: list[dict[str, tuple]], task: Task, needs: str
           ) -> dict[str, np.ndarray] | None:
    """Tensors of ``encoder`` or ``decoder`` under this project's names; None if there are none.

    A form says for each own name how the released one ends, of which there must be one, and the
    shape; the first that fits is taken.
    """
    tensors = getattr(found, part)
    for form in forms:
        values = {own: [value for name, value in tensors.items() if name.endswith(ending)]
                  for own, (ending, _) in form.items()}
        if all(len(values[own]) == 1 and values[own][0].shape == shape
               for own, (_, shape) in form.items()):
            return {own: value for own, (value,) in values.items()}
    if not tensors:
        return None
    shapes = ", ".join(f"{name} {value.shape}" for name, value in tensors.items())
    raise ReleaseError(f"{found.path}: the {part} has {shapes}; task {spec(task)} needs {needs}")


def ends(found: Release, H: int, task: Task) -> dict[str, dict[str, np.ndarray] | None]:
    """Tensors of encoder and decoder, of two sequences if that has two layers."""
    classes = task.n_classes
    encoders = [{"weight": ("weight", (task.vocab, H))} if task.vocab
                else {"weight": ("weight", (H, 1)), "bias": ("bias", (H,))}]
    decoders = [{"weight": ("output_transform.weight", (classes, H)),
                 "bias": ("output_transform.bias", (classes,))},
                {"hidden.weight": ("classifier.0.weight", (H, 4 * H)),
                 "hidden.bias": ("classifier.0.bias", (H,)),
                 "last.weight": ("classifier.2.weight", (classes, H)),
                 "last.bias": ("classifier.2.bias", (classes,))}]
    encoder = end_of(found, "encoder", encoders, task, f"an embedding ({task.vocab}, {H})"
                     if task.vocab else f"a linear map ({H}, 1) with bias")
    if encoder and not task.vocab:
        encoder["weight"] = encoder["weight"][:, 0] * PIXEL
    return {"encoder": encoder,
            "decoder": end_of(found, "decoder", decoders, task, f"({classes}, {H})")}


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
    around = ends(found, made.H, task)
    try:
        cfg = ReleasedConfig(
            n_classes=task.n_classes, vocab=task.vocab, n_blocks=made.blocks, d_model=made.H,
            d_state=2 * made.n, kernel="two_sided" if made.sides == 2 else "causal",
            residual=residual, shared_A=made.rows == 1, branch=made.branch,
            pair=("hidden.weight" in around["decoder"] if around["decoder"]
                  else inputs_of(task) == 2),
            norm="batch" if made.batch_norm else "layer",
            norm_position="pre" if made.prenorm else "post")
    except ValueError as error:         # of the configuration's own rules
        raise ReleaseError(f"{found.path}: {error}") from None
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
    """Refuse recurrences that are not finite, and C that its folded form does not give back."""
    for k, block in enumerate(net.blocks):
        for name in ("ssm", "ssm_branch"):
            ssm = getattr(block, name, None)
            if ssm is None:
                continue
            A_bar = _finite(ssm, f"{found.path}: layers.{k}")
            if not int(ssm.length):
                continue
            power = np.linalg.matrix_power(A_bar, int(ssm.length))
            if not np.isfinite(power).all():
                raise ReleaseError(f"{found.path}: layers.{k}: A_bar^{int(ssm.length)} is not "
                                   f"finite")
            smallest = np.linalg.svd(np.eye(power.shape[1]) - power, compute_uv=False)[:, -1]
            bad = np.count_nonzero(~(smallest > SINGULAR * np.linalg.norm(power, 2, (1, 2))))
            if bad:
                raise ReleaseError(
                    f"{found.path}: layers.{k}.{'layer' if name == 'ssm' else 'reverse_layer'}: C "
                    f"of {bad} of {len(smallest)} neurons cannot be unfolded, I - A_bar^"
                    f"{int(ssm.length)} is singular (to {smallest.min():.1e})")


def _finite(ssm, where: str) -> np.ndarray:
    """A_bar (H, N, N) of a layer."""
    try:
        found = ssm.discrete()
    except torch.linalg.LinAlgError:
        raise ReleaseError(f"{where}: I - dt / 2 A is singular") from None
    if not all(torch.isfinite(torch.view_as_real(t)).all() for t in found):
        raise ReleaseError(f"{where}: its recurrence is not finite: A_real, A_imag, B, P or inv_dt "
                           f"are too large")
    return found[0].detach().numpy()
