"""Which mixer a layer has: columns of weights, or tables of their sums."""

from rtl.layer import columns, mixer, table_build, table_mixer, table_shape
from rtl.layer.mixer import Mixer
from rtl.layer.mixing import MixerTiming, Mixing
from rtl.layer.table_mixer import TableMixer
from rtl.parts.config import HardwareError
from rtl.parts.memory import Region
from rtl.spec import LayerSpec


def tables(spec: LayerSpec) -> bool:
    """Whether a layer has tables, by ``spec.hw.mixer``.

    Raises :class:`HardwareError` where it must have what cannot be.
    """
    columns.check(spec)
    if spec.hw.mixer == "columns":
        return False
    reason = table_shape.misfit(spec)
    if spec.hw.folded and len(spec.art.blocks) > 1:
        reason = "tables have the weights of one layer, folded layers share a mixer"
    if spec.hw.single_ports:
        reason = "tables need two ports, --spram is for a device whose memories have not got them"
    if reason and spec.hw.mixer == "tables":
        raise HardwareError(f"layer {spec.number}: {reason}; or take --mixer columns")
    return not reason


def make(spec: LayerSpec) -> Mixing:
    """The component."""
    return TableMixer(spec) if spec.tables else Mixer(spec)


def timing(spec: LayerSpec) -> MixerTiming:
    """Its timing."""
    return (table_mixer if spec.tables else mixer).timing(spec)


def regions(spec: LayerSpec) -> list[Region]:
    """Its part of the map, without the fuse's."""
    return (table_shape if spec.tables else columns).regions(spec)


def built(spec: LayerSpec) -> list[str]:
    """Regions that something is made of when they are written."""
    return [region.name for region in table_shape.regions(spec)] if spec.tables else []


def spacing(spec: LayerSpec) -> int:
    """Cycles from a write of one of these to the next write, of others 1."""
    return max(table_build.spacing(wire.op.w.fmt.width) for wire in spec.cut.mixes) \
        if spec.tables else 1
