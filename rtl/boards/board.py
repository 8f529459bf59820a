"""What a board is, and the top level of its bitstream."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from amaranth import ClockDomain, ClockSignal, Elaboratable, Module, ResetSignal, Signal
from amaranth.lib.cdc import ResetSynchronizer

from golden.base.options import megahertz, positive
from quant.integer.artifact import Artifact
from rtl.boards.pll import MHZ, STEP, Pll
from rtl.link.core import LinkCore
from rtl.link.uart import clocks_per_bit
from rtl.parts.config import HardwareConfig, HardwareError
from rtl.families import FAMILIES, Family

BAUD = 1_000_000
# Rates that are usual, or whole fractions of what USB chips divide: what a message proposes.
RATES = (12_000_000, 6_000_000, 4_000_000, 3_000_000, 2_000_000, 1_500_000, 1_000_000, 921_600,
         500_000, 460_800, 250_000, 230_400, 115_200)


def add_rates(parser: argparse.ArgumentParser) -> None:
    """``--clock`` and ``--baud``, of :meth:`Board.running`."""
    parser.add_argument("--clock", type=megahertz, metavar="MHZ",
                        help="of the core, made by the PLL; default: the board's (docs/boards.md)")
    parser.add_argument("--baud", type=positive, metavar="RATE",
                        help=f"of the serial line; default: {BAUD}")


@dataclass(frozen=True)
class Board:
    """A board.

    name : as on the command line; platform : makes the amaranth-boards platform; family : of
    :data:`rtl.families.FAMILIES`; device : in words; oscillator, clock : Hz of it and of the core;
    capacity : of the kinds of cells in rtl.synth; place, pack : arguments of nextpnr and of the
    packer; programmer : openFPGALoader's name of the board; pll : makes other clocks than the
    oscillator's; most_baud : of the USB chip; usb : vendor and product of the chip that
    openFPGALoader talks to, None: it loads the first board in its boot loader and can be told of no
    other; mixer, folded, single_ports, longest : of the core, :meth:`rtl.families.Family.hardware`.
    """

    name: str
    platform: Callable
    family: str
    device: str
    oscillator: float
    clock: float
    capacity: dict[str, int]
    place: tuple[str, ...]
    programmer: str
    pll: Pll
    most_baud: int
    pack: tuple[str, ...] = ()
    baud: int = BAUD
    usb: tuple[int, int] | None = None
    mixer: str | None = None
    folded: bool = False
    single_ports: int = 0
    longest: int = 0

    @property
    def mapping(self) -> Family:
        return FAMILIES[self.family]

    def hardware(self, lanes: int) -> HardwareConfig:
        """The core's configuration on this board."""
        made = self.mapping.hardware(lanes, mixer=self.mixer, folded=self.folded,
                                     single_ports=self.single_ports, longest=self.longest)
        return replace(made, multipliers=self.capacity["multiplier"]) if made.multiplier else made

    def running(self, clock: Fraction | None = None, baud: int | None = None) -> "Board":
        """The board with another clock of the core (MHz), or another rate of its line.

        Raises :class:`HardwareError` for what its PLL or its USB chip cannot do.
        """
        made = replace(self, baud=baud or self.baud)
        if clock is not None:
            hertz = clock * MHZ
            if hertz % STEP or hertz <= 0:
                raise HardwareError(f"--clock {float(clock):g}: a clock has whole kHz, such as "
                                    f"{self.clock / MHZ:g}")
            if hertz != self.oscillator:
                self.pll.solve(self.oscillator, int(hertz))
            made = replace(made, clock=float(hertz))
        made._check_rate()
        return made

    def rates(self) -> list[int]:
        """Those of ``RATES`` that the USB chip and the clock can do."""
        found = []
        for rate in RATES:
            try:
                clocks_per_bit(self.clock, rate)
            except ValueError:
                continue
            found += [rate] if rate <= self.most_baud else []
        return found

    def _check_rate(self) -> None:
        """Raise :class:`HardwareError` unless chip and clock can do the line's rate."""
        why = "" if self.baud <= self.most_baud else (
            f"the serial line of {self.name} does at most {self.most_baud:,} baud")
        try:
            clocks_per_bit(self.clock, self.baud)
        except ValueError as error:
            why = why or str(error)
        if why:
            raise HardwareError(f"--baud {self.baud}: {why}; with {self.clock / MHZ:g} MHz take "
                                f"one of {', '.join(map(str, self.rates()))}")


class Top(Elaboratable):
    """A board's top level: clock, serial pins, a light that shows work.

    Parameters
    ----------
    board : Board
    art : Artifact
    lanes : int
    """

    def __init__(self, board: Board, art: Artifact, lanes: int):
        self.board = board
        self.link = LinkCore(art, board.hardware(lanes), board.clock,
                             clocks_per_bit(board.clock, board.baud))

    def elaborate(self, platform):
        m = Module()
        clock, locked = self._clock(m, platform)
        m.domains.board = ClockDomain()
        m.d.comb += ClockSignal("board").eq(clock)
        m.submodules.reset = ResetSynchronizer(~locked, domain="board")
        m.submodules.link = link = self.link
        m.d.comb += [link.clk.eq(clock), link.rst.eq(ResetSignal("board"))]
        uart = platform.request("uart", 0)
        m.d.comb += [link.rx.eq(uart.rx.i), uart.tx.o.eq(link.tx)]
        light = platform.request("led", 0) if ("led", 0) in platform.resources else \
            platform.request("rgb_led", 0).g
        m.d.comb += light.o.eq(link.busy)
        return m

    def _clock(self, m: Module, platform):
        """The core's clock, and whether it runs."""
        board, name = self.board, platform.default_clk
        if board.clock == board.oscillator:
            return platform.request(name).i, Signal(init=1)
        source = platform.request(name, dir="-").io if board.pll.pad else platform.request(name).i
        ratio = board.pll.solve(board.oscillator, board.clock)
        clock, locked = board.pll.make(m, source, board.oscillator, ratio)
        platform.add_clock_constraint(clock, board.clock)
        return clock, locked
