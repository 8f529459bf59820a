"""The network class of a configuration, chosen by its neuron."""

from torch import nn

from golden.config import NetworkConfig
from golden.network import Network

CLASSES = {"sampler": Network}


def build(cfg: NetworkConfig) -> nn.Module:
    """A network with fresh weights.

    Every class has ``forward(v, lengths, dtype, record) -> logits``, ``calibrate``,
    ``parameter_count``, ``cfg``, ``blocks`` and ``decoder`` as :class:`golden.network.Network`.
    """
    return CLASSES[cfg.neuron](cfg)
