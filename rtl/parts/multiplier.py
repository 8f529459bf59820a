"""Products between registers, also as a device's multipliers with the registers inside."""

from amaranth import Cat, ClockSignal, Const, Instance, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

DIGIT = 3           # bits of an operand whose multiples of the other are summed at once
WIDEST = 18         # bits of an operand of MULT18X18D, whichever its sign


class Products(wiring.Component):
    """Exact products of pairs of operands, a register in front and one behind.

    .. code-block:: text

        operands ──►[ ]──►(x)──►[ ]──► products

    Parameters
    ----------
    operands : dict of str to shape-like
    products : dict of str to (str, str)
        Which operands a product has.
    logic : int
        The first so many products are made of LUTs: sums of one operand for every ``DIGIT`` bits of
        the other, in front of the first register, and the sum of these, in front of the second.
    cell : str
        ``MULT18X18D`` (ECP5): both registers are those of the block, so that no wire lies between
        them and the multiplier; operands wider than 18 bits are left to yosys all the same.
        Empty: registers and products are plain logic, of which the tools make what they can.

    Members
    -------
    en : ``In(1)``
        Both registers load; they have no reset.
    each operand : ``In(shape)``; each product : ``Out(shape)``, exact

    Timing
    ------
    A product is there ``latency`` enabled cycles after its operands.

    Resources
    ---------
    One multiplier per product of at most 18 x 18 bits; or about ``2.2 a b`` LUTs for one of a x b
    bits: with digits of 3 bits the ways to the two registers are about equally long.
    """

    latency = 2

    def __init__(self, operands: dict, products: dict[str, tuple[str, str]], cell: str = "",
                 logic: int = 0):
        self.operands = {name: Shape.cast(shape) for name, shape in operands.items()}
        self.products, self.logic = products, list(products)[:logic]
        self.cell = cell if all(s.width <= WIDEST for s in self.operands.values()) else ""
        exact = {name: (Signal(self.operands[a]) * Signal(self.operands[b])).shape()
                 for name, (a, b) in products.items()}
        super().__init__({"en": In(1)} | {name: In(s) for name, s in self.operands.items()}
                         | {name: Out(s) for name, s in exact.items()})

    def elaborate(self, platform):
        m = Module()
        for name in self.logic:
            a, b = (getattr(self, operand) for operand in self.products[name])
            self._sums(m, name, *((a, b) if len(a) >= len(b) else (b, a)))
        rest = {name: pair for name, pair in self.products.items() if name not in self.logic}
        if self.cell:
            for name, (a, b) in rest.items():
                m.submodules[name] = self._block(getattr(self, a), getattr(self, b),
                                                 getattr(self, name))
            return m
        kept = {name: Signal(shape, name=f"{name}_1", reset_less=True)
                for name, shape in self.operands.items()}
        with m.If(self.en):
            m.d.sync += [to.eq(getattr(self, name)) for name, to in kept.items()]
        for name, (a, b) in rest.items():       # without reset, yosys finds SB_MAC16's own
            exact = Signal.like(getattr(self, name), name=f"{name}_exact", reset_less=True)
            with m.If(self.en):
                m.d.sync += exact.eq(kept[a] * kept[b])
            m.d.comb += getattr(self, name).eq(exact)
        return m

    def _sums(self, m: Module, name: str, a, b) -> None:
        """One product of LUTs."""
        total = []
        for low in range(0, len(b), DIGIT):
            bits = range(low, min(low + DIGIT, len(b)))
            terms = [Mux(b[k], a, 0) << k - low for k in bits]
            if b.shape().signed and bits[-1] == len(b) - 1:
                terms[-1] = -terms[-1]
            part = sum(terms[1:], terms[0])
            kept = Signal(part.shape(), name=f"{name}_{low}", reset_less=True)
            with m.If(self.en):
                m.d.sync += kept.eq(part)
            total.append(kept << low)
        exact = Signal.like(getattr(self, name), name=f"{name}_exact", reset_less=True)
        with m.If(self.en):
            m.d.sync += exact.eq(sum(total[1:], total[0]))
        m.d.comb += getattr(self, name).eq(exact)

    def _block(self, a, b, product) -> Instance:
        """One MULT18X18D with its input and output registers (Lattice TN1267, sysDSP)."""
        registers = {f"p_REG_{name}_{what}": f"{what}0" for name in ("INPUTA", "INPUTB", "OUTPUT")
                     for what in ("CLK", "CE", "RST")}
        return Instance("MULT18X18D", **registers, p_GSR="DISABLED",
                        i_CLK0=ClockSignal(), i_CE0=self.en, i_RST0=Const(0),
                        i_SIGNEDA=Const(a.shape().signed, 1), i_SIGNEDB=Const(b.shape().signed, 1),
                        i_SOURCEA=Const(0), i_SOURCEB=Const(0),
                        **self._pins("i_A", a), **self._pins("i_B", b),
                        **{f"o_P{j}": product[j] for j in range(len(product))})

    @staticmethod
    def _pins(name: str, value) -> dict:
        """The block's 18 pins of an operand, its sign repeated."""
        fill = value[-1] if value.shape().signed else Const(0, 1)
        bits = Cat(value, fill.replicate(WIDEST - len(value)))
        return {f"{name}{j}": bits[j] for j in range(WIDEST)}
