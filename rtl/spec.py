"""What the components of a core are made from: the parts of a :class:`rtl.plan.Plan`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from quant.integer.artifact import Artifact
from quant.integer.spiking import Layer
from golden.base.qformat import QFormat
from quant.formats import LayerFormats, RandomFormat
from rtl.parts.config import Geometry, HardwareConfig
from rtl.parts.memory import Region


@dataclass(frozen=True)
class LayerSpec:
    """One layer: what its components compute, with which numbers, and its part of the map."""

    art: Artifact               # for the components' models alone
    number: int
    geo: Geometry
    hw: HardwareConfig
    tensors: Layer
    x_format: QFormat           # of the layer's input and output
    affine: bool                # alpha x + beta is sampled, else x
    relu: bool                  # behind the mixer's bias, else nothing
    fused: bool                 # x is added to what the mixer makes
    saturates: bool             # the output is saturated to x_format and counted, else limited
                                # to the probabilities [0, 1]
    rounding: str               # of the states: stochastic or half_even
    sampling: str               # form of the samplers, see quant.integer.sampling
    p_bits: tuple[int, int]     # fraction bits of the input's and the output sampler's values
    directions: np.ndarray      # (2, columns) of the two samplers, sobol only
    random: RandomFormat
    seed: int                   # of the random streams
    count_bits: int             # of a sequence's saturated states
    regions: Mapping[str, Region] = field(default_factory=dict)     # by name, without "layer0."

    @property
    def fmt(self) -> LayerFormats:
        return self.tensors.fmt


@dataclass(frozen=True)
class EndSpec:
    """Encoder or decoder: they read formats and tensors of the artifact's edge."""

    art: Artifact
    geo: Geometry
    hw: HardwareConfig
    x_format: QFormat           # of what flows into layer 0, or out of the last one
    saturates: bool             # as of LayerSpec
    regions: Mapping[str, Region] = field(default_factory=dict)     # by name


@dataclass(frozen=True)
class Timing:
    """Cycles of a part; it says itself of what."""

    latency: int
    interval: int               # least cycles per step
