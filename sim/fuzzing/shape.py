"""What a fuzzed core is made from, but for the content of its memories, and the rules for that."""

from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property

from golden.base.forms import has, whole
from golden.base.qformat import UQ, FormatError
from quant.formats import EdgeFormats, RandomFormat
from quant.integer import lfsr
from quant.integer.artifact import Artifact
from quant.integer.synthetic import random_artifact
from quant.integer.synthetic_two_sided import random_two_sided
from rtl.parts.config import MIXERS, HardwareConfig, allowed
from rtl.parts.single_port import BLOCKS
from rtl.parts.streams import LOGIT_BITS
from sim.fuzzing import hardware
from sim.fuzzing.kinds import KINDS, Kind

LONGEST = 16_384        # steps that a network may have been made for
OLD = "paper"           # kind of the files from before there were others


@dataclass(frozen=True)
class Shape:
    """Everything that decides the Verilog, but for the initial content of memories."""

    lanes: int
    layers: int
    H: int
    n: int                      # 0: neurons alone, without a state space model
    n_classes: int
    length: int                 # longest sequence
    vocab: int
    formats: dict               # of the kind's formats of a layer
    edge: dict                  # of EdgeFormats
    random: dict                # of RandomFormat
    kind: str = OLD             # of quant.integer.synthetic
    options: dict = field(default_factory=dict)     # of the kind
    spread: bool = True         # of HardwareConfig
    block: int = 1              # steps per update of the states
    mixer: str = "columns"      # of HardwareConfig, as the two below
    folded: bool = False
    single_ports: int = 0
    two_sided: bool = False     # a kernel of the future beside that of the past

    @property
    def of(self) -> Kind:
        """What is known of its kind."""
        return KINDS[self.kind]

    @property
    def hw(self) -> HardwareConfig:
        return HardwareConfig(self.lanes, spread=self.spread, mixer=self.mixer,
                              folded=self.folded, single_ports=self.single_ports)

    def artifact(self, seed: int, stress: float = 0.0, limits: str | None = None) -> Artifact:
        """A network of this shape."""
        draw = random_two_sided if self.two_sided else random_artifact
        return draw(
            seed, self.layers, self.H, self.n, self.n_classes, self.length, self.vocab,
            kind=self.kind, stress=stress, limits=limits, block=self.block, **self.options,
            fmt=self.of.formats.from_dict(self.formats),
            random=RandomFormat.from_dict(self.random), edge=EdgeFormats.from_dict(self.edge))

    @cached_property
    def base(self) -> Artifact:
        """The network whose content is in the Verilog."""
        return self.artifact(0)

    def broken_rule(self) -> str | None:
        """The first of the rules below, or of the kind's, that the shape breaks, or None.

        They are stated here, whatever the components say: a component that refuses a shape which
        keeps them is wrong.
        """
        kind = self.of
        if {*self.options} != {*kind.options} or any(
                self.options[name] not in values for name, values in kind.options.items()):
            return "options are those of the kind"
        try:
            fmt, edge = kind.formats.from_dict(self.formats), EdgeFormats.from_dict(self.edge)
            random = RandomFormat.from_dict(self.random)
        except FormatError as error:
            return str(error)
        x, u, steps = kind.x(self, fmt), kind.enters(self, fmt), UQ(self.length.bit_length(), 0)
        logit = (edge.dec_w * x.total(self.length)).total(self.H) + edge.dec_b * steps
        stochastic = self.n > 0 and self.options["rounding"] == "stochastic"
        rules = {
            "there are modes, or neurons that need none": self.n >= min(kind.modes),
            "lanes divide the modes": self.lanes in allowed(self.H, self.n),
            "an update of the states is of one step or two": self.block in (1, 2),
            "streams fit the generator": not lfsr.misfit(
                random, -(-self.length // self.block) * self.block,
                self.layers * (1 + self.two_sided), self.H, self.n),
            "a product has more bits than are rounded at random":
                not stochastic or fmt.a_bar.f_bits > random.round_bits > 0,
            "g u is no finer than a_bar h": self.n == 0 or (
                fmt.g.f_bits + u.f_bits <= fmt.a_bar.f_bits + fmt.h.f_bits),
            "there is a sample format or a vocabulary": bool(self.vocab) == (edge.sample is None),
            "the encoder's product is as fine as its bias and the stream":
                edge.sample is None or edge.enc_w.f_bits + edge.sample.f_bits >= max(
                    edge.enc_b.f_bits, x.f_bits),
            "the decoder's bias is as fine as its product":
                edge.dec_b.f_bits == edge.dec_w.f_bits + x.f_bits,
            f"a logit has {LOGIT_BITS} bits": logit.width <= LOGIT_BITS,
            **kind.rules(self, fmt), **hardware.rules(self, fmt.w),
            "the integer network's sums have 64 bits":
                max(found.width for found in kind.sums(self, fmt)) <= 63}
        return next((rule for rule, kept in rules.items() if not kept), None)

    @property
    def summary(self) -> str:
        """One line."""
        options = ", ".join(f"{name} {value}" for name, value in self.options.items())
        return (f"{self.kind}, {self.layers} x {self.H}, n {self.n}, {self.lanes} lanes, "
                f"{options}, k {self.random['k']}, "
                f"{f'{self.vocab} tokens' if self.vocab else self.edge['sample']}, h "
                f"{self.formats['h']}, w {self.formats['w']}, up to {self.length} steps"
                f"{', two at once' * (self.block - 1)}{', folded' * self.folded}"
                f"{', two-sided' * self.two_sided}, {self.mixer}"
                f"{', single ports' * bool(self.single_ports)}")

    def to_dict(self) -> dict:
        """As in a file: the options beside the rest."""
        rest = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "options"}
        return rest | self.options

    @classmethod
    def from_dict(cls, values: dict) -> "Shape":
        own = {f.name for f in fields(cls)} - {"options"}
        return cls(**{name: value for name, value in values.items() if name in own},
                   options={name: value for name, value in values.items() if name not in own})


def is_shape(values) -> bool:
    """Whether a JSON value has the form of :meth:`Shape.to_dict`; ``broken_rule`` says the rest."""
    if type(values) is not dict or values.get("kind", OLD) not in KINDS:
        return False
    options = {name: lambda value, among=among: any(
        type(value) is type(one) and value == one for one in among)
        for name, among in KINDS[values.get("kind", OLD)].options.items()}
    usual = {f.name: f.default for f in fields(Shape) if f.default is not MISSING}
    return has(usual | values, _FORM | options)


_FORM = {name: whole(1, 4096) for name in ("lanes", "layers", "H", "n_classes")} | {
    "n": whole(0, 4096), "length": whole(1, LONGEST), "vocab": whole(0, 1 << 16),
    "kind": str, "spread": bool, "block": whole(1, 2), "mixer": MIXERS.__contains__,
    "folded": bool, "single_ports": whole(0, BLOCKS), "two_sided": bool} | {
        name: dict for name in ("formats", "edge", "random")}
