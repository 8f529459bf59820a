# amaranth: UnusedElaboratable=no
"""What a network needs of a device, before synthesis: multipliers, memories, about how many LUTs."""

from dataclasses import replace

from amaranth import Shape

from quant.artifact import Artifact
from rtl import scale
from rtl.boards.board import Board
from rtl.config import Geometry, HardwareError
from rtl.core import Core
from rtl.link_frames import SLOT
from rtl.link_identity import SIZE, sample_bytes
from rtl.mixer import BEHIND
from rtl.streams import most_saturations

# Bits of a block RAM, the width of its port, the largest bank in LUT RAM.
BLOCKS = {"ecp5": (18432, 36, 1024), "gowin": (18432, 36, 0), "ice40": (4096, 16, 0),
          "xilinx": (18432, 36, 1024)}
# LUTs and flip-flops: of link, encoder and decoder; per layer; per bit of a lane's A_bar and h; per
# bit of a layer's sums. Fitted to what yosys made of digits, digits.small, digits.tiny and psmnist;
# within about a tenth. iCE40: logic cells in place of LUTs, as few flip-flops share their LUT's.
LUTS = {"ecp5": (5010, 210, 23.3, 2.28), "gowin": (2660, 930, 16, 1.28),
        "ice40": (1850, 1400, 40, 2.7), "xilinx": (1600, 100, 14, 1.75)}
FFS = {"ecp5": (1220, 1195, 26.8, 2.0), "gowin": (1200, 940, 14, 2.2),
       "ice40": (880, 940, 14, 2.2), "xilinx": (1220, 1195, 8.5, 2.0)}


def blocks(depth: int, width: int, family: str) -> int:
    """Block RAMs of one memory, bank by bank as wide as a port."""
    bits, port, small = BLOCKS[family]
    found = 0
    for bank in [port] * (width // port) + [width % port] * (width % port > 0):
        if depth * bank > small:
            ratio = port
            while ratio > 1 and bits // ratio < depth:
                ratio //= 2
            found += -(-bank // ratio) * -(-depth // (bits // ratio))
    return found


def block_rams(core: Core, family: str) -> int:
    """Block RAMs of a core and its link."""
    art, geo = core.art, core.geo
    found = 0
    plain = [(2 * geo.words, geo.G * core.decoder.total.width)]     # its second reader
    for memory in scale.memories(core):
        if core.hw.lut_ram_bits and memory.name not in ("buffer", "decoder"):
            found += memory.blocks      # what is marked for LUT RAM does not count
        else:
            plain.append((memory.rows, memory.bits))
    for layer in core.layers:
        plain += [(BEHIND, Shape.cast(layer.mixer.fuse.i.payload.shape()).width),
                  (core.max_in_flight + 1, most_saturations(art).width)]
    plain += [(2 * SLOT, 8), (SLOT, 8), (2 * SIZE, 8),
              (2 << (art.length - 1).bit_length(), 8 * sample_bytes(art))]
    found += sum(blocks(*memory, family) for memory in plain)
    return -(-found // 2) if family == "xilinx" else found      # two of its halves are one


def needs(board: Board, art: Artifact, lanes: int) -> dict[str, int]:
    """Multipliers and block RAMs of a board's bitstream; an estimate of LUTs and flip-flops."""
    core = Core(art, board.hardware(lanes))
    family = board.family
    found = {"multiplier": scale.multipliers(core),
             "block_ram": block_rams(core, family)}
    sums = art.H * sum(layer.mixer.acc.width for layer in core.layers)
    lane_bits = lanes * sum(layer.fmt.a_bar.width + layer.fmt.h.width for layer in art.layers)
    for kind, table in (("lut", LUTS), ("ff", FFS)):
        ends, layer, lane, per_sum = table[family]
        found[kind] = round(ends + layer * len(art.layers) + lane * lane_bits + per_sum * sums)
    rows = core.geo.Q * core.geo.G * sum(layer.fmt.w.width for layer in art.layers)
    found["ff"] += rows + art.outputs * core.decoder.logit.width
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
