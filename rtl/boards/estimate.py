"""What a network needs of a device, before synthesis: multipliers, memories, LUTs (roughly)."""

from collections import Counter
from dataclasses import replace

from quant.integer.artifact import Artifact
from rtl import products, scale
from rtl.boards import smaller
from rtl.boards.board import Board
from rtl.parts.config import Geometry, HardwareError
from rtl.decoder import logit_format, total_format
from rtl.layer import columns
from rtl.layer.fuse import totals
from rtl.layer.table_shape import TableShape
from rtl.link.frames import SLOT
from rtl.link.identity import SIZE
from rtl.link.player import buffer_shape
from rtl.parts import single_port
from rtl.plan import Plan, check_link, plan
from rtl.spec import LayerSpec

# Bits of a block RAM, the width of its port, the largest bank in LUT RAM.
BLOCKS = {"ecp5": (18432, 36, 1024), "gowin": (18432, 36, 0), "ice40": (4096, 16, 0),
          "xilinx": (18432, 36, 1024)}
# What the memories are for, in words.
PARTS = {"modes": "coefficients", "weights": "mixer weights", "fuse": "biases", "buffer": "queues"}
# LUTs and flip-flops: of link, encoder and decoder; per layer; per bit of a lane's A_bar and h; per
# bit of a layer's sums; per bit of the adders and products that work on them in a cycle. Fitted to
# what yosys made of digits, digits.small, digits.tiny and psmnist, on the ECP5 also of every kind
# of network (docs/boards.md). iCE40: logic cells in place of LUTs, as few flip-flops share their
# LUT's. Elsewhere the adders are in the sums, as those of a quarter or an eighth of a layer.
LUTS = {"ecp5": (5540, 690, 15.7, 1.15, 1.47), "gowin": (2660, 930, 16, 1.28, 0),
        "ice40": (1850, 1400, 40, 2.7, 0), "xilinx": (1600, 100, 14, 1.75, 0)}
FFS = {"ecp5": (1220, 1195, 26.8, 2.0, 0), "gowin": (1200, 940, 14, 2.2, 0),
       "ice40": (880, 940, 14, 2.2, 0), "xilinx": (1220, 1195, 8.5, 2.0, 0)}

PRODUCT = 330   # LUTs of a product without a multiplier


def blocks(depth: int, width: int, family: str) -> int:
    """Block RAMs of one memory, bank by bank as wide as a port."""
    bits, port, small = BLOCKS[family]
    found = 0
    for bank in [port] * (width // port) + [width % port] * (width % port > 0):
        if depth * bank > small:
            ratio = port
            while ratio > 1 and _rows(bits, ratio) < depth:
                ratio //= 2
            found += -(-bank // ratio) * -(-depth // _rows(bits, ratio))
    return found


def _rows(bits: int, ratio: int) -> int:
    """Rows of a block RAM at a port so wide; below 9 bits one in nine, the parity, lies idle."""
    return (bits if ratio >= 9 or bits % 9 else bits // 9 * 8) // ratio


def block_rams(planned: Plan, family: str) -> Counter:
    """Block RAMs of a core and its link, by what they hold; on Xilinx in halves."""
    art, geo = planned.art, planned.geo
    found, plain = Counter(), []
    for memory in scale.memories(planned):
        name = PARTS.get(memory.name, memory.name)
        if memory.name == "encoder" and art.vocab:
            name = f"embedding of {art.vocab} tokens"
        if planned.hw.lut_ram_bits and memory.name not in ("buffer", "decoder"):
            found[name] += memory.blocks        # what is marked for LUT RAM does not count
        else:
            plain.append((name, memory.rows, memory.bits))
    plain.append(("decoder", 2 * geo.words,     # a second reader
                  geo.G * total_format(planned.decoder).width))
    plain += [("queues", planned.max_in_flight + 1, planned.count_bits)] * len(art.blocks)
    (depth, bits), what = buffer_shape(art), "tokens" if art.vocab else "samples"
    plain += [("link", 2 * SLOT, 8), ("link", SLOT, 8), ("link", 2 * SIZE, 8),
              (f"two sequences of {art.length} {what}", 2 * depth, bits)]
    for name, rows, width in plain:
        found[name] += blocks(rows, width, family)
    return found


def count(board: Board, held: Counter) -> int:
    """Whole block RAMs of some halves, or of whole ones."""
    return -(-held.total() // 2) if board.family == "xilinx" else held.total()


def needs(board: Board, art: Artifact, lanes: int) -> dict[str, int]:
    """Multipliers and block RAMs of a board's bitstream; an estimate of LUTs and flip-flops."""
    planned = plan(art, board.hardware(lanes))
    check_link(planned)
    family = board.family
    found = {"multiplier": products.multipliers(*planned.parts),
             "block_ram": count(board, block_rams(planned, family))}
    if planned.hw.single_ports:
        found["spram"] = sum(single_port.blocks(region.depth, region.width)
                             for region in planned.regions if region.single_port)
    geo, columned = planned.geo, [spec for spec in planned.layers if not spec.tables]
    sums = sum(value.shape.width for spec in columned for value in totals(spec).values())
    sums *= geo.P       # each step has its own
    rows = geo.Q * geo.values * sum(columns.product_bits(wire) for spec in columned
                                    for wire in spec.cut.mixes)
    states = [spec.cut.states.op for spec in planned.layers if spec.cut.states]
    lane_bits = lanes * sum(op.a_re.fmt.width + op.h.width for op in states)
    lane_bits *= 5 / 4 if geo.P > 1 else 1      # as its products
    numbers = 1, len(planned.layers), lane_bits, geo.H * sums, geo.Q * sums + rows
    for kind, table in (("lut", LUTS), ("ff", FFS)):
        found[kind] = round(sum(each * number for each, number in zip(table[family], numbers)))
    for spec in planned.layers:
        for kind, number in _tables(spec).items():
            found[kind] += number
    found["lut"] += PRODUCT * products.logic(*planned.parts)
    found["ff"] += rows + art.outputs * logit_format(planned.decoder).width
    return found


def _tables(spec: LayerSpec) -> dict[str, int]:
    """LUTs and flip-flops of mixers that are tables, from one of 64 neurons on the ECP5."""
    if not spec.tables:
        return {}
    geo, mixers, shape = spec.geo, len(spec.cut.mixes), TableShape(spec.geo.H)
    leaves = shape.groups * geo.values
    return {"lut": mixers * (450 + 25 * leaves + 65 * shape.banks),
            "ff": mixers * (230 + 14 * leaves) + 2 * geo.P * geo.H}


def missing(board: Board, art: Artifact, lanes: int) -> list[str]:
    """Kinds of resources that run out; none: it fits."""
    need = needs(board, art, lanes)
    return [kind for kind in need if need[kind] > board.capacity[kind]]


def most(board: Board, art: Artifact) -> int:
    """The largest number of lanes that fits, at most 8; 1 if none does."""
    fits = [p for p in Geometry.of(art, 1).allowed() if p <= 8 and not missing(board, art, p)]
    return max(fits, default=1)


def choose(board: Board, art: Artifact, lanes: int | None = None) -> tuple[Board, int]:
    """A board with its mixers, where it does not say which, and the lanes, where they are None.

    Tables, but columns where only those fit, or where those leave room for more lanes. Raises
    :class:`HardwareError` as :func:`check` does.
    """
    free = board.mixer is None and board.mapping.ram
    kinds = [board, replace(board, mixer="columns")] if free else [board]

    def found(kind: Board) -> tuple[bool, int]:
        number = lanes or most(kind, art)
        return not missing(kind, art, number), number
    best = max(kinds, key=found)        # the first of equals
    check(best, art, found(best)[1])
    return best, found(best)[1]


def check(board: Board, art: Artifact, lanes: int) -> None:
    """Raise :class:`HardwareError`, naming what runs out, what fills it, and what would fit."""
    geo = plan(art, board.hardware(lanes)).geo
    kinds = missing(board, art, lanes)
    if not kinds:
        return
    need = needs(board, art, lanes)
    words = {"multiplier": "multipliers", "block_ram": f"block RAMs ({_filled(board, art, lanes)})",
             "lut": "LUTs (estimated)", "ff": "flip-flops (estimated)"}
    short = [f"{need[kind]} of {board.capacity[kind]} {words[kind]}" for kind in kinds]
    fits = [p for p in geo.allowed() if p < lanes and not missing(board, art, p)]
    if fits:
        advice = f"at most --lanes {max(fits)} fits"
    else:
        found = [text for text, other in smaller.variants(art) if not missing(
            replace(board, longest=min(board.longest, other.length)), other, 1)]
        advice = ("no number of lanes fits; " + (
            f"of this shape {' or '.join(smaller.best(found))} would, with 1 lane" if found else
            "fewer layers, neurons or steps alone do not help either: use a smaller network"))
    raise HardwareError(f"{art.task} with {lanes} lane{'s' * (lanes > 1)} needs {', '.join(short)} "
                        f"on {board.name} ({board.device}); {advice}")


def _filled(board: Board, art: Artifact, lanes: int) -> str:
    """What most block RAMs hold, the largest first."""
    held = block_rams(plan(art, board.hardware(lanes)), board.family)
    return ", ".join(f"{name} {count(board, Counter({name: number}))}"
                     for name, number in held.most_common(3))
