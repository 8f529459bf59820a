"""Configurations of networks: a class for each family, which has what that family reads.

An option that another one makes idle must keep its default (``IDLE``), so that no two
configurations differ without a difference between their networks.
"""

from dataclasses import asdict, dataclass, fields
from typing import ClassVar

CHOICES = {
    "kernel": ("causal", "two_sided"),
    "act": ("gelu", "relu", "identity"),
    "residual": ("none", "clampfuse", "plain"),
    "init": ("s4d_lin", "s4d_inv", "s4d_legs", "hippo_legs"),
    "sampling": ("bernoulli", "sobol", "systematic", "mean"),
    "neuron": ("heaviside", "gelu"),
    "mixer": ("linear", "glu", "gsu"),
    "norm": ("batch", "layer"),
    "norm_position": ("pre", "post"),
    "surrogate": ("triangle", "rectangle", "sigmoid", "arctan"),
    "reset": ("subtract", "zero"),
    "drive": ("ssm", "spikes"),
}
LEAST = {"vocab": 0, "features": 0}                 # of a whole number, else 1
# Largest whole numbers, many times those of any published network of these kinds: larger ones come
# from a mistake or a damaged file, and would take memory and time before that shows.
MOST = {"n_classes": 1 << 20, "n_blocks": 256, "d_model": 1 << 13, "vocab": 1 << 20,
        "d_state": 1 << 10, "features": 1 << 13}
WEIGHTS = 1 << 27       # of a network, about: 0.5 GB in float32, four times that with an optimiser
BELOW_ONE = ("dropout", "ternary_threshold")        # and not negative
ABOVE_ZERO = ("surrogate_width", "threshold")


@dataclass(frozen=True)
class NetworkConfig:
    """What all families share: shape, state space models, dropout.

    ``d_state`` counts real numbers: a neuron holds ``d_state / 2`` complex modes.
    """

    n_classes: int                  # size of the network's output
    n_blocks: int = 2
    d_model: int = 128              # neurons per block, H
    vocab: int = 0                  # number of tokens; 0: the input is a sample in [-1, 1]
    d_state: int = 16               # real state variables per neuron, 2n
    kernel: str = "causal"          # "two_sided" looks at the future too (released code)
    shared_A: bool = False          # one A for a whole block instead of one per neuron
    init: str = "s4d_lin"           # start values of A; "hippo_legs": of golden.model.dplr
    dt_min: float = 1e-3            # start range of dt, in steps of the sequence
    dt_max: float = 1e-1
    dropout: float = 0.0            # share of mixer outputs that training drops

    family: ClassVar[str]
    CHOICES: ClassVar[dict] = {}    # where a family has fewer than :data:`CHOICES`
    IDLE: ClassVar[dict] = {}       # option: (other option, its values with which this one is read)
    pair: ClassVar[bool] = False    # classify two sequences together, see golden.model.pair
    features: ClassVar[int] = 0     # numbers of a sequence that the head of two sees; 0: neurons

    def __post_init__(self):
        choices = CHOICES | self.CHOICES
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            shown = repr(value)[:60]
            if name in choices and value not in choices[name]:
                raise ValueError(f"{name} must be one of {', '.join(choices[name])} in family "
                                 f"{self.family}, not {shown}")
            least = LEAST.get(name, 1)
            if field.type is int and (type(value) is not int or value < least):
                raise ValueError(f"{name} must be a whole number of at least {least}, "
                                 f"not {shown}")
            if field.type is int and value > MOST.get(name, value):
                raise ValueError(f"{name} must be at most {MOST[name]:,}, not {shown}")
            if field.type is float and (type(value) not in (int, float) or not abs(value) < 1e300):
                raise ValueError(f"{name} must be a finite number, not {shown}")
            if field.type is bool and type(value) is not bool:
                raise ValueError(f"{name} must be True or False, not {shown}")
            if name in BELOW_ONE and not 0 <= value < 1:
                raise ValueError(f"{name} must be in [0, 1), not {value}")
            if name in ABOVE_ZERO and not value > 0:
                raise ValueError(f"{name} must be above 0, not {value}")
            if name in self.IDLE and not self.reads(name) and value != field.default:
                other, values = self.IDLE[name]
                raise ValueError(f"{name} = {value} has no effect with {other} = "
                                 f"{getattr(self, other)}: it is used with {other} "
                                 f"{' or '.join(map(str, values))}; leave it out")
        if self.d_state < 2 or self.d_state % 2:
            raise ValueError(f"d_state must be even and at least 2, not {self.d_state}")
        if self.weights > WEIGHTS:
            raise ValueError(f"a network of {self.n_blocks} blocks of {self.d_model} neurons with "
                             f"{self.d_state} states each has about {self.weights:,} numbers, at "
                             f"most {WEIGHTS:,} are allowed")
        if not 0 < self.dt_min <= self.dt_max:
            raise ValueError(f"dt_min, dt_max must satisfy 0 < dt_min <= dt_max, "
                             f"not {self.dt_min}, {self.dt_max}")

    def reads(self, name: str) -> bool:
        """Whether an option has an effect beside the others."""
        if name not in self.IDLE:
            return True
        other, values = self.IDLE[name]
        return getattr(self, other) in values

    @property
    def n_modes(self) -> int:
        """Complex modes per neuron, n."""
        return self.d_state // 2

    @property
    def dplr(self) -> bool:
        """Whether the state matrices are diagonal plus rank one (S4), not diagonal."""
        return self.init == "hippo_legs"

    @property
    def weights(self) -> int:
        """Numbers of the network, about: mixers, states, encoder and decoder, head of two."""
        neuron = 2 * self.d_model + 4 * self.d_state + self.dplr * self.d_state ** 2
        return (self.n_blocks * self.d_model * neuron + self.d_model * (self.vocab + self.n_classes)
                + self.features * (4 * self.features + self.d_model))

    def to_dict(self) -> dict:
        return {"family": self.family} | asdict(self)


@dataclass(frozen=True)
class PaperConfig(NetworkConfig):
    """P-SpikeSSM as the paper has it (Bal & Sengupta, ICLR 2025)."""

    act: str = "relu"               # activation of the mixer
    gelu_before_sampler: bool = False   # as in the released code; the paper has none
    residual: str = "clampfuse"     # how z joins the next block's input, see golden.model.families
    sampling: str = "bernoulli"     # how spikes are drawn, see golden.kernels.sampling
    features: int = 0               # of two sequences that are classified together; 0: one sequence

    family = "paper"

    @property
    def pair(self) -> bool:
        return self.features > 0


@dataclass(frozen=True)
class ReleasedConfig(NetworkConfig):
    """P-SpikeSSM as its authors' released code computes it."""

    init: str = "hippo_legs"
    act: str = "gelu"
    gelu_before_sampler: bool = True
    residual: str = "plain"
    sampling: str = "bernoulli"
    norm: str = "batch"             # per neuron, or over the neurons of a step
    norm_position: str = "pre"      # in front of a block, or behind its residual sum
    branch: bool = False            # a second SSM beside the first in every block
    tie_dropout: bool = False       # one dropout mask for all steps of a sequence
    pair: bool = False

    family = "released"
    CHOICES = {"residual": ("none", "plain")}

    def __post_init__(self):
        super().__post_init__()
        if self.tie_dropout and not self.dropout:
            raise ValueError("tie_dropout = True has no effect with dropout = 0; leave it out")
        if self.branch and self.sampling not in ("bernoulli", "mean"):
            raise ValueError(f"a branch shares uniform draws, so sampling must be bernoulli or "
                             f"mean, not {self.sampling!r}")


@dataclass(frozen=True)
class StreamConfig(NetworkConfig):
    """A real-valued stream between blocks: Binary S4D, GSU (Stan & Rhodes), S4D without spikes."""

    neuron: str = "heaviside"       # "heaviside": Binary S4D; "gelu": GSU, or a non-spiking S4D
    mixer: str = "glu"              # "glu", "gsu": the gates of Stan & Rhodes (arXiv 2401.00955)
    residual: str = "plain"
    norm: str = "batch"
    norm_position: str = "pre"
    act: str = "relu"               # of a linear mixer
    surrogate: str = "triangle"     # shape of the step's gradient, see golden.model.neurons
    surrogate_width: float = 1.0    # half width of that shape
    fires_at_zero: bool = True      # H(0) = 1
    ternary_threshold: float = 0.15     # times max |z|, see golden.model.neurons

    family = "stream"
    CHOICES = {"residual": ("none", "plain"), "init": CHOICES["init"][:3]}
    IDLE = {"act": ("mixer", ("linear",)), "ternary_threshold": ("mixer", ("gsu",)),
            **{name: ("neuron", ("heaviside",))
               for name in ("surrogate", "surrogate_width", "fires_at_zero")}}

    def __post_init__(self):
        super().__post_init__()
        if self.neuron == "heaviside" and self.mixer != "glu":
            raise ValueError(f"mixer must be glu with neuron heaviside, not {self.mixer!r}")


@dataclass(frozen=True)
class LIFConfig(NetworkConfig):
    """The paper's network with leaky integrate-and-fire neurons in place of its samplers."""

    act: str = "relu"
    residual: str = "clampfuse"
    surrogate: str = "triangle"
    surrogate_width: float = 1.0
    threshold: float = 1.0          # membrane at which a neuron spikes
    reset: str = "subtract"         # by the threshold, or to "zero"
    reset_gradient: bool = True     # through the reset too
    drive: str = "ssm"              # by an SSM's output, or by its input "spikes" themselves

    family = "lif"
    CHOICES = {"init": CHOICES["init"][:3]}
    IDLE = {name: ("drive", ("ssm",)) for name in ("d_state", "kernel", "shared_A", "init")}


FAMILIES = {cls.family: cls for cls in (PaperConfig, ReleasedConfig, StreamConfig, LIFConfig)}


def from_dict(values: dict) -> NetworkConfig:
    """Inverse of ``to_dict``; refuses unknown families and options by name."""
    values = dict(values)
    family = values.pop("family", None)
    if not isinstance(family, str) or family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}, not "
                         f"{repr(family)[:60]}")
    cls = FAMILIES[family]
    known = [f.name for f in fields(cls)]
    unknown = sorted(str(name)[:40] for name in set(values) - set(known))
    if unknown:
        raise ValueError(f"unknown option {', '.join(unknown[:3])} of a network of family {family}"
                         f"; known: {', '.join(known)}")
    return cls(**values)
