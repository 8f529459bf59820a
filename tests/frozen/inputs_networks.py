"""How the frozen networks were drawn, see ``tests.frozen.inputs``: every option, no training."""

import torch

from golden import models
from golden.config import NetworkConfig
from golden.norms import reestimate
from tests.frozen import tasks

BASE = {"n_blocks": 2, "d_model": 6, "d_state": 4, "dt_min": 0.02, "dt_max": 0.5}
RELEASED = {"architecture": "released"}
DPLR = {"ssm": "dplr", "init": "hippo_legs"}
BINARY = {"neuron": "heaviside", "mixer": "glu", "residual": "plain"}
GSU = {"neuron": "gelu", "mixer": "gsu", "residual": "plain"}
LIF = {"neuron": "lif"}
# "of" names the task, samples if it is missing.
NETWORKS = {
    "paper": {},
    "paper-none-identity": {"residual": "none", "act": "identity"},
    "paper-plain-signed": {"residual": "plain", "of": "Signed"},
    "paper-gelu": {"act": "gelu"},
    "paper-gelu-plain-tokens": {"act": "gelu", "residual": "plain", "of": "Tokens"},
    "paper-gelu-none-systematic": {"act": "gelu", "residual": "none", "sampling": "systematic"},
    "paper-gelu_sampler": {"gelu_before_sampler": True},
    "paper-gelu_sampler-plain-sobol": {"gelu_before_sampler": True, "residual": "plain",
                                       "sampling": "sobol"},
    "paper-sobol-tokens": {"sampling": "sobol", "of": "Tokens"},
    "paper-systematic-identity-signed": {"sampling": "systematic", "act": "identity",
                                         "of": "Signed"},
    "paper-systematic-plain-identity": {"sampling": "systematic", "residual": "plain",
                                        "act": "identity"},
    "paper-mean": {"sampling": "mean"},
    "paper-two_sided-shared_A": {"kernel": "two_sided", "shared_A": True},
    "paper-two_sided-plain-tokens": {"kernel": "two_sided", "residual": "plain", "of": "Tokens"},
    "paper-s4d_inv-three_blocks": {"init": "s4d_inv", "n_blocks": 3, "d_state": 6},
    "paper-s4d_legs-one_block": {"init": "s4d_legs", "n_blocks": 1, "d_model": 8, "d_state": 2},
    "paper-shared_A-none-dropout": {"shared_A": True, "residual": "none", "dropout": 0.2},
    "paper-plain-dropout-tokens": {"residual": "plain", "dropout": 0.3, "of": "Tokens"},
    "paper-dplr": DPLR,
    "paper-dplr-gelu_sampler-systematic": DPLR | {"gelu_before_sampler": True,
                                                  "sampling": "systematic"},
    "paper-dplr-two_sided-shared_A": DPLR | {"kernel": "two_sided", "shared_A": True},
    "paper-pair": {"pair": True, "features": 5, "of": "Pairs"},
    "paper-pair-plain-systematic-tokens": {"pair": True, "features": 4, "residual": "plain",
                                           "sampling": "systematic", "of": "TokenPairs"},
    # In small what the released code is configured to do on psMNIST
    "released-dplr-two_sided-none": RELEASED | DPLR | {
        "kernel": "two_sided", "residual": "none", "act": "gelu", "gelu_before_sampler": True},
    "released-dplr-plain-post": RELEASED | DPLR | {
        "residual": "plain", "norm_position": "post", "act": "gelu", "gelu_before_sampler": True},
    "released-dplr-none-tie_dropout": RELEASED | DPLR | {
        "residual": "none", "dropout": 0.2, "tie_dropout": True, "shared_A": True},
    "released-layer-plain": RELEASED | {"residual": "plain", "norm": "layer", "act": "gelu"},
    "released-layer-post-none-tokens": RELEASED | {"residual": "none", "norm": "layer",
                                                   "norm_position": "post", "of": "Tokens"},
    "released-branch-plain": RELEASED | DPLR | {"residual": "plain", "branch": True, "act": "gelu",
                                                "gelu_before_sampler": True},
    "released-branch-none-mean-post": RELEASED | {"residual": "none", "branch": True,
                                                  "sampling": "mean", "norm_position": "post"},
    "released-none": RELEASED | {"residual": "none"},
    "released-none-post-gelu_sampler-sobol": RELEASED | {
        "residual": "none", "norm_position": "post", "gelu_before_sampler": True,
        "sampling": "sobol", "shared_A": True},
    "released-plain-systematic-signed": RELEASED | {"residual": "plain", "sampling": "systematic",
                                                    "act": "identity", "of": "Signed"},
    "released-plain-dropout-tokens": RELEASED | {"residual": "plain", "dropout": 0.3,
                                                 "of": "Tokens"},
    "released-pair-two_sided": RELEASED | {"residual": "plain", "pair": True,
                                           "kernel": "two_sided", "of": "Pairs"},
    "binary": BINARY,
    "binary-none-post-strict": BINARY | {"residual": "none", "norm_position": "post",
                                         "fires_at_zero": False},
    "binary-rectangle-layer": BINARY | {"surrogate": "rectangle", "surrogate_width": 0.5,
                                        "norm": "layer"},
    "binary-sigmoid-tokens": BINARY | {"surrogate": "sigmoid", "surrogate_width": 2.0,
                                       "of": "Tokens"},
    "binary-arctan-two_sided-shared_A": BINARY | {"surrogate": "arctan", "kernel": "two_sided",
                                                  "shared_A": True},
    "binary-triangle_of_half-dropout": BINARY | {"surrogate_width": 0.5, "dropout": 0.2},
    "gsu": GSU,
    "gsu-none-post-signed": GSU | {"residual": "none", "norm_position": "post", "of": "Signed"},
    "gsu-threshold_of_zero-tokens": GSU | {"ternary_threshold": 0.0, "of": "Tokens"},
    "gsu-threshold_of_0.4-layer-post": GSU | {"ternary_threshold": 0.4, "norm": "layer",
                                              "norm_position": "post"},
    "s4d-linear": {"neuron": "gelu", "residual": "plain"},
    "s4d-linear-identity-two_sided": {"neuron": "gelu", "residual": "none", "act": "identity",
                                      "kernel": "two_sided"},
    "s4d-glu-post": {"neuron": "gelu", "mixer": "glu", "residual": "plain", "act": "gelu",
                     "norm_position": "post"},
    "lif": LIF,
    "lif-zero-none-gelu": LIF | {"lif_reset": "zero", "residual": "none", "act": "gelu"},
    "lif-alone-plain-arctan": LIF | {"lif_drive": "spikes", "residual": "plain",
                                     "surrogate": "arctan", "surrogate_width": 2.0},
    "lif-no_reset_gradient-rectangle-tokens": LIF | {"lif_reset_gradient": False, "of": "Tokens",
                                                     "surrogate": "rectangle"},
    "lif-zero-no_reset_gradient-sigmoid": LIF | {
        "lif_reset": "zero", "lif_reset_gradient": False, "surrogate": "sigmoid",
        "lif_drive": "spikes"},
    "lif-threshold_of_0.6-two_sided-dropout": LIF | {"lif_threshold": 0.6, "kernel": "two_sided",
                                                     "dropout": 0.2},
}


def batch(task) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and lengths of the training split, of two inputs first all first ones."""
    split = task.load("train")
    values, lengths = torch.from_numpy(split.values), torch.from_numpy(split.lengths)
    if lengths.ndim == 2:
        values, lengths = (x.transpose(0, 1).flatten(0, 1) for x in (values, lengths))
    return values if task.vocab else values.float() * 2.0 ** -task.sample_format.f_bits, lengths


@torch.no_grad()
def checkpoint(number: int, options: dict) -> dict:
    """A network with data-dependent start, then moved weights, and norms of other statistics."""
    name = options.get("of", "Samples")
    task = getattr(tasks, name)()
    options = {key: value for key, value in options.items() if key != "of"}
    torch.manual_seed(number)
    cfg = NetworkConfig(n_classes=task.n_classes, vocab=task.vocab, **BASE | options)
    net = models.build(cfg)
    values, lengths = batch(task)
    net.calibrate(values, lengths)
    for norm in net.norms():
        norm.gamma.mul_(torch.empty_like(norm.gamma).uniform_(0.5, 1.5))
        norm.gamma[::3] *= -1
        norm.beta.add_(torch.empty_like(norm.beta).uniform_(-0.2, 0.2))
    for key, p in net.named_parameters():
        if key.split(".")[-1] in ("A_im", "log_A_re", "P", "B", "D", "bias", "input_gamma",
                                  "input_beta", "log_dt", "inv_dt"):
            p.add_(torch.empty_like(p).uniform_(-0.1, 0.1))
        elif key.endswith(("inp.a", "inp.b", "inp_branch.b", "out.a", "out.b")):
            p.add_(torch.empty_like(p).uniform_(-0.2, 0.6))
    if cfg.neuron == "heaviside":           # the first neuron always stands at 0
        for block in net.blocks:
            block.ssm.C[0], block.ssm.D[0] = 0, 0
            if cfg.kernel == "two_sided":
                block.ssm.C_future[0] = 0
    reestimate(net, [(values, lengths)])
    for norm in net.norms():
        if norm.kind == "batch":
            norm.mean.add_(torch.empty_like(norm.mean).uniform_(-0.1, 0.1))
            norm.var.mul_(torch.empty_like(norm.var).uniform_(0.7, 1.4)).add_(0.01)
    check(net, values, lengths)
    return {"network": cfg.to_dict(), "task": f"tests.frozen.tasks:{name}", "permutation": None,
            "state": {key: t.detach().clone() for key, t in net.state_dict().items()},
            "info": {}}


def check(net, values, lengths) -> None:
    """Every block must both fire and be silent, else a record of it would say little."""
    record = []
    net(values, lengths, record=record)
    for k, block in enumerate(record):
        rate = float(block["s_out"].abs().mean())
        if net.cfg.sampling != "mean" and not 0.05 < rate < 0.95 and net.cfg.mixer == "linear" \
                and net.cfg.neuron != "gelu":
            raise ValueError(f"block {k}: {rate:.3f} spikes per neuron and step")


def checkpoints() -> dict:
    """The content of all files by name."""
    found = {}
    for number, (name, options) in enumerate(NETWORKS.items()):
        try:
            found[name] = checkpoint(number, options)
        except Exception as error:
            raise RuntimeError(f"{name}: {error}") from error
    return found
