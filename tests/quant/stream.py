"""Random networks of Binary S4D and GSU, folded, quantised and as artifacts, without training."""

import numpy as np
import torch

from golden.model.config import StreamConfig
from golden.model.network import Network
from quant.formats import QuantConfig
from quant.integer.artifact import Artifact
from quant.lower.passes import fold
from quant.tune import ranges
from quant.tune.convert import to_artifact
from quant.tune.fit import Extremes, fit
from quant.tune.qat import QuantNetwork
from tests.quant.toy import Toy, ToyTokens

KINDS = {"binary": {"neuron": "heaviside", "mixer": "glu"},
         "gsu": {"neuron": "gelu", "mixer": "gsu"}}


def network(kind: str = "binary", seed: int = 0, **options) -> Network:
    """An untrained network with norms as if trained, in evaluation mode."""
    torch.manual_seed(seed)
    options = {"n_classes": 2, "n_blocks": 2, "d_model": 6, "d_state": 4, "dt_min": 0.02,
               "dt_max": 0.5} | KINDS[kind] | options
    net = Network(StreamConfig(**options))
    with torch.no_grad():
        for norm in net.norms():
            if norm.kind == "batch":
                norm.mean.uniform_(-0.5, 0.5)
                norm.var.uniform_(0.3, 2)
            norm.beta.uniform_(-0.5, 0.5)
            norm.gamma.uniform_(-1.5, 1.5)
        for block in net.blocks:
            block.ssm.C *= 2
    return net.eval()


def task_of(net: Network):
    return ToyTokens() if net.cfg.vocab else Toy()


def quantised(net: Network, config: QuantConfig = QuantConfig()) -> tuple[QuantNetwork, Extremes]:
    """The model with formats fitted to the toy task, and what was seen there."""
    task, folded = task_of(net), fold(net)
    torch.manual_seed(0)
    extremes = ranges.seen(folded, task.load("train"), task, np.arange(16))
    return QuantNetwork(fit(folded, extremes, config, task.sample_format)), extremes


def artifact(kind: str = "binary", config: QuantConfig = QuantConfig(), **options) -> Artifact:
    net = network(kind, **options)
    return to_artifact(quantised(net, config)[0], "toy", task_of(net).length, 0xACE1, {})
