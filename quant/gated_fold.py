"""Folding a Binary S4D or a GSU network into the tensors that its integers are made of, float64.

C B_bar becomes one coefficient, a batch norm an affine map per neuron, and the norm behind the last
block (with norms in front) goes into the decoder: a mean over time and an affine map commute.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch

from golden.gated import GatedNetwork
from quant.lower.passes import FoldError


@dataclass(frozen=True)
class GatedFoldedLayer:
    """One block, float64."""

    alpha: np.ndarray       # (H,) of its norm
    beta: np.ndarray        # (H,)
    A_bar: np.ndarray       # (H, n) complex, |A_bar| < 1
    g: np.ndarray           # (H, n) complex, 2 C B_bar
    d: np.ndarray           # (H,) D
    W: np.ndarray           # (H, H) of n
    bias: np.ndarray        # (H,)
    gate_W: np.ndarray      # (H, H) of m; gsu: before Tern
    gate_bias: np.ndarray   # (H,)


@dataclass(frozen=True)
class GatedFolded:
    """A whole network, float64; enc_w, enc_b are (H,), or (vocab, H) and empty for tokens."""

    mixer: str
    residual: str
    norm_position: str
    fires_at_zero: bool
    threshold: float        # of Tern, times max |z|
    vocab: int
    layers: tuple[GatedFoldedLayer, ...]
    enc_w: np.ndarray
    enc_b: np.ndarray
    dec_w: np.ndarray       # (n_classes, H)
    dec_b: np.ndarray       # (n_classes,)
    surrogate: str = "triangle"     # of H's gradient, for fine-tuning: no integer depends on it
    surrogate_width: float = 1.0


def check_config(cfg) -> None:
    """Raise :class:`quant.lower.passes.FoldError` for an option that the integer network does not have."""
    if (cfg.neuron, cfg.mixer) not in (("heaviside", "glu"), ("gelu", "gsu")):
        raise FoldError(f"the network has neuron = {cfg.neuron} and mixer = {cfg.mixer}; of those "
                        f"with a real-valued stream only heaviside with glu (Binary S4D) and gelu "
                        f"with gsu become integers")
    for name, allowed in (("kernel", "causal"), ("norm", "batch"), ("ssm", "diagonal")):
        if getattr(cfg, name) != allowed:
            raise FoldError(f"the network has {name} = {getattr(cfg, name)}, integers need "
                            f"{allowed}; train one with that option")


def _affine(norm) -> tuple[np.ndarray, np.ndarray]:
    scale = norm.gamma * torch.rsqrt(norm.var + norm.eps)
    return scale.numpy(), (norm.beta - scale * norm.mean).numpy()


@torch.no_grad()
def fold(net: GatedNetwork) -> GatedFolded:
    """Fold a network; its norms' statistics must be final (``golden.norms.reestimate``).

    Exact up to float64 rounding. Raises ``FoldError`` for options that the integers have not, and
    for tensors that are not finite.
    """
    cfg = net.cfg
    check_config(cfg)
    net = copy.deepcopy(net).double()
    layers = []
    for block in net.blocks:
        value, gate = block.mixer.value, block.mixer.gate
        layers.append(GatedFoldedLayer(
            *_affine(block.norm), *(t.numpy() for t in block.ssm.discrete()),
            *(t.numpy() for t in (value.weight, value.bias, gate.weight, gate.bias))))
    dec_w, dec_b = net.decoder.weight.numpy(), net.decoder.bias.numpy()
    if net.prenorm:
        alpha, beta = _affine(net.last_norm)
        dec_w, dec_b = dec_w * alpha, dec_b + dec_w @ beta
    encoder = net.encoder
    folded = GatedFolded(
        cfg.mixer, cfg.residual, cfg.norm_position, cfg.fires_at_zero, cfg.ternary_threshold,
        cfg.vocab, tuple(layers), encoder.weight.numpy(),
        np.zeros(0) if encoder.tokens else encoder.bias.numpy(), dec_w, dec_b,
        cfg.surrogate, cfg.surrogate_width)
    _check_finite(folded)
    return folded


def _check_finite(folded: GatedFolded) -> None:
    named = {name: getattr(folded, name) for name in ("enc_w", "enc_b", "dec_w", "dec_b")}
    named |= {f"layer {j}, {name}": raw for j, layer in enumerate(folded.layers)
              for name, raw in vars(layer).items()}
    for name, raw in named.items():
        bad = np.count_nonzero(~np.isfinite(raw))
        if bad:
            raise FoldError(f"{name}: {bad} of {raw.size} values are not finite")
    for j, layer in enumerate(folded.layers):
        bad = np.count_nonzero(np.abs(layer.A_bar) >= 1)
        if bad:
            raise FoldError(f"layer {j}, A_bar: {bad} of {layer.A_bar.size} modes have "
                            f"|A_bar| >= 1, the state would not decay")
