"""What a board is, and the top level of its bitstream."""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth import ClockDomain, ClockSignal, Elaboratable, Module, Signal
from amaranth.lib.cdc import ResetSynchronizer

from quant.integer.artifact import Artifact
from rtl.parts.config import HardwareConfig
from rtl.link.core import LinkCore
from rtl.synth import FAMILIES, Family
from rtl.link.uart import clocks_per_bit

BAUD = 1_000_000


@dataclass(frozen=True)
class Board:
    """A board.

    name : as on the command line; platform : makes the amaranth-boards platform; family : of
    :data:`rtl.synth.FAMILIES`; device : in words; clock : Hz of the core; capacity : of the kinds
    of cells in rtl.synth; place : arguments of nextpnr; programmer : openFPGALoader's name of the
    board; pll : makes the core's clock from the oscillator's signal, None where they are the same;
    usb : vendor and product of the chip that openFPGALoader talks to, None: it loads the first
    board in its boot loader and can be told of no other; folded, single_ports : of the core,
    :class:`rtl.parts.config.HardwareConfig`.
    """

    name: str
    platform: Callable
    family: str
    device: str
    clock: float
    capacity: dict[str, int]
    place: tuple[str, ...]
    programmer: str
    pll: Callable | None = None
    baud: int = BAUD
    usb: tuple[int, int] | None = None
    folded: bool = False
    single_ports: int = 0

    @property
    def mapping(self) -> Family:
        return FAMILIES[self.family]

    def hardware(self, lanes: int) -> HardwareConfig:
        """The core's configuration on this board."""
        return self.mapping.hardware(lanes, folded=self.folded, single_ports=self.single_ports)


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
        board = self.board
        source = platform.request(platform.default_clk)
        clock, locked = source.i, Signal(init=1)
        if board.pll:
            clock, locked = board.pll(m, clock)
            platform.add_clock_constraint(clock, board.clock)
        m.domains.sync = ClockDomain("sync")
        m.d.comb += ClockSignal("sync").eq(clock)
        m.submodules.reset = ResetSynchronizer(~locked, domain="sync")
        m.submodules.link = link = self.link
        uart = platform.request("uart", 0)
        m.d.comb += [link.rx.eq(uart.rx.i), uart.tx.o.eq(link.tx)]
        light = platform.request("led", 0) if ("led", 0) in platform.resources else \
            platform.request("rgb_led", 0).g
        m.d.comb += light.o.eq(link.busy)
        return m
