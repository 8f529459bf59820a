"""Folding: a trained golden network as the few tensors that the integers are made of, float64.

Batch norm, the sampler's output scale and C B_bar disappear; one block is then

    p_in -> s,   h <- A_bar h + g s,   s_out = [sum_k Re h_k + d s + b > u],
    z = +-act(W s_out + bias),   next p_in = clamp([p_in +] z + addend, 0, 1)

The norm behind the activation is ``gamma (act(z) - mean) / sqrt(var + eps) + beta``: ReLU and the
identity are positively homogeneous, so the size of the scale moves into the row of W and the bias,
its sign stays in ``negate`` and the rest is the addend. With ``residual = plain`` the norm is an
affine map in front of the next sampler and stays one product: alpha and beta.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from golden.cli import UserError
from golden.config import NetworkConfig
from golden.network import Network
from quant import sampling


class FoldError(UserError):
    """The hardware cannot run this network; the message names the option and what is allowed."""


@dataclass(frozen=True)
class FoldedLayer:
    """One block, float64; alpha and beta are empty except with ``residual = plain``."""

    A_bar: np.ndarray       # (H, n) complex, |A_bar| < 1
    g: np.ndarray           # (H, n) complex, 2 a C B_bar
    d: np.ndarray           # (H,) a D
    b: np.ndarray           # (H,)
    W: np.ndarray           # (H, H), rows scaled
    bias: np.ndarray        # (H,)
    negate: np.ndarray      # (H,) bool
    addend: np.ndarray      # (H,)
    alpha: np.ndarray = field(default_factory=lambda: np.zeros(0))      # (H,) of the input sampler
    beta: np.ndarray = field(default_factory=lambda: np.zeros(0))       # (H,)


@dataclass(frozen=True)
class Folded:
    """A whole network, float64; enc_w is (H,) and enc_b (H,), or (vocab, H) and empty for tokens."""

    act: str
    residual: str
    vocab: int
    layers: tuple[FoldedLayer, ...]
    enc_w: np.ndarray
    enc_b: np.ndarray
    dec_w: np.ndarray       # (n_classes, H)
    dec_b: np.ndarray       # (n_classes,)
    sampling: str = "bernoulli"


ALLOWED = {"kernel": ("causal",), "act": ("relu", "identity"), "gelu_before_sampler": (False,),
           "sampling": sampling.FORMS}


def check_config(cfg: NetworkConfig) -> None:
    """Raise :class:`FoldError` for an option that the integer network does not have."""
    for name, allowed in ALLOWED.items():
        value = getattr(cfg, name)
        if value not in allowed:
            also = ", or give one with --sampling" if name == "sampling" else ""
            raise FoldError(f"the network has {name} = {value}, the hardware needs "
                            f"{' or '.join(map(str, allowed))}; train one with that option{also}")


def _numpy(t: torch.Tensor) -> np.ndarray:
    return t.detach().to(torch.float64).numpy().copy()


def _discrete(ssm) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``DiagonalSSM.discrete`` in float64 from the stored parameters."""
    A = -np.exp(_numpy(ssm.log_A_re)) + 1j * _numpy(ssm.A_im)
    A_bar = np.exp(np.exp(_numpy(ssm.log_dt))[:, None] * A)
    C = _numpy(ssm.C)
    a = _numpy(ssm.a)
    g = 2 * a[:, None] * (C[..., 0] + 1j * C[..., 1]) * (A_bar - 1) / A
    return A_bar, g, a * _numpy(ssm.D)


def fold(net: Network) -> Folded:
    """Fold a network; its batch-norm statistics must be final (see ``golden.norms.reestimate``).

    Exact up to float64 rounding. Raises :class:`FoldError` for options that hardware has not, and
    for tensors that are not finite.
    """
    cfg = net.cfg
    check_config(cfg)
    plain = cfg.residual == "plain"
    affine = _numpy(net.input_gamma), _numpy(net.input_beta)    # of the next input sampler
    layers = []
    for block in net.blocks:
        fuse = block.fuse
        scale = _numpy(fuse.gamma) / np.sqrt(_numpy(fuse.var) + fuse.eps)
        rest = _numpy(fuse.beta) - scale * _numpy(fuse.mean)
        W, bias = _numpy(block.mixer.weight), _numpy(block.mixer.bias)
        here = affine
        if plain:
            affine, size, negate, addend = (scale, rest), 1.0, np.zeros(cfg.d_model, bool), 0 * rest
        else:
            size, negate, addend = np.abs(scale), scale < 0, rest
        layers.append(FoldedLayer(*_discrete(block.ssm), _numpy(block.b),
                                  (W.T * size).T, bias * size, negate, addend,
                                  *(here if plain else ())))
    encoder = net.encoder
    folded = Folded(cfg.act, cfg.residual, cfg.vocab, tuple(layers), _numpy(encoder.weight),
                    np.zeros(0) if encoder.tokens else _numpy(encoder.bias),
                    _numpy(net.decoder.weight), _numpy(net.decoder.bias), cfg.sampling)
    _check_finite(folded)
    return folded


def _check_finite(folded: Folded) -> None:
    edge = {name: getattr(folded, name) for name in ("enc_w", "enc_b", "dec_w", "dec_b")}
    named = edge | {f"layer {j}, {name}": raw for j, layer in enumerate(folded.layers)
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
