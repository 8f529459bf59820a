"""Number formats of networks that pass a real-valued stream: Binary S4D and GSU (golden.gated).

All widths come from a :class:`quant.formats.QuantConfig`, through ``quant.gated_fit``.
"""

from dataclasses import dataclass, fields

from quant.formats import EdgeFormats, FormatError, QFormat, RandomFormat


@dataclass(frozen=True)
class StateFormats:
    """What ``quant.integer.reference.state_update`` reads: here g stands for the product g u."""

    a_bar: QFormat
    g: QFormat
    h: QFormat


@dataclass(frozen=True)
class GatedFormats:
    """Formats of one block; the comment names the tensor's shape.

    ``bias`` has the fraction bits of the rows' scale, so a row's sum needs no shift but its own.
    y is used with mixer ``gsu`` only.
    """

    alpha: QFormat      # norm: alpha x + beta                                      (H,)
    beta: QFormat       #                                                           (H,)
    u: QFormat          # the SSM's real input                                      (H,)
    a_bar: QFormat      # A_bar, real and imaginary part, |A_bar| < 1               (H, n)
    g: QFormat          # 2 C B_bar, real and imaginary part                        (H, n)
    h: QFormat          # state, real and imaginary part                            (H, n)
    drive: QFormat      # d = D, times u                                            (H,)
    y: QFormat          # gsu: y rounded for the GELU, and the GELU's result        (H,)
    w: QFormat          # value weights; a row's scale is 2**(shift - bias.f_bits)  (H, H)
    shift: QFormat      # left shift of a row's sum                                 (H,)
    bias: QFormat       # of the value sum                                          (H,)
    gate_w: QFormat     # glu: as w; gsu: ternary, no scale                         (H, H)
    gate_bias: QFormat  # glu: as bias; gsu: fraction bits of y                     (H,)
    n: QFormat          # value factor of the product                               (H,)
    gate: QFormat       # gate factor; glu: sigmoid(m); gsu: m                      (H,)
    index: QFormat      # of the table; glu: m; gsu: |y|                            (H,)
    table: QFormat      # glu: sigmoid(m), as gate; gsu: max(y, 0) - GELU(y)  (2**index.width,)
    x: QFormat          # stream between blocks                                     (H,)

    def __post_init__(self):
        def need(condition, text):
            if not condition:
                raise FormatError(text)

        product = self.alpha.f_bits + self.x.f_bits
        need(product >= max(self.beta.f_bits, self.u.f_bits, self.x.f_bits),
             f"alpha {self.alpha} * x {self.x} must have at least the fraction bits of beta "
             f"{self.beta}, u {self.u} and x")
        need(self.g.f_bits + self.u.f_bits <= self.a_bar.f_bits + self.h.f_bits,
             f"g {self.g} * u {self.u} has more fraction bits than a_bar * h")
        need(self.drive.f_bits + self.u.f_bits >= max(self.h.f_bits, self.y.f_bits),
             f"drive {self.drive} * u {self.u} has fewer fraction bits than h {self.h} or y "
             f"{self.y}")
        need(self.bias.f_bits >= self.n.f_bits,
             f"n {self.n} has more fraction bits than its sum, {self.bias}")
        need(self.product_bits >= self.x.f_bits,
             f"n {self.n} times the gate has fewer fraction bits than x {self.x}")

    @property
    def states(self) -> StateFormats:
        """For ``quant.integer.reference.state_update``."""
        return StateFormats(self.a_bar, self.g * self.u, self.h)

    @property
    def y_bits(self) -> int:
        """Fraction bits of the exact ``sum Re h + d u``."""
        return self.drive.f_bits + self.u.f_bits

    @property
    def product_bits(self) -> int:
        """Fraction bits of the gate's product."""
        return self.n.f_bits + self.gate.f_bits

    def to_dict(self) -> dict[str, str]:
        return {f.name: str(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, texts: dict[str, str]) -> "GatedFormats":
        return cls(**{name: QFormat.parse(text) for name, text in texts.items()})


@dataclass(frozen=True)
class GatedNetworkFormats:
    """Everything of an artifact that is no tensor: formats, random words, rounding."""

    layers: tuple[GatedFormats, ...]
    edge: EdgeFormats
    random: RandomFormat
    rounding: str

    def to_dict(self) -> dict:
        return {"layers": [fmt.to_dict() for fmt in self.layers], "edge": self.edge.to_dict(),
                "random": self.random.to_dict(), "rounding": self.rounding}

    @classmethod
    def from_dict(cls, values: dict) -> "GatedNetworkFormats":
        return cls(tuple(GatedFormats.from_dict(d) for d in values["layers"]),
                   EdgeFormats.from_dict(values["edge"]), RandomFormat.from_dict(values["random"]),
                   values["rounding"])
