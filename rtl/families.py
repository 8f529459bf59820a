"""Families of devices: how yosys maps to each, and the core's configuration for it."""

import argparse
from dataclasses import dataclass

from rtl.parts.config import HardwareConfig, HardwareError
from rtl.parts.single_port import BLOCKS


@dataclass(frozen=True)
class Family:
    """How yosys maps to a family, what its cells are, and its memories' shape."""

    command: str
    cells: dict[str, str]       # kind: pattern of cell names; a cell counts for the first match
    bank_bits: int              # port of a block RAM
    lut_ram_bits: int           # of each memory, for LUT RAM; 0: there is none
    luts_per: dict[str, int]    # LUTs that a cell other than a LUT occupies
    spread: bool                # large devices: more registers
    multiplier: str = ""        # cell of rtl.parts.multiplier.Products
    ram: str = ""               # cell of rtl.parts.bank; with two ports that read and write
    device: str = ""
    capacity: dict[str, int] | None = None

    def hardware(self, lanes: int, signature: bool = False, mixer: str | None = None,
                 folded: bool = False, single_ports: int = 0,
                 longest: int = 0) -> HardwareConfig:
        """A core's configuration for this family's memories and size.

        mixer, folded, single_ports, longest : as in :class:`HardwareConfig`; mixer None: tables
        where they fit, if the family has block RAMs with two ports for them. Raises
        :class:`HardwareError` for tables, or memories with one port, that it has not.
        """
        if mixer == "tables" and not self.ram:
            raise HardwareError(f"--mixer tables: only {', '.join(with_ports())} has block RAMs "
                                f"with two ports here; take --mixer columns")
        if single_ports and "spram" not in self.cells:
            raise HardwareError(f"--spram: {self.device} has no single-port memories; of the "
                                f"families here only ice40 has them, leave it out")
        mixer = mixer or ("fitting" if self.ram else "columns")
        return HardwareConfig(
            lanes, signature, self.bank_bits, self.lut_ram_bits, self.spread, self.multiplier,
            self.capacity["multiplier"] if self.multiplier else 0, self.ram, mixer, folded,
            single_ports, longest)


FAMILIES = {
    "ecp5": Family(
        "synth_ecp5",
        {"multiplier": "MULT18X18D|MULT9X9D", "block_ram": "DP16KD",
         "lut_ram": "TRELLIS_DPR16X4", "lut": "LUT4|CCU2C", "ff": "TRELLIS_FF"},
        36, 5632, {"CCU2C": 2, "TRELLIS_DPR16X4": 6}, True, "MULT18X18D", "DP16KD",
        "LFE5U-85F",
        {"multiplier": 156, "block_ram": 208, "lut": 83640, "ff": 83640}),
    "gowin": Family(
        "synth_gowin -nolutram",    # there a LUT RAM of 16 x 4 bits takes a whole tile
        {"multiplier": "MULT.*", "block_ram": "S?DPX?9?B|SPX?9?", "lut_ram": "RAM16S.*",
         "lut": "LUT[1-8]|ALU", "ff": "DFF.*"},
        32, 0, {"ALU": 1, "RAM16SDP4": 6}, False, "", "", "GW2A-18",
        {"multiplier": 48, "block_ram": 46, "lut": 20736, "ff": 15552}),
    "ice40": Family(
        "synth_ice40 -dsp", {"multiplier": "SB_MAC16", "spram": "SB_SPRAM256KA",
                             "block_ram": "SB_RAM40_4K.*", "lut": "SB_LUT4", "ff": "SB_DFF.*"},
        16, 0, {}, False, "", "", "iCE40UP5K",
        {"multiplier": 8, "block_ram": 30, "spram": BLOCKS, "lut": 5280, "ff": 5280}),
    "xilinx": Family(
        "synth_xilinx -family xc7 -flatten",
        {"multiplier": "DSP48E1", "block_ram": "RAMB36E1|RAMB18E1",
         "lut_ram": "RAM32M|RAM64M|RAM.*X1D|SRL.*", "lut": "LUT[1-6]", "ff": "FD.E.*"},
        36, 5632, {"RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4,
                   "SRL16E": 1, "SRLC32E": 1}, True, "", "", "XC7A35T",
        {"multiplier": 90, "block_ram": 50, "lut": 20800, "ff": 41600}),
}


def with_ports() -> list[str]:
    """Families whose block RAMs tables of weights can be."""
    return [name for name, kind in FAMILIES.items() if kind.ram]


def add_mixer(parser: argparse.ArgumentParser) -> None:
    """``--mixer``, of commands that build for a family."""
    parser.add_argument("--mixer", choices=("columns", "tables"),
                        help="columns of weights, or tables of their sums; default: tables where "
                        "the device has block RAMs for them and they fit")
