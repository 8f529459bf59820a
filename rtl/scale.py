"""``python -m rtl.scale --artifact DIR``: multipliers, cycles and memory for every number of lanes.

Arithmetic only, nothing is synthesised; ``rtl.synth`` counts what yosys really infers. ``--paper``
takes the shape of the paper's own psMNIST network, 2 layers of 400 neurons with d_state 64 (n = 32
complex modes), with random contents.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from golden.base import cli
from quant.integer import artifact
from quant.integer.artifact import Artifact
from golden.base.qformat import SQ
from quant.formats import LayerFormats
from quant.integer.lfsr import LONG
from quant.integer.synthetic import random_artifact
from rtl import products
from rtl.parts.config import HardwareConfig, HardwareError
from rtl.cut import cut
from rtl.cycles import cycles_per_step
from rtl.decoder import total_format
from rtl.layer import chains, mixers, ternary
from rtl.layer.fuse import totals
from rtl.layer.table_shape import TableShape, row_bits
from rtl.layer.ternary import BANKS
from rtl.parts.bank import PairBank
from rtl.parts.memory import Region, banks, block_banks, rows_built
from rtl.plan import Plan, plan
from rtl.spec import LayerSpec
from rtl.families import FAMILIES

SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))    # of a DP16KD
PAPER = dict(n_layers=2, H=400, n=32, n_classes=10, length=784)
# What a region is for, by its name without a number.
HOLDS = {"encoder": "encoder", "state_coefficients": "modes", "neuron_coefficients": "neurons",
         "input_coefficients": "inputs", "output_coefficients": "outputs",
         "directions_in": "samplers", "directions_out": "samplers", "fuse": "fuse",
         "decoder.w": "decoder", "decoder.b": "decoder"}
CLOCK = 100.0       # MHz, of the table's times
MOST = 256          # products of the lanes, in a table that names no numbers of them


def block_rams(rows: int, bits: int) -> int:
    """DP16KDs of a memory with one write and one read port, in the best of their shapes."""
    return min(-(-rows // depth) * -(-bits // width) for depth, width in SHAPES)


@dataclass(frozen=True)
class Memory:
    """One memory of a core: what it holds, its shape, and where its bits go."""

    name: str
    rows: int
    bits: int           # of a row
    blocks: int         # DP16KD
    lut_ram_bits: int


def _wide(name: str, depth: int, width: int, hw: HardwareConfig) -> Memory:
    """A :class:`rtl.parts.memory.WideMemory`."""
    depth, found = rows_built(depth), banks(width, hw)
    cut = block_banks(depth, width, hw)
    return Memory(name, depth, width, sum(block_rams(depth, bits) for _, bits in found[:cut]),
                  depth * sum(bits for _, bits in found[cut:]))


def _plain(name: str, rows: int, bits: int) -> Memory:
    return Memory(name, rows, bits, block_rams(rows, bits), 0)


def _mapped(regions: Mapping[str, Region], hw: HardwareConfig, but=()) -> list[Memory]:
    """What lies on the configuration bus, but registers, memories with one port, those regions."""
    return [_wide(_holds(name), region.depth, region.width, hw)
            for name, region in regions.items()
            if not (region.register or region.single_port or name in but)]


def _tables(spec: LayerSpec) -> list[Memory]:
    """The mixers' tables of weights, and the rows' sums."""
    if not spec.tables:
        return []
    shape, found = TableShape(spec.geo.H), []
    for value in totals(spec).values():
        depth = shape.per_bank * shape.rows
        found += [Memory("weights", depth, PairBank.bits, 1, 0)] * shape.banks
        found.append(_wide("weights", shape.pairs, 2 * row_bits(value.shape), spec.hw))
    return found


def _holds(name: str) -> str:
    """What a region is for."""
    return HOLDS.get(name) or ("weights" if name.startswith("mixer.") else "tables")


def _sequence(spec: LayerSpec) -> list[Memory]:
    """What is kept of a whole sequence: what enters the states, sums of the future, and x."""
    rows, G = spec.longest * spec.geo.words, spec.geo.G
    u, = spec.cut.states.formats
    found = [_plain("sequence", rows, G * u.width),
             _wide("sequence", rows, G * spec.cut.future.made.width, spec.hw)]
    if spec.fused:
        found.append(_plain("sequence", rows, G * spec.x_format.width + 1))
    return found


def memories(planned: Plan) -> list[Memory]:
    """Every memory of a core but the queues of a few words; ``name`` says what it is for."""
    geo, hw = planned.geo, planned.hw
    found = _mapped(planned.encoder.regions, hw)
    for spec, timing in zip(planned.layers, planned.timing.layers):
        if spec.cut.states:
            width, sides = 2 * geo.lanes * spec.cut.states.op.h.width, 1 + bool(spec.cut.future)
            found.append(_wide("states", sides * spec.geo.rows, width, hw))
        found += _mapped(spec.regions, hw, mixers.built(spec)) + _tables(spec)
        found += [_wide(*memory, hw) for flow in chains.flows(spec, totals(spec))
                  for memory in flow.memories]
        if spec.cut.ternary:
            found.append(_plain("buffer", BANKS * geo.words, ternary.kept(spec).size))
        if spec.cut.future:
            found += _sequence(spec)
            continue
        buffer = _plain("buffer", timing.banks * geo.words, geo.values * spec.x_format.width)
        found += [buffer] * (1 + spec.fused)
    sums = _plain("decoder", 2 << (geo.words - 1).bit_length(),
                    geo.G * total_format(planned.decoder).width)
    return [*found, *_mapped(planned.decoder.regions, hw), sums]


def row(art: Artifact, lanes: int) -> dict:
    """The numbers of one configuration on an ECP5-85F."""
    kind = FAMILIES["ecp5"]
    planned = plan(art, kind.hardware(lanes))
    found = memories(planned)
    bits: dict[str, int] = {}
    for memory in found:
        bits[memory.name] = bits.get(memory.name, 0) + memory.rows * memory.bits
    blocks, taken = sum(memory.blocks for memory in found), products.multipliers(*planned.parts)
    return {"lanes": lanes, "multipliers": taken, "cycles_per_step": cycles_per_step(planned),
            "bits": bits, "block_rams": blocks,
            "lut_ram_bits": sum(memory.lut_ram_bits for memory in found),
            "exceeded": [name for name, used, limit in (
                ("multipliers", taken, kind.capacity["multiplier"]),
                ("block RAM", blocks, kind.capacity["block_ram"])) if used > limit]}


def table(art: Artifact, rows: list[dict]) -> str:
    """Markdown: one line per number of lanes."""
    block = cut(art, 0)
    op, w = block.states and block.states.op, block.mixes[0].op.w.fmt.width
    widths = f"states {op.h.width}, A {op.a_re.fmt.width}, g {op.g_re.fmt.width}, " if op else ""
    lines = [f"{art.task}, {len(art.blocks)} x {art.H} neurons of {art.n} modes; {widths}"
             f"W {w} bits", "",
             f"| lanes | multipliers | cycles/step | us/step at {CLOCK:g} MHz | states kbit "
             "| coefficients kbit | W kbit | all kbit | DP16KD of 208 | on an ECP5-85F |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for r in rows:
        kbit = {"states": 0.0, "modes": 0.0} | {name: number / 1000
                                                for name, number in r["bits"].items()}
        verdict = f"too many: {', '.join(r['exceeded'])}" if r["exceeded"] else "fits"
        lines.append(
            f"| {r['lanes']} | {r['multipliers']} | {r['cycles_per_step']:g} | "
            f"{r['cycles_per_step'] / CLOCK:.2f} | {kbit['states']:.0f} | {kbit['modes']:.0f} | "
            f"{kbit['weights']:.0f} | {sum(kbit.values()):.0f} | {r['block_rams']} | {verdict} |")
    return "\n".join(lines)


def paper(state: int, a: int, g: int, weights: int) -> Artifact:
    """Random contents in the paper's shape, with so many bits a number."""
    if not (8 <= state <= 18 and 8 <= a <= 18 and 6 <= g <= 18 and 2 <= weights <= 8):
        raise HardwareError("--state and --a must be from 8 to 18 bits, --g from 6 to 18, "
                            "--weights from 2 to 8")
    fmt = LayerFormats(h=SQ(5, state - 5), drive=SQ(4, state - 5), a_bar=SQ(1, a - 1),
                       g=SQ(1, g - 1), w=SQ(weights, 0))
    return random_artifact(1, fmt=fmt, random=LONG, **PAPER)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m rtl.scale", description=__doc__.split("\n\n")[1])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--artifact", type=Path, metavar="DIR")
    which.add_argument("--paper", action="store_true", help="2 x 400 neurons, d_state 64")
    parser.add_argument("--lanes", default="", metavar="1,2,4", help="default: all whose "
                        f"products fit {MOST}")
    parser.add_argument("--state", type=int, default=16, metavar="BITS", help="with --paper")
    parser.add_argument("--a", type=int, default=16, metavar="BITS")
    parser.add_argument("--g", type=int, default=16, metavar="BITS")
    parser.add_argument("--weights", type=int, default=4, metavar="BITS")
    args = parser.parse_args(argv)
    return cli.code("rtl.scale", lambda: show(args))


def show(args: argparse.Namespace) -> None:
    """The table of the options' network."""
    art = (paper(args.state, args.a, args.g, args.weights) if args.paper
           else artifact.load(args.artifact))
    if args.lanes and not all(part.isdecimal() for part in args.lanes.split(",")):
        raise HardwareError(f"--lanes {args.lanes}: write whole numbers, such as 1,2,4")
    alone = plan(art, HardwareConfig(1))
    each = max(1, sum(map(products.of_lane, alone.layers)))
    chosen = ([int(part) for part in args.lanes.split(",")] if args.lanes else
              [lanes for lanes in alone.geo.allowed() if each * lanes <= MOST])
    print(table(art, [row(art, lanes) for lanes in chosen]))


if __name__ == "__main__":
    sys.exit(main())
