"""Operations per time step of a network, of S4D of equal size and of LIF neurons.

Two countings, per block of H neurons with n complex modes, at spike rates ``r_in`` and ``r_out``
(spikes per neuron and step):

* :func:`paper_counting`: one accumulate for every spike at a neuron's input and H for every spike
  that the mixer takes in, ``r_in H + r_out H^2``; without spikes each is a multiply-accumulate,
  ``H + H^2``. It leaves out the n state variables of every neuron, the norm, encoder and decoder.
  This is our reading of the energy table of Bal & Sengupta (ICLR 2025), of which the operation
  prices and the ratio are known to us, not the text of the formula: the ratio of the two is
  ``4.6 / (0.9 r)``, 70 at a rate of 7 %, which fits their "more than 70 times".
* :func:`spiking`, :func:`dense`, :func:`lif`: all that is computed at a step, by part. Each kind of
  step has its entry in ``COUNTS``, in the form in which it costs least: g = 2 a C B_bar merged, so
  that no product reads the state out; norm and scale folded into the mixer's weights where the
  activation allows it; nothing for what no one reads behind the last block.

Comparisons, random words and functions (GELU) are counted but not priced, nor is any memory access,
which in hardware may well cost more than the arithmetic.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields, replace

import torch

from golden.base.cli import UserError
from golden.model import families, ops
from golden.model.block import Block, Wired
from golden.model.config import NetworkConfig, PaperConfig
from golden.model.norms import Norm
from golden.model.ssm import DiagonalSSM

Rates = list[tuple[float, float]]       # (r_in, r_out) of every block

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

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]


def total(parts: dict[str, Count]) -> Count:
    return sum(parts.values(), Count())


def ends(cfg: NetworkConfig) -> dict[str, Count]:
    """Encoder and decoder at every step; see :func:`per_sequence` for the decoder's matrix."""
    H = cfg.d_model
    return {"encoder": Count() if cfg.vocab else Count(mac=H), "decoder": Count(add=H)}


def per_sequence(cfg: NetworkConfig) -> Count:
    """The decoder's matrix on the sum over time, and its bias; of a pair for one sequence."""
    outputs = cfg.features or cfg.n_classes       # the head runs once for two
    return Count(mac=cfg.d_model * outputs, add=outputs)


@dataclass(frozen=True)
class At:
    """Where a step stands.

    ``rate`` is of the spikes that it reads, None where it reads real numbers. ``before`` is the
    kind of step that made what it reads, with which it may be one; None if something else reads
    that too, or it is the stream x. ``inner``: between a state space model and its neuron.
    """

    H: int
    modes: int                      # of all neurons together; two-sided ones count twice
    rate: float | None
    before: type | None
    inner: bool

    @property
    def part(self) -> str:
        return "gelu" if self.inner else "fuse"


def _affine(_op, at: At) -> dict[str, Count]:
    """A map of each neuron: in the g, d and b of states, in the mixer's rows, or one product."""
    if at.before in (ops.Affine, DiagonalSSM):
        return {at.part: Count()}
    return {at.part: Count(add=at.H) if at.before is ops.Mix else Count(mac=at.H)}


def _norm(op: Norm, at: At) -> dict[str, Count]:
    """A layer norm shares one of its three products with a map in front of it."""
    if op.kind == "batch":
        return _affine(op, at)
    return {at.part: Count(mac=(2 if at.before is ops.Affine else 3) * at.H, add=at.H, function=1)}


def _states(_op, at: At) -> dict[str, Count]:
    """``h <- A_bar h + g u``, 4 products per mode and 2 for a real u; ``y = sum Re h + d u + b``.
    """
    if at.rate is None:
        return {"states": Count(mac=(4 + 2) * at.modes + at.H, add=at.modes)}
    return {"states": Count(mac=4 * at.modes,
                            add=2 * at.modes * at.rate + at.modes + at.H * at.rate)}


def _mix(op: ops.Mix, at: At) -> dict[str, Count]:
    """A column of W for every spike; ternary weights only add, too."""
    size = op.in_features * op.out_features
    if at.rate is None and not isinstance(op, ops.TernaryMix):
        return {"mixer": Count(mac=size, add=op.out_features)}
    return {"mixer": Count(add=size * (1 if at.rate is None else at.rate) + op.out_features)}


def _curve(op: ops.Curve, at: At) -> dict[str, Count]:
    smooth = op.kind in ("gelu", "sigmoid")
    return {at.part: Count(function=at.H * smooth, compare=at.H * (op.kind == "relu"))}


def _clamp(_op, at: At) -> dict[str, Count]:
    """Of a sum; what only a sampler reads needs none, as it clamps by itself."""
    return {at.part: Count(compare=2 * at.H * (at.before is ops.Add))}


def _sampler(op: ops.Fire, at: At) -> dict[str, Count]:
    """Behind a GELU its b, and the a in front of it, are a product of their own."""
    outside = op.b is not None and at.before is ops.Curve
    return {"samplers": Count(compare=at.H, random=at.H)} | (
        {"gelu": Count(mac=at.H)} if outside else {})


COUNTS: dict[type, Callable] = {
    ops.Affine: _affine, Norm: _norm, DiagonalSSM: _states, ops.Mix: _mix, ops.TernaryMix: _mix,
    ops.Curve: _curve, ops.Fire: _sampler, ops.Clamp: _clamp,
    ops.ClampInput: lambda op, at: {},
    ops.Mask: lambda op, at: {},
    ops.Add: lambda op, at: {"fuse": Count(add=at.H)},
    ops.Product: lambda op, at: {"mixer": Count(mac=at.H)},
    ops.Heaviside: lambda op, at: {"neurons": Count(compare=at.H)},
    ops.Ternary: lambda op, at: {"neurons": Count(compare=3 * at.H)}}   # one for the maximum


def live(cfg: NetworkConfig) -> list[tuple[int, Wired, bool]]:
    """(block, step, whether no other reads what it reads); not those that make what no one reads.
    """
    family = families.of(cfg)
    cfg = replace(cfg, init="s4d_lin")  # as many modes as of any other
    with torch.device("meta"):          # numbers are not needed
        parts = [family.first(cfg), *(family.block(cfg, k) for k in range(cfg.n_blocks))]
        steps = [(max(k - 1, 0), step) for k, part in enumerate(parts)
                 for step in Block(part).steps]
    needed, found = {"x"}, []
    for k, step in reversed(steps):
        if step.makes[0] in needed and type(step.op) is not ops.Dropout:
            needed.discard(step.makes[0])
            found.append((k, step, step.reads[0] not in needed))
            needed |= set(step.reads)
    return found[::-1]


def counted(cfg: NetworkConfig, rates: Rates | None, **instead: Callable) -> dict[str, Count]:
    """Operations of a step by part, without spikes where ``rates`` is None.

    ``instead`` has entries in place of those of ``COUNTS``, by the name of the kind. Raises
    ``UserError`` for a kind of step that is not counted.
    """
    H, parts = cfg.d_model, defaultdict(Count, ends(cfg))
    modes = H * cfg.n_modes * (2 if cfg.kernel == "two_sided" else 1)
    before, inner = {}, False
    for k, step, alone in live(cfg):
        kind, read = type(step.op), step.reads[0]
        if kind not in COUNTS:
            raise UserError(f"operations of {kind.__name__} are not counted; those of "
                            f"{', '.join(sorted(k.__name__ for k in COUNTS))} are")
        spikes = rates and step.reads[-1] in ("s", "s_in", "s_out")
        at = At(H, modes, rates[k][read == "s_out"] if spikes else None,
                before.get(read) if alone and read != "x" else None, inner)
        for part, count in instead.get(kind.__name__, COUNTS[kind])(step.op, at).items():
            parts[part] += count
        folds = kind is ops.Mask or kind is ops.Curve and step.op.kind != "gelu"
        before[step.makes[0]] = before.get(read) if folds else kind
        inner = kind is DiagonalSSM or inner and kind not in (ops.Fire, ops.Heaviside, ops.Mix)
    return parts


def spiking(cfg: NetworkConfig, rates: Rates) -> dict[str, Count]:
    """Operations of a step of a network of samplers, or of a stream (r_in is not read), by part."""
    return counted(cfg, rates)


def _outside(op, at: At) -> dict[str, Count]:
    """Nothing of what stands between a state space model and a sampler that is replaced."""
    return {} if at.inner else COUNTS[type(op)](op, at)


def dense(cfg: NetworkConfig) -> dict[str, Count]:
    """S4D of equal size: the same network without samplers, a GELU between SSM and mixer."""
    def activation(op: ops.Fire, at: At):
        return {"states": Count(function=at.H * op.output)}

    return counted(cfg, None, Fire=activation, Curve=_outside, Affine=_outside,
                   Clamp=lambda op, at: {})


def lif(cfg: NetworkConfig, rates: Rates, driven: bool) -> dict[str, Count]:
    """LIF neurons in the place of the samplers, ``driven`` by an SSM or alone."""
    H, subtracts = cfg.d_model, getattr(cfg, "reset", "subtract") == "subtract"
    if cfg.family == "lif":             # the network of samplers of its size
        shared = {f.name: getattr(cfg, f.name) for f in fields(NetworkConfig)}
        cfg = PaperConfig(act=cfg.act, residual=cfg.residual, **shared)

    def neurons(op: ops.Fire, at: At):      # alpha v + x, u >= 1, and the reset
        spikes = rates[op.number // 2][op.number % 2]
        return {"neurons": Count(mac=H, compare=H, add=H * spikes * subtracts)}

    def drive(_op, at: At):                 # a s + b
        return {"neurons": Count(add=H * at.rate + H)}

    return counted(cfg, rates, Fire=neurons, Curve=_outside, Affine=_outside,
                   **({} if driven else {"DiagonalSSM": drive}))


def paper_counting(cfg: NetworkConfig, rates: list[tuple[float, float]] | None) -> Count:
    """Operations of a step as the paper counts them; ``rates`` None: without spikes."""
    H = cfg.d_model
    if rates is None:
        return Count(mac=(H + H * H) * cfg.n_blocks)
    return Count(add=sum(r_in * H + r_out * H * H for r_in, r_out in rates))
