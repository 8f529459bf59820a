"""The core's clock from a board's oscillator: what a family's PLL can make, exactly, and its cell.

Every PLL here divides the oscillator by R for its phase detector, multiplies that by M with its own
oscillator (VCO), and divides by Q: clock = oscillator * M / (R Q).

Sources: ECP5, Lattice FPGA-DS-02012 (sysCLOCK PLL timing) and FPGA-TN-02200; iCE40, FPGA-DS-02008
and Project IceStorm's icepll; Gowin, DS117, DS102 and UG286; Artix-7, DS181 and UG472.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

from amaranth import Const, Instance, Signal

from rtl.parts.config import HardwareError

MHZ = 1_000_000
STEP = 1000             # Hz: a board tells its clock in kHz


@dataclass(frozen=True)
class Ratio:
    """One way to a clock. out, vco : Hz; R, M, Q : as above."""

    out: Fraction
    vco: Fraction
    R: int
    M: int
    Q: int


@dataclass(frozen=True)
class Pll:
    """The PLL of a family.

    cell : its name; detector, vco, out : least and most MHz of these; middle : MHz that the VCO is
    best near to; most_R : the largest; M, Q : every one there is; fits : whether (M, Q) go
    together; make : adds the cell for (module, clock, Hz of the oscillator, ratio) and returns the
    new clock and whether it is there; pad : it takes the oscillator's pin itself.
    """

    cell: str
    detector: tuple[float, float]
    vco: tuple[float, float]
    out: tuple[float, float]
    middle: float
    most_R: int
    M: range
    Q: tuple[int, ...]
    make: Callable
    fits: Callable[[int, int], bool] = lambda M, Q: True
    pad: bool = False

    def ratios(self, oscillator: float) -> Iterable[Ratio]:
        """Every clock of whole kHz, by every way to it."""
        def inside(value: Fraction, limits: tuple[float, float]) -> bool:
            return limits[0] * MHZ <= value <= limits[1] * MHZ
        for R in range(1, self.most_R + 1):
            detector = Fraction(round(oscillator), R)
            if not inside(detector, self.detector):
                continue
            for M in self.M:
                if not inside(vco := detector * M, self.vco):
                    continue
                for Q in self.Q:
                    out = vco / Q
                    if out % STEP == 0 and inside(out, self.out) and self.fits(M, Q):
                        yield Ratio(out, vco, R, M, Q)

    def solve(self, oscillator: float, clock: float) -> Ratio:
        """The best way to a clock.

        Raises :class:`HardwareError` with the nearest clocks that there are.
        """
        found = list(self.ratios(oscillator))
        exact = [ratio for ratio in found if ratio.out == clock]
        if exact:
            return min(exact, key=lambda r: (r.R, abs(r.vco - round(self.middle * MHZ)), r.Q))
        outs = {ratio.out for ratio in found}
        near = [max((out for out in outs if out < clock), default=None),
                min((out for out in outs if out > clock), default=None)]
        said = " or ".join(f"{float(out / MHZ):g}" for out in near if out is not None)
        raise HardwareError(f"--clock {clock / MHZ:g}: {self.cell} cannot make it from "
                            f"{oscillator / MHZ:g} MHz; the nearest that it makes: {said}")


def _named(clock: Fraction) -> Signal:
    """The signal of a clock, with its MHz in the name."""
    return Signal(name=f"clk{float(clock / MHZ):g}".replace(".", "_"))


def _feedback(M: int, Q: int) -> int:
    """Divider of the ECP5's feedback output CLKOP; 0: there is none.

    Q where that is possible, as then one output does both. Its clock is at most 400 MHz, and the
    feedback's own divider makes the rest of M.
    """
    parts = [d for d in [Q, *range(2, 129)] if M % d == 0 and M // d <= 128]
    return parts[0] if parts else 0


def _ecp5(m, clock, oscillator: float, ratio: Ratio):
    """EHXPLLL: feedback from CLKOP; the clock from there, or from CLKOS."""
    fed = _feedback(ratio.M, ratio.Q)
    back, locked = _named(ratio.vco / fed), Signal()
    out = back if fed == ratio.Q else _named(ratio.out)
    phases = {f"i_{name}": Const(0) for name in (
        "RST", "STDBY", "PHASESEL0", "PHASESEL1", "PHASEDIR", "PHASESTEP",
        "PHASELOADREG", "PLLWAKESYNC", "ENCLKOP")}
    second = {} if out is back else {
        "a_FREQUENCY_PIN_CLKOS": f"{float(ratio.out / MHZ):g}", "p_CLKOS_ENABLE": "ENABLED",
        "p_CLKOS_DIV": ratio.Q, "p_CLKOS_CPHASE": ratio.Q - 1, "p_CLKOS_FPHASE": 0,
        "i_ENCLKOS": Const(0), "o_CLKOS": out}
    m.submodules.pll = Instance(
        "EHXPLLL", a_FREQUENCY_PIN_CLKI=f"{oscillator / MHZ:g}",
        a_FREQUENCY_PIN_CLKOP=f"{float(ratio.vco / fed / MHZ):g}", a_ICP_CURRENT="12",
        a_LPF_RESISTOR="8", a_MFG_ENABLE_FILTEROPAMP="1", a_MFG_GMCREF_SEL="2",
        p_PLLRST_ENA="DISABLED", p_INTFB_WAKE="DISABLED", p_STDBY_ENABLE="DISABLED",
        p_DPHASE_SOURCE="DISABLED", p_OUTDIVIDER_MUXA="DIVA", p_OUTDIVIDER_MUXB="DIVB",
        p_OUTDIVIDER_MUXC="DIVC", p_OUTDIVIDER_MUXD="DIVD", p_CLKI_DIV=ratio.R,
        p_CLKFB_DIV=ratio.M // fed, p_CLKOP_ENABLE="ENABLED", p_CLKOP_DIV=fed,
        p_CLKOP_CPHASE=fed - 1, p_CLKOP_FPHASE=0, p_FEEDBK_PATH="CLKOP", i_CLKI=clock,
        i_CLKFB=back, o_CLKOP=back, o_LOCK=locked, **second, **phases)
    return out, locked


# Up to these MHz at the phase detector: the loop filter (icepll).
FILTERS = ((17, 1), (26, 2), (44, 3), (66, 4), (101, 5), (133, 6))


def _ice40(cell: str, pin: str):
    """SB_PLL40_CORE, or the one at a pad: the oscillator's pin is then no ordinary input."""
    def make(m, clock, oscillator: float, ratio: Ratio):
        out, locked = _named(ratio.out), Signal()
        detector = oscillator / ratio.R / MHZ
        m.submodules.pll = Instance(
            cell, p_FEEDBACK_PATH="SIMPLE", p_DIVR=Const(ratio.R - 1, 4),
            p_DIVF=Const(ratio.M - 1, 7), p_DIVQ=Const(ratio.Q.bit_length() - 1, 3),
            p_FILTER_RANGE=Const(next(code for most, code in FILTERS if detector <= most), 3),
            i_RESETB=Const(1), i_BYPASS=Const(0), o_PLLOUTGLOBAL=out, o_LOCK=locked,
            **{f"i_{pin}": clock})
        return out, locked
    return make


def _gowin(device: str):
    """rPLL of a device."""
    def make(m, clock, oscillator: float, ratio: Ratio):
        out, locked = _named(ratio.out), Signal()
        m.submodules.pll = Instance(
            "rPLL", p_FCLKIN=f"{oscillator / MHZ:g}", p_DEVICE=device, p_IDIV_SEL=ratio.R - 1,
            p_FBDIV_SEL=ratio.M // ratio.Q - 1, p_ODIV_SEL=ratio.Q, p_CLKFB_SEL="internal",
            i_CLKIN=clock, i_CLKFB=Const(0), i_RESET=Const(0), i_RESET_P=Const(0),
            i_FBDSEL=Const(0, 6), i_IDSEL=Const(0, 6), i_ODSEL=Const(0, 6), i_PSDA=Const(0, 4),
            i_DUTYDA=Const(0, 4), i_FDLY=Const(0, 4), o_CLKOUT=out, o_LOCK=locked)
        return out, locked
    return make


def _xilinx(m, clock, oscillator: float, ratio: Ratio):
    """PLLE2_BASE, and a buffer behind it."""
    raw, out, back, locked = Signal(), _named(ratio.out), Signal(), Signal()
    m.submodules.pll = Instance(
        "PLLE2_BASE", p_CLKIN1_PERIOD=1e9 / oscillator, p_CLKFBOUT_MULT=ratio.M,
        p_DIVCLK_DIVIDE=ratio.R, p_CLKOUT0_DIVIDE=ratio.Q, i_CLKIN1=clock, i_RST=0, i_PWRDWN=0,
        i_CLKFBIN=back, o_CLKFBOUT=back, o_CLKOUT0=raw, o_LOCKED=locked)
    m.submodules.pll_buffer = Instance("BUFG", i_I=raw, o_O=out)
    return out, locked


EVERY = tuple(range(1, 129))
ODIVS = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)
ECP5 = Pll("EHXPLLL", (10, 400), (400, 800), (10, 400), 600, 128, range(1, 801), EVERY, _ecp5,
           lambda M, Q: bool(_feedback(M, Q)))
ICE40 = {cell: Pll(cell, (10, 133), (533, 1066), (16, 275), 800, 16, range(1, 129),
                   tuple(1 << q for q in range(1, 7)), _ice40(cell, pin), pad=pin == "PACKAGEPIN")
         for cell, pin in (("SB_PLL40_CORE", "REFERENCECLK"), ("SB_PLL40_PAD", "PACKAGEPIN"))}


def gowin(device: str, vco: tuple[float, float], out: tuple[float, float]) -> Pll:
    """The rPLL of a device, whose output comes before the last divider: M is a multiple of Q."""
    return Pll("rPLL", (3, 400), vco, out, sum(vco) / 2, 64, range(1, 1 + 64 * ODIVS[-1]), ODIVS,
               _gowin(device), lambda M, Q: M % Q == 0 and M // Q <= 64)


XILINX = Pll("PLLE2_BASE", (19, 450), (800, 1600), (6.25, 464), 800, 56, range(2, 65), EVERY,
             _xilinx)
