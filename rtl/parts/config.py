"""How an artifact is laid out in hardware: lanes, words and the schedule that follows."""

import argparse
import sys
from dataclasses import dataclass

from golden.base.cli import UserError
from rtl.parts.single_port import BLOCKS

MIXERS = ("columns", "tables", "fitting")


class HardwareError(UserError):
    """A hardware configuration that does not fit the artifact; the message says what does."""


@dataclass(frozen=True)
class HardwareConfig:
    """Parameters of one generated core."""

    lanes: int = 8              # complex modes updated per cycle in every layer
    signature: bool = True      # compute the CRC per layer and step (verification builds)
    bank_bits: int = 36         # widest memory bank, a block RAM's port: 36, 18 or 16 bits
    lut_ram_bits: int = 0       # a memory's highest banks, so many bits, are marked for LUT RAM
    spread: bool = True         # more registers, as parts of a large device are far apart
    multiplier: str = ""        # the device's cell for products between registers; "": plain logic
    multipliers: int = 0        # that the device has, with `multiplier`; 0: enough of them
    block_ram: str = ""         # its block RAM with a register behind the rows; "": plain logic
    mixer: str = "columns"      # "tables": of sums of weights; "fitting": these where they can be
    folded: bool = False        # one engine and one mixer for all layers, one after the other
    single_ports: int = 0       # memories of 16k x 16 bits with one port, without a content
    longest: int = 0            # steps of a two-sided network's sequences, at most; 0: any it has
    logits_apart: bool = False  # they leave one by one as they are made, not all with the result

    def __post_init__(self):
        if self.mixer not in MIXERS:
            raise HardwareError(f"mixer must be one of {', '.join(MIXERS)}, not {self.mixer}")
        # A bank lies in at most two consecutive 32-bit words of the configuration bus.
        if not (1 <= self.bank_bits <= 32 or self.bank_bits == 36):
            raise HardwareError(f"bank_bits must be 1..32 or 36, not {self.bank_bits}")


def add_folded(parser: argparse.ArgumentParser) -> None:
    """The options ``--folded``, and ``--longest`` of networks that always are."""
    parser.add_argument("--folded", action="store_true",
                        help="one engine and one mixer for all layers, one after the other: a "
                        "small core, whose steps take as many times longer; layers must have the "
                        "same formats")
    parser.add_argument("--longest", type=int, default=0, metavar="STEPS",
                        help="sequences of so many steps at most, of a network with two-sided "
                        "kernels, which keeps whole ones; default: as long as the network's task "
                        "has them")


def add_spram(parser: argparse.ArgumentParser) -> None:
    """The option ``--spram``, which gives a number of blocks."""
    parser.add_argument("--spram", action="store_const", const=BLOCKS, default=0,
                        help=f"the largest memories that the bus writes in the {BLOCKS} "
                        f"single-port blocks of an iCE40UP5K; the network is uploaded, as they "
                        f"have no content of their own")


def add_hardware(parser: argparse.ArgumentParser) -> None:
    """The options of a core for no device in particular, but for its lanes."""
    parser.add_argument("--mixer", choices=MIXERS, default=HardwareConfig.mixer,
                        help="columns of weights; tables of their sums, for block RAMs with two "
                        "ports; fitting: these where they fit; default: %(default)s")
    add_folded(parser)
    add_spram(parser)


def with_options(lanes: int, args: argparse.Namespace, **more) -> HardwareConfig:
    """Of :func:`add_hardware`."""
    return HardwareConfig(lanes, mixer=args.mixer, folded=args.folded, single_ports=args.spram,
                          longest=args.longest, **more)


def allowed(H: int, n: int) -> list[int]:
    """Every number of lanes that fits H neurons of n modes; 1 is one of them.

    Without modes (n = 0) a neuron takes a cycle of a lane, as with one.
    """
    n = max(1, n)
    divisors = [p for p in range(1, n) if n % p == 0]
    return divisors + [g * n for g in range(1, H + 1) if H % g == 0]


def lanes_for(given: int | None, H: int, n: int) -> int:
    """``given``, else the most lanes up to the usual ones that fit; fewer than those are said."""
    if given is not None:
        return given
    usual, fitting = HardwareConfig.lanes, allowed(H, n)
    lanes = max(p for p in fitting if p <= usual)
    if lanes < usual:
        print(f"{usual} lanes do not divide {H} neurons of {n} modes: taking {lanes}; --lanes "
              f"chooses one of {', '.join(map(str, fitting))}", file=sys.stderr)
    return lanes


@dataclass(frozen=True)
class Geometry:
    """The numbers that follow from an artifact's shape and a :class:`HardwareConfig`.

    A *word* is what one transfer between components carries: ``G`` neurons in each of ``P`` steps,
    the first step's values first. The ``P`` steps that go together are a *block* of steps. The
    state engine spends ``F`` cycles on a word, ``M`` modes of each of its neurons per cycle, so
    ``lanes = G M``. The mixer spends ``K <= F`` cycles on a word, ``Q`` outputs of each step per
    cycle: it never holds the engine up.
    """

    H: int          # neurons per layer
    n: int          # complex modes per neuron
    lanes: int
    P: int = 1      # steps per word: those that one update of the states takes
    layers: int = 1     # that share the hardware; a word then says which one it is of

    def __post_init__(self):
        if self.lanes < 1:
            raise HardwareError(f"lanes must be at least 1, not {self.lanes}")
        if not (self.n % self.lanes == 0 or
                (self.lanes % self.n == 0 and self.H % (self.lanes // self.n) == 0)):
            raise HardwareError(f"{self.lanes} lanes do not divide {self.H} neurons of {self.n} "
                                f"modes; allowed: {', '.join(map(str, self.allowed()))}")

    @classmethod
    def of(cls, art, lanes: int) -> "Geometry":
        """Of an artifact; neurons without modes count as those of one."""
        return cls(art.H, max(1, art.n), lanes, art.block)

    def allowed(self) -> list[int]:
        """Every number of lanes that fits."""
        return allowed(self.H, self.n)

    @property
    def G(self) -> int:
        """Neurons per word."""
        return max(1, self.lanes // self.n)

    @property
    def values(self) -> int:
        """Values per word: value p G + g is that of neuron g in step p."""
        return self.P * self.G

    @property
    def M(self) -> int:
        """Modes of one neuron per cycle."""
        return min(self.lanes, self.n)

    @property
    def F(self) -> int:
        """Cycles of the state engine per word."""
        return self.n // self.M

    @property
    def words(self) -> int:
        """Words per block of steps."""
        return self.H // self.G

    @property
    def issue(self) -> int:
        """Cycles of the state engine per block, H n / lanes: the multiplier roofline."""
        return self.words * self.F

    @property
    def roofline(self) -> int | float:
        """Cycles of the state engine per time step, of all layers that share it; a whole number
        where it is one."""
        return self.rows / self.P if self.rows % self.P else self.rows // self.P

    def blocks(self, steps: int) -> int:
        """Blocks of a sequence; the last one of an odd number of steps is half."""
        return -(-steps // self.P)

    @property
    def rows(self) -> int:
        """Rows of states, those of all layers that share the hardware."""
        return self.layers * self.issue

    @property
    def neuron_rows(self) -> int:
        """Rows of what each neuron has, likewise."""
        return self.layers * self.words

    @property
    def K(self) -> int:
        """Cycles of the mixer per word: the largest divisor of H not above F."""
        return max(k for k in range(1, self.F + 1) if self.H % k == 0)

    @property
    def Q(self) -> int:
        """Mixer outputs per cycle, of each step."""
        return self.H // self.K
