# amaranth: UnusedElaboratable=no
"""What a network needs of a device, before synthesis: multipliers, memories, about how many LUTs."""

from dataclasses import replace

from quant.artifact import Artifact
from rtl.boards.board import Board
from rtl.config import Geometry, HardwareError
from rtl.core import Core
from rtl.decoder import LOW_BITS
from rtl.image import parts
from rtl.link_frames import SLOT
from rtl.link_identity import SIZE, sample_bytes
from rtl.memory import WideMemory

# Bits of a block RAM, the width of its port, the largest memory for LUT RAM or flip-flops.
BLOCKS = {"ecp5": (18432, 36, 1024), "gowin": (18432, 36, 256), "ice40": (4096, 16, 256),
          "xilinx": (36864, 72, 1024)}
# LUTs and flip-flops: of link, encoder and decoder; per class; of a layer with one lane; of a layer
# per neuron; per further lane. Fitted to what yosys made of digits, psmnist and small cores; within
# about a tenth.
LUTS = {"ecp5": (930, 100, 2600, 38, 700), "gowin": (2110, 100, 1470, 18, 700),
        "ice40": (2300, 100, 1650, 20, 800), "xilinx": (1300, 60, 900, 12, 500)}
FFS = {"ecp5": (1250, 160, 1570, 32, 730), "gowin": (1250, 160, 1570, 32, 730),
       "ice40": (2400, 160, 1570, 32, 730), "xilinx": (1250, 160, 1570, 32, 730)}


def memories(whole) -> list[WideMemory]:
    """Every memory of a component."""
    return [part for part in parts(whole) if isinstance(part, WideMemory)]


def blocks(depth: int, width: int, family: str) -> int:
    """Block RAMs of one bank."""
    bits, port, small = BLOCKS[family]
    if depth * width <= small:
        return 0
    while port > 1 and bits // port < depth:
        port //= 2
    return -(-width // port) * -(-depth // (bits // port))


def needs(board: Board, art: Artifact, lanes: int) -> dict[str, int]:
    """Multipliers and block RAMs of a board's bitstream; an estimate of LUTs and flip-flops."""
    core = Core(art, board.hardware(lanes))
    geo, family = core.geo, board.family
    multipliers = len(art.layers) * 4 * lanes + 1 + (core.decoder.total.width > LOW_BITS + 1)
    multipliers += 0 if art.vocab else geo.G
    if art.residual == "plain":
        multipliers += len(art.layers) * geo.G
    banks = [(part.depth, bits) for part in memories(core) for _, bits in part.banks]
    banks += [(2 * art.H, core.decoder.total.width), (2 * SLOT, 8), (SIZE, 8),
              (2 << (art.length - 1).bit_length(), 8 * sample_bytes(art))]
    found = {"multiplier": multipliers, "block_ram": sum(blocks(*bank, family) for bank in banks)}
    for kind, table in (("lut", LUTS), ("ff", FFS)):
        ends, per_class, layer, neuron, lane = table[family]
        found[kind] = ends + per_class * art.n_classes + len(art.layers) * (
            layer + neuron * art.H + (lanes - 1) * lane)
    return found


def missing(board: Board, art: Artifact, lanes: int) -> list[str]:
    """Resources that run out, in words; none: it fits."""
    need = needs(board, art, lanes)
    words = {"multiplier": "multipliers", "block_ram": "block RAMs", "lut": "LUTs (estimated)",
             "ff": "flip-flops (estimated)"}
    return [f"{need[kind]} of {board.capacity[kind]} {words[kind]}" for kind in need
            if need[kind] > board.capacity[kind]]


def most(board: Board, art: Artifact) -> int:
    """The largest number of lanes that fits, at most 8; 1 if none does."""
    fits = [p for p in Geometry(art.H, art.n, 1).allowed() if p <= 8 and not missing(board, art, p)]
    return max(fits, default=1)


def check(board: Board, art: Artifact, lanes: int) -> None:
    """Raise :class:`HardwareError`, naming what runs out and the largest that would fit."""
    geo = Geometry.of(art, board.hardware(lanes))
    short = missing(board, art, lanes)
    if not short:
        return
    fits = [p for p in geo.allowed() if p < lanes and not missing(board, art, p)]
    if fits:
        advice = f"at most --lanes {max(fits)} fits"
    else:
        layers = [n for n in range(1, len(art.layers))
                  if not missing(board, replace(art, layers=art.layers[:n]), 1)]
        advice = (f"no number of lanes fits; of this shape at most {max(layers)} "
                  f"layer{'s' * (max(layers) > 1)} would, with 1 lane" if layers else
                  "no number of lanes and layers of this shape fits; use fewer neurons or modes")
    raise HardwareError(f"{art.task} with {lanes} lane{'s' * (lanes > 1)} needs {', '.join(short)} "
                        f"on {board.name} ({board.device}); {advice}")
