"""Rules of the hardware that is drawn."""

from golden.base.qformat import QFormat
from rtl.parts.config import MIXERS, Geometry
from rtl.parts.single_port import BLOCKS

LONGEST_BOTH = 64   # of sequences that are kept whole
TABLE_BITS = 7      # of weights whose tables always fit; of one more it depends on the numbers


def geometry(shape) -> Geometry:
    """Of its lanes, which divide the modes; neurons without modes count as those of one."""
    return Geometry(shape.H, max(1, shape.n), shape.lanes, shape.block,
                    shape.layers if shape.folded or shape.two_sided else 1)


def rules(shape, w: QFormat) -> dict[str, bool]:
    """Whether each is kept by a shape with weights of this format."""
    must = shape.mixer == "tables"
    bits = shape.options.get("neuron", "step") == "step" and shape.kind != "gsu"
    return {
        f"a mixer is one of {', '.join(MIXERS)}": shape.mixer in MIXERS,
        f"a device has up to {BLOCKS} memories of one port": 0 <= shape.single_ports <= BLOCKS,
        "tables read spikes of one bit": bits or not must,
        f"tables have weights of up to {TABLE_BITS} bits":
            w.width <= TABLE_BITS or shape.mixer == "columns",
        "tables are of one layer's weights": not (
            must and (shape.folded or shape.two_sided) and shape.layers > 1),
        f"two sides are of states updated step by step, and of up to {LONGEST_BOTH} steps":
            not shape.two_sided or shape.n > 0 and shape.block == 1
            and shape.length <= LONGEST_BOTH,
        "tables need two ports": not (must and shape.single_ports),
        "two sums a cycle hold no engine up":
            not must or geometry(shape).values <= 2 and (shape.block == 1 or shape.H % 2 == 0)}
