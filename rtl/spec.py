"""What the components of a core are made from: the parts of a :class:`rtl.plan.Plan`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from golden.base.qformat import QFormat
from quant.formats import RandomFormat
from quant.integer.artifact import Artifact
from rtl.cut import Cut
from rtl.parts.config import Geometry, HardwareConfig
from rtl.parts.memory import Region


@dataclass(frozen=True)
class LayerSpec:
    """One layer: its operations as hardware has them, and its part of the map."""

    art: Artifact
    number: int
    geo: Geometry
    hw: HardwareConfig
    cut: Cut
    count_bits: int             # of a sequence's saturated states
    tables: bool = False        # the mixers are tables, as rtl.layer.mixers says
    logic: int = 0              # products of LUTs, as rtl.products says
    regions: Mapping[str, Region] = field(default_factory=dict)     # by name, without "layer0."
    cuts: tuple[Cut, ...] = ()  # of each layer, where several share it: ``cut`` has all tensors
    brings: tuple[tuple[str, int], ...] = ()    # bits that a word takes along unread, by name
    two_way: bool = False       # of layers 0, 2, ... the states go from a sequence's end

    @property
    def x_format(self) -> QFormat:
        """Of the layer's input and output."""
        return self.art.x_format

    @property
    def i_format(self) -> QFormat:
        """Of what enters the engine: x, but of a part of a layer."""
        return self.cut.x

    @property
    def longest(self) -> int:
        """Steps of a sequence, at most."""
        return self.hw.longest or self.art.length

    @property
    def random(self) -> RandomFormat:
        return self.art.random

    @property
    def seed(self) -> int:
        """Of the random streams."""
        return self.art.seed

    @property
    def rounding(self) -> str:
        """Of the states: stochastic or half_even; "" without states."""
        return self.cut.states.op.rounding if self.cut.states else ""

    @property
    def spikes_enter(self) -> bool:
        """Whether what enters the states is one bit."""
        fmt = self.cut.formats[self.cut.u]
        return fmt.width == 1 and not fmt.signed

    @property
    def fused(self) -> bool:
        """Whether x is added to what the mixers make."""
        return self.cut.adds_x

    @property
    def saturates(self) -> bool:
        """Whether the output is saturated to x_format and counted."""
        return self.cut.saturates


def starts(spec: LayerSpec, name: str) -> list[Region]:
    """Registers of a kind: one, or each layer's where several share the hardware."""
    if spec.geo.layers == 1:
        return [spec.regions[name]]
    return [spec.regions[f"{name}.{j}"] for j in range(spec.geo.layers)]


@dataclass(frozen=True)
class EndSpec:
    """Encoder or decoder: they read formats and tensors of the artifact's edge."""

    art: Artifact
    geo: Geometry
    hw: HardwareConfig
    x_format: QFormat           # of what flows into layer 0, or out of the last one
    saturates: bool             # x is saturated to x_format and counted, else limited to [0, 1]
    logic: int = 0              # products of LUTs, as rtl.products says
    regions: Mapping[str, Region] = field(default_factory=dict)     # by name


@dataclass(frozen=True)
class Timing:
    """Cycles of a part; it says itself of what."""

    latency: int
    interval: int               # least cycles per step
