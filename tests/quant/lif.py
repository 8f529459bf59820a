"""Random networks of integrate-and-fire neurons, as if trained, and as artifacts."""

import torch

from golden.model.config import LIFConfig
from golden.model.network import Network
from quant.formats import QuantConfig
from quant.integer.artifact import Artifact
from quant.tune.convert import to_artifact
from tests.quant.stream import quantised, task_of

# Every residual form, activation, drive and reset at least once.
CASES = {
    "clampfuse": {},
    "alone": {"drive": "spikes"},
    "zero": {"reset": "zero", "threshold": 0.7, "residual": "none"},
    "plain": {"residual": "plain", "act": "identity"},
    "plain-alone": {"residual": "plain", "drive": "spikes", "reset": "zero"},
    "gelu": {"act": "gelu", "threshold": 2.0, "surrogate": "arctan"},
    "tokens": {"vocab": 17, "act": "identity", "drive": "spikes", "residual": "none"},
    "tokens-plain": {"vocab": 17, "residual": "plain", "act": "gelu"},
    "two-sided": {"kernel": "two_sided"},
    "one": {"d_model": 1, "d_state": 2, "n_blocks": 1}}


def network(seed: int = 0, **options) -> Network:
    """An untrained network in evaluation mode, everything that folds away from its start."""
    torch.manual_seed(seed)
    shape = {"n_classes": 2, "n_blocks": 2, "d_model": 6, "dt_min": 0.02, "dt_max": 0.9}
    shape |= {} if options.get("drive") == "spikes" else {"d_state": 4}
    net = Network(LIFConfig(**shape | options))
    net.calibrate(torch.randint(net.cfg.vocab, (8, 20)) if net.cfg.vocab else torch.rand(8, 20))
    with torch.no_grad():
        for p in net.first.parameters():
            p.add_(0.2 * torch.randn_like(p))
        for norm in net.norms():
            norm.gamma.uniform_(-1.5, 1.5)
            norm.beta.add_(0.2 * torch.randn_like(norm.beta))
            norm.mean.uniform_(-0.5, 0.5)
            norm.var.uniform_(0.3, 2)
        for block in net.blocks:
            block.neurons_out.b.add_(0.3 * torch.rand_like(block.neurons_out.b))
    return net.eval()


def artifact(config: QuantConfig = QuantConfig(), **options) -> Artifact:
    net = network(**options)
    return to_artifact(quantised(net, config)[0], "toy", task_of(net).length, 0xACE1, {})
