"""Operations per time step of P-SpikeSSM, of S4D of equal size and of LIF neurons.

Two countings, per block of H neurons with n complex modes, at spike rates ``r_in`` and ``r_out``
(spikes per neuron and step):

* :func:`paper_counting`: one accumulate for every spike at a neuron's input and H for every spike
  that the mixer takes in, ``r_in H + r_out H^2``; without spikes each is a multiply-accumulate,
  ``H + H^2``. It leaves out the n state variables of every neuron, the norm, encoder and decoder.
  This is our reading of the energy table of Bal & Sengupta (ICLR 2025), see docs/analysis.md.
* :func:`spiking`, :func:`dense`, :func:`lif`: all that is computed at a step, by part, in the form
  in which it costs least: g = 2 a C B_bar merged, so that no product reads the state out; norm and
  scale folded into the mixer's weights where the activation allows it.

Comparisons, random words and functions (GELU) are counted but not priced, nor is any memory access,
which in hardware may well cost more than the arithmetic.
"""

from dataclasses import astuple, dataclass

from golden.model.config import NetworkConfig

MAC_PJ, ADD_PJ = 4.6, 0.9       # 32-bit floating point in 45 nm (Horowitz, ISSCC 2014)


@dataclass(frozen=True)
class Count:
    """Numbers of operations; a product counts as a multiply-accumulate."""

    mac: float = 0.0
    add: float = 0.0            # accumulates, among them the conditional ones of spikes
    compare: float = 0.0
    random: float = 0.0         # random words
    function: float = 0.0       # GELU, square root

    def __add__(self, other: "Count") -> "Count":
        return Count(*(a + b for a, b in zip(astuple(self), astuple(other))))

    def __mul__(self, factor: float) -> "Count":
        return Count(*(a * factor for a in astuple(self)))

    @property
    def picojoules(self) -> float:
        return MAC_PJ * self.mac + ADD_PJ * self.add

def total(parts: dict[str, Count]) -> Count:
    return sum(parts.values(), Count())


def activation(kind: str, H: int) -> Count:
    return {"relu": Count(compare=H), "gelu": Count(function=H), "identity": Count()}[kind]


def norm(cfg: NetworkConfig) -> Count:
    """A norm of the stream that folds into nothing: batch is one affine map."""
    H = cfg.d_model
    return Count(mac=H) if cfg.norm == "batch" else Count(mac=3 * H, add=H, function=1)


def fuse(cfg: NetworkConfig) -> Count:
    """From the mixer's sum with its bias to the next block's input: activation, norm, residual."""
    H, act = cfg.d_model, activation(cfg.act, cfg.d_model)
    if cfg.family == "released":
        residual = Count(add=H) if cfg.residual == "plain" else Count()
        affine = Count(mac=H) if cfg.norm_position == "post" else Count()    # else in the norm
        return act + residual + affine + norm(cfg)
    if cfg.residual == "plain":
        return act + Count(add=H, mac=H)                    # x + z, then alpha x + beta
    addend = Count(mac=H) if cfg.act == "gelu" else Count(add=H)    # a scale passes a ReLU
    if cfg.residual == "none":
        return act + addend
    return act + addend + Count(add=H, compare=2 * H)       # p + z, and the clamp


def ends(cfg: NetworkConfig) -> dict[str, Count]:
    """Encoder and decoder at every step; see :func:`per_sequence` for the decoder's matrix."""
    H = cfg.d_model
    return {"encoder": Count() if cfg.vocab else Count(mac=H), "decoder": Count(add=H)}


def per_sequence(cfg: NetworkConfig) -> Count:
    """The decoder's matrix on the sum over time, and its bias; of a pair for one sequence."""
    outputs = cfg.features or cfg.n_classes       # the head runs once for two
    return Count(mac=cfg.d_model * outputs, add=outputs)


def ssm_on_spikes(cfg: NetworkConfig, r_in: float) -> Count:
    """``h <- A_bar h + g s``: 4 products per mode; ``p = sum Re h + d s + b``: no product."""
    H = cfg.d_model
    modes = H * cfg.n_modes * (2 if cfg.kernel == "two_sided" else 1)
    return Count(mac=4 * modes, add=2 * modes * r_in + modes + H * r_in)


def spiking(cfg: NetworkConfig, rates: list[tuple[float, float]]) -> dict[str, Count]:
    """P-SpikeSSM: operations of a step by part, for the (r_in, r_out) of every block."""
    H, parts = cfg.d_model, ends(cfg)
    if cfg.gelu_before_sampler:         # a and b stay outside of it
        parts["gelu"] = Count(mac=H, function=H) * len(rates)
    parts["states"] = sum((ssm_on_spikes(cfg, r_in) for r_in, _ in rates), Count())
    parts["samplers"] = Count(compare=2 * H, random=2 * H) * len(rates)
    parts["mixer"] = sum((Count(add=H * H * r_out + H) for _, r_out in rates), Count())
    parts["fuse"] = fuse(cfg) * len(rates)
    return parts


def dense(cfg: NetworkConfig) -> dict[str, Count]:
    """S4D of equal size: the same network without samplers, a GELU between SSM and mixer."""
    H, parts = cfg.d_model, ends(cfg)
    modes = H * cfg.n_modes * (2 if cfg.kernel == "two_sided" else 1)
    # A_bar h, g u, the sum of the real parts, d u, and b
    state = Count(mac=(4 + 2) * modes + H, add=modes)
    parts["states"] = (state + activation("gelu", H)) * cfg.n_blocks
    parts["mixer"] = Count(mac=H * H, add=H) * cfg.n_blocks
    clamp_free = fuse(cfg) + Count(compare=-2 * H if cfg.residual == "clampfuse" else 0)
    parts["fuse"] = clamp_free * cfg.n_blocks
    return parts


def lif(cfg: NetworkConfig, rates: list[tuple[float, float]], driven: bool) -> dict[str, Count]:
    """The network with LIF neurons (family lif), ``driven`` by an SSM or alone."""
    H, parts = cfg.d_model, ends(cfg)
    if driven:                                          # b is in the SSM's sum
        parts["states"] = sum((ssm_on_spikes(cfg, r_in) for r_in, _ in rates), Count())
    drive = Count() if driven else sum((Count(add=H * r_in + H) for r_in, _ in rates), Count())
    leaks = Count(mac=2 * H, compare=2 * H) * len(rates)                # alpha v + x, u >= 1
    subtracts = getattr(cfg, "reset", "subtract") == "subtract"
    resets = sum(H * (r_in + r_out) for r_in, r_out in rates) * subtracts
    parts["neurons"] = drive + leaks + Count(add=resets)
    parts["mixer"] = sum((Count(add=H * H * r_out + H) for _, r_out in rates), Count())
    parts["fuse"] = fuse(cfg) * len(rates)
    return parts


def paper_counting(cfg: NetworkConfig, rates: list[tuple[float, float]] | None) -> Count:
    """Operations of a step as the paper counts them; ``rates`` None: without spikes."""
    H = cfg.d_model
    if rates is None:
        return Count(mac=(H + H * H) * cfg.n_blocks)
    return Count(add=sum(r_in * H + r_out * H * H for r_in, r_out in rates))
