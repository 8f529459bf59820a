"""The network class of a configuration, chosen by its architecture and neuron."""

from torch import nn

from golden.config import NetworkConfig
from golden.gated import GatedNetwork
from golden.lif_network import LIFNetwork
from golden.network import Network
from golden.released_network import ReleasedNetwork

CLASSES = {"sampler": Network, "heaviside": GatedNetwork, "gelu": GatedNetwork, "lif": LIFNetwork}


def build(cfg: NetworkConfig) -> nn.Module:
    """A network with fresh weights.

    Every class has ``forward(v, lengths, dtype, record) -> logits``, ``calibrate``,
    ``parameter_count``, ``cfg``, ``blocks`` and ``decoder`` as :class:`golden.network.Network`.
    """
    if cfg.architecture == "released":
        return ReleasedNetwork(cfg)
    return CLASSES[cfg.neuron](cfg)
