"""Configuration of a network: every option of the model, by name."""

from dataclasses import asdict, dataclass, fields

CHOICES = {
    "kernel": ("causal", "two_sided"),
    "act": ("gelu", "relu", "identity"),
    "residual": ("none", "clampfuse", "plain"),
    "init": ("s4d_lin", "s4d_inv", "s4d_legs", "hippo_legs"),
    "sampling": ("bernoulli", "sobol", "systematic", "mean"),
    "architecture": ("paper", "released"),
    "ssm": ("diagonal", "dplr"),
    "neuron": ("sampler", "heaviside", "gelu", "lif"),
    "mixer": ("linear", "glu", "gsu"),
    "norm": ("batch", "layer"),
    "norm_position": ("pre", "post"),
    "surrogate": ("triangle", "rectangle", "sigmoid", "arctan"),
    "lif_reset": ("subtract", "zero"),
    "lif_drive": ("ssm", "spikes"),
}
MIXERS = {      # that each neuron can feed
    "sampler": ("linear",), "heaviside": ("glu",), "gelu": ("linear", "glu", "gsu"),
    "lif": ("linear",)}

RELEASED = {"neuron": ("sampler",), "residual": ("none", "plain")}      # what its blocks can do


@dataclass(frozen=True)
class NetworkConfig:
    """Shape and options of a P-SpikeSSM network (Bal & Sengupta, ICLR 2025) or a comparison's.

    ``d_state`` counts real numbers: a neuron holds ``d_state / 2`` complex modes.
    """

    n_classes: int                  # size of the decoder's output
    n_blocks: int = 2               # blocks of sampler, SSM, sampler, mixer, fuse
    d_model: int = 128              # neurons per block, H
    d_state: int = 16               # real state variables per neuron, 2n
    vocab: int = 0                  # number of tokens; 0: the input is a sample in [0, 1]
    kernel: str = "causal"          # "two_sided" looks at the future too (released code)
    act: str = "relu"               # activation of the mixer
    gelu_before_sampler: bool = False   # as in the released code; the paper has none
    residual: str = "clampfuse"     # how z joins the next block's input, see golden.fuse
    shared_A: bool = False          # one A for a whole block instead of one per neuron
    init: str = "s4d_lin"           # start values of A
    dt_min: float = 1e-3            # start range of dt, in steps of the sequence
    dt_max: float = 1e-1
    dropout: float = 0.0            # of mixer outputs, during training
    sampling: str = "bernoulli"     # how spikes are drawn, see golden.sampling
    architecture: str = "paper"     # "released": the blocks of golden.released_network
    ssm: str = "diagonal"           # "dplr": S4's, see golden.dplr
    branch: bool = False            # released: a second SSM beside the first in every block
    pair: bool = False              # classify two sequences together, see golden.pair
    features: int = 32              # paper, pair: numbers of a sequence that the head sees
    tie_dropout: bool = False       # released: one dropout mask for all steps of a sequence
    neuron: str = "sampler"         # "heaviside": Binary S4D; "gelu": GSU, or a non-spiking S4D
    mixer: str = "linear"           # "glu", "gsu": the gates of Stan & Rhodes (arXiv 2401.00955)
    norm: str = "batch"             # per neuron, or over the neurons of a step
    norm_position: str = "pre"      # in front of a block, or behind its residual sum
    surrogate: str = "triangle"     # heaviside, lif: shape of the gradient, see golden.binary_s4d
    surrogate_width: float = 1.0    # heaviside, lif: half width of that shape
    fires_at_zero: bool = True      # heaviside: H(0) = 1
    ternary_threshold: float = 0.15     # gsu: times max |z|, see golden.gsu
    lif_threshold: float = 1.0      # lif: membrane at which a neuron spikes
    lif_reset: str = "subtract"     # lif: by the threshold, or to "zero"
    lif_reset_gradient: bool = True     # lif: through the reset too
    lif_drive: str = "ssm"          # lif: by an SSM's output, or by its "spikes" themselves

    def __post_init__(self):
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        for name in ("n_classes", "n_blocks", "d_model", "features"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.d_state < 2 or self.d_state % 2:
            raise ValueError(f"d_state must be even and at least 2, not {self.d_state}")
        if not 0 < self.dt_min <= self.dt_max:
            raise ValueError(f"dt_min, dt_max must satisfy 0 < dt_min <= dt_max, "
                             f"not {self.dt_min}, {self.dt_max}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), not {self.dropout}")
        if self.mixer not in MIXERS[self.neuron]:
            raise ValueError(f"mixer must be one of {', '.join(MIXERS[self.neuron])} with neuron "
                             f"{self.neuron}, not {self.mixer!r}")
        if self.neuron in ("heaviside", "gelu") and self.residual == "clampfuse":
            raise ValueError(f"residual clampfuse clamps probabilities; neuron {self.neuron} needs "
                             f"plain or none")
        if self.neuron == "lif":
            self._check_lif()
        self._check_ssm()
        if not self.surrogate_width > 0:
            raise ValueError(f"surrogate_width must be above 0, not {self.surrogate_width}")
        if not 0 <= self.ternary_threshold < 1:
            raise ValueError(f"ternary_threshold must be in [0, 1), not {self.ternary_threshold}")

    def _check_lif(self):
        if not self.lif_threshold > 0:
            raise ValueError(f"lif_threshold must be above 0, not {self.lif_threshold}")
        for name, only in (("sampling", "bernoulli"), ("gelu_before_sampler", False)):
            if getattr(self, name) != only:
                raise ValueError(f"{name} {getattr(self, name)} is about samplers; neuron lif has "
                                 f"none")
        if self.kernel == "two_sided" and self.lif_drive == "spikes":
            raise ValueError("kernel two_sided needs an SSM: with neuron lif, lif_drive ssm")

    def _check_ssm(self):
        if (self.ssm == "dplr") != (self.init == "hippo_legs"):
            raise ValueError(f"ssm dplr starts from init hippo_legs and only it does, "
                             f"not {self.ssm} from {self.init}")
        if self.ssm == "dplr" and self.neuron != "sampler":
            raise ValueError(f"ssm dplr needs neuron sampler, not {self.neuron}")
        if self.architecture == "released":
            for name, allowed in RELEASED.items():
                if getattr(self, name) not in allowed:
                    raise ValueError(f"{name} must be {' or '.join(allowed)} with architecture "
                                     f"released, not {getattr(self, name)!r}")
            if self.branch and self.sampling not in ("bernoulli", "mean"):
                raise ValueError(f"a branch shares uniform draws, so sampling must be bernoulli or "
                                 f"mean, not {self.sampling!r}")
            return
        for name in ("branch", "tie_dropout"):
            if getattr(self, name):
                raise ValueError(f"{name} needs architecture released")
        if self.pair and self.neuron != "sampler":
            raise ValueError(f"pair needs neuron sampler, not {self.neuron}")
        if (self.neuron in ("sampler", "lif")
                and (self.norm, self.norm_position) != ("batch", "pre")):
            raise ValueError(f"norm {self.norm}, norm_position {self.norm_position}: neuron "
                             f"{self.neuron} has only batch, pre; architecture released has others")

    @property
    def n_modes(self) -> int:
        """Complex modes per neuron, n."""
        return self.d_state // 2

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "NetworkConfig":
        """Inverse of :meth:`to_dict`; refuses unknown keys by name."""
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"unknown option {', '.join(unknown)} in the network configuration; "
                             f"known: {', '.join(f.name for f in fields(cls))}")
        return cls(**values)
