# amaranth: UnusedElaboratable=no
"""What a network needs of a device, before synthesis: multipliers and memories by count, LUTs about."""

from dataclasses import replace

from amaranth.lib import wiring

from quant.artifact import Artifact
from rtl.boards.board import Board
from rtl.coefficients import EngineMemories
from rtl.config import Geometry, HardwareError
from rtl.core import Core
from rtl.decoder import LOW_BITS
from rtl.memory import WideMemory

# Bits of a block RAM and the widths of its port; LUT RAM or flip-flops take smaller memories.
BLOCKS = {"ecp5": (18432, 36), "gowin": (18432, 36), "ice40": (4096, 16), "xilinx": (36864, 72)}
SMALL = {"ecp5": 64 * 36, "gowin": 64 * 36, "ice40": 512, "xilinx": 64 * 36}
# LUTs of the link, of encoder and decoder, of a layer, of a lane: fitted to synthesised cores.
LUTS = {"ecp5": (1300, 800, 900, 550), "gowin": (1300, 900, 1000, 600),
        "ice40": (1300, 1000, 1000, 700), "xilinx": (900, 600, 600, 400)}


def memories(whole) -> list[WideMemory]:
    """Every memory of a component."""
    found, seen = [], set()

    def look(part):
        if id(part) in seen:
            return
        seen.add(id(part))
        if isinstance(part, WideMemory):
            found.append(part)
        elif isinstance(part, (wiring.Component, EngineMemories)):
            for child in vars(part).values():
                for item in child if isinstance(child, list) else [child]:
                    look(item)

    look(whole)
    return found


def blocks(depth: int, width: int, family: str) -> int:
    """Block RAMs of one bank."""
    bits, port = BLOCKS[family]
    if depth * width <= SMALL[family]:
        return 0
    while port > 1 and bits // port < depth:
        port //= 2
    return -(-width // port) * -(-depth // (bits // port))


def needs(board: Board, art: Artifact, lanes: int) -> dict[str, int]:
    """Multipliers, block RAMs and LUTs of a board's bitstream; LUTs are an estimate."""
    core = Core(art, board.hardware(lanes))
    geo, family = core.geo, board.family
    multipliers = len(art.layers) * 4 * lanes + 1 + (core.decoder.total.width > LOW_BITS + 1)
    multipliers += 0 if art.vocab else geo.G
    if art.residual == "plain":
        multipliers += len(art.layers) * geo.G
    ram = sum(blocks(part.depth, bits, family) for part in memories(core)
              for _, bits in part.banks)
    ram += blocks(2 << (art.length - 1).bit_length(), 8, family)        # samples of the link
    link, ends, layer, lane = LUTS[family]
    luts = link + ends + len(art.layers) * (layer + lanes * lane)
    return {"multiplier": multipliers, "block_ram": ram, "lut": luts}


def missing(board: Board, art: Artifact, lanes: int) -> list[str]:
    """Resources that run out, in words; none: it fits."""
    need = needs(board, art, lanes)
    words = {"multiplier": "multipliers", "block_ram": "block RAMs", "lut": "LUTs (estimated)"}
    return [f"{need[kind]} of {board.capacity[kind]} {words[kind]}" for kind in need
            if need[kind] > board.capacity[kind]]


def most(board: Board, art: Artifact) -> int:
    """The largest number of lanes that fits, at most 8; 1 if none does."""
    fits = [p for p in Geometry(art.H, art.n, 1).allowed() if p <= 8 and not missing(board, art, p)]
    return max(fits, default=1)


def check(board: Board, art: Artifact, lanes: int) -> None:
    """Raise :class:`HardwareError`, naming what runs out and the largest configuration that fits."""
    geo = Geometry.of(art, board.hardware(lanes))
    short = missing(board, art, lanes)
    if not short:
        return
    fits = [p for p in geo.allowed() if p < lanes and not missing(board, art, p)]
    if fits:
        advice = f"{max(fits)} lanes fit: --lanes {max(fits)}"
    else:
        layers = [n for n in range(1, len(art.layers))
                  if not missing(board, replace(art, layers=art.layers[:n]), 1)]
        advice = (f"no number of lanes fits; of this shape at most {max(layers)} "
                  f"layer{'s' * (max(layers) > 1)} would, with 1 lane" if layers else
                  "no number of lanes and layers of this shape fits; use fewer neurons or modes")
    raise HardwareError(f"{art.task} with {lanes} lanes needs {', '.join(short)} on {board.name} "
                        f"({board.device}); {advice}")
