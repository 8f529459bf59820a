"""Folding: a trained golden network as the few tensors that the integers are made of, float64.

Batch norm, the sampler's output scale and C B_bar disappear; one block is then

    p_in -> s,   h <- A_bar h + g s,   s_out = [sum_k Re h_k + d s + b > u],
    z = +-act(W s_out + bias),   next p_in = clamp([p_in +] z + addend, 0, 1)

The norm behind the activation is ``gamma (act(z) - mean) / sqrt(var + eps) + beta``: ReLU and the
identity are positively homogeneous, so the size of the scale moves into the row of W and the bias,
its sign stays in ``negate`` and the rest is the addend. Behind GELU the scale stays a product, the
gain. Where a real-valued stream x flows between blocks (``STREAMS``), the norm is an affine map in
front of the next sampler and stays one product: alpha and beta. So does the released code's affine
in front of its norm, which joins them; its norm behind the residual sum is gain and addend; its
last norm goes into the decoder. With a GELU before the output sampler that one's scale a stays
outside g.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from golden.base.cli import UserError
from golden.config import NetworkConfig
from golden.network import Network
from golden.pair import PairHead
from golden.released_network import ReleasedNetwork
from quant.integer import sampling


class FoldError(UserError):
    """The hardware cannot run this network; the message names the option and what is allowed."""


@dataclass(frozen=True)
class FoldedLayer:
    """One block, float64; alpha to gain are empty where the network has none."""

    A_bar: np.ndarray       # (H, n) complex, |A_bar| < 1
    g: np.ndarray           # (H, n) complex, 2 a C B_bar
    d: np.ndarray           # (H,) a D
    b: np.ndarray           # (H,)
    W: np.ndarray           # (H, H), rows scaled
    bias: np.ndarray        # (H,)
    negate: np.ndarray      # (H,) bool
    addend: np.ndarray      # (H,)
    alpha: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (H,) of the input sampler
    beta: np.ndarray = field(default_factory=lambda: np.zeros(0))   # (H,)
    a: np.ndarray = field(default_factory=lambda: np.zeros(0))      # (H,) behind a GELU
    gain: np.ndarray = field(default_factory=lambda: np.zeros(0))   # (H,) of a norm


@dataclass(frozen=True)
class FoldedHead:
    """The head of two inputs, ``golden.pair``; nothing of the network folds into it."""

    w1: np.ndarray          # (F, 4 F)
    b1: np.ndarray          # (F,)
    w2: np.ndarray          # (n_classes, F)
    b2: np.ndarray          # (n_classes,)


@dataclass(frozen=True)
class Folded:
    """A whole network, float64; enc_w is (H,) and enc_b (H,), or (vocab, H) and empty for tokens."""

    act: str
    residual: str           # as in quant.integer.artifact: "replace" is the released code's "none"
    vocab: int
    layers: tuple[FoldedLayer, ...]
    enc_w: np.ndarray
    enc_b: np.ndarray
    dec_w: np.ndarray       # (outputs, H)
    dec_b: np.ndarray       # (outputs,)
    sampling: str = "bernoulli"
    head: FoldedHead | None = None


ALLOWED = {"neuron": ("sampler",), "kernel": ("causal",), "branch": (False,), "norm": ("batch",),
           "sampling": sampling.FORMS}


def check_config(cfg: NetworkConfig) -> None:
    """Raise :class:`FoldError` for an option that the integer network does not have."""
    for name, allowed in ALLOWED.items():
        value = getattr(cfg, name)
        if value not in allowed:
            also = ", or give one with --sampling" if name == "sampling" else ""
            raise FoldError(f"the network has {name} = {value}, the hardware needs "
                            f"{' or '.join(map(str, allowed))}; train one with that option{also}")
    if cfg.pair and cfg.architecture != "paper":
        raise FoldError("the network has pair = True and architecture = released, whose head sees "
                        "every neuron; the hardware needs architecture paper and its features")


def _numpy(t: torch.Tensor) -> np.ndarray:
    return t.detach().to(torch.float64).numpy().copy()


def _discrete(ssm) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``DiagonalSSM.discrete`` in float64 from the stored parameters."""
    A = -np.exp(_numpy(ssm.log_A_re)) + 1j * _numpy(ssm.A_im)
    A_bar = np.exp(np.exp(_numpy(ssm.log_dt))[:, None] * A)
    C = _numpy(ssm.C)
    a = np.ones(len(C)) if ssm.a is None else _numpy(ssm.a)
    g = 2 * a[:, None] * (C[..., 0] + 1j * C[..., 1]) * (A_bar - 1) / A
    return A_bar, g, a * _numpy(ssm.D)


def fold(net: Network | ReleasedNetwork) -> Folded:
    """Fold a network; its batch-norm statistics must be final (see ``golden.norms.reestimate``).

    Exact up to float64 rounding. Its layers must be diagonal (see ``quant.diagonalise``). Raises
    :class:`FoldError` for options that hardware has not, and for tensors that are not finite.
    """
    check_config(net.cfg)
    if net.cfg.ssm != "diagonal":
        raise FoldError(f"the network has ssm = {net.cfg.ssm}, integers need diagonal; make it so "
                        f"with python -m quant.diagonalise")
    folded = (_fold_released if isinstance(net, ReleasedNetwork) else _fold)(net)
    _check_finite(folded)
    return folded


def _affine(norm) -> tuple[np.ndarray, np.ndarray]:
    """(scale, offset) of a batch norm in evaluation."""
    scale = _numpy(norm.gamma) / np.sqrt(_numpy(norm.var) + norm.eps)
    return scale, _numpy(norm.beta) - scale * _numpy(norm.mean)


def _folded(net, residual: str, layers: list[FoldedLayer], dec_w, dec_b) -> Folded:
    encoder = net.encoder
    return Folded(net.cfg.act, residual, net.cfg.vocab, tuple(layers), _numpy(encoder.weight),
                  np.zeros(0) if encoder.tokens else _numpy(encoder.bias), dec_w, dec_b,
                  net.cfg.sampling, _head(net.head) if net.cfg.pair else None)


def _head(head: PairHead) -> FoldedHead:
    return FoldedHead(*(_numpy(t) for layer in (head.hidden, head.last)
                        for t in (layer.weight, layer.bias)))


def _fold(net: Network) -> Folded:
    cfg = net.cfg
    plain = cfg.residual == "plain"
    affine = _numpy(net.input_gamma), _numpy(net.input_beta)    # of the next input sampler
    layers = []
    for block in net.blocks:
        fuse = block.fuse
        scale, rest = _affine(fuse)
        W, bias = _numpy(block.mixer.weight), _numpy(block.mixer.bias)
        extra = {"a": np.ones(cfg.d_model)} if block.gelu else {}
        size, negate, addend = 1.0, np.zeros(cfg.d_model, bool), rest
        if plain:
            extra |= dict(zip(("alpha", "beta"), affine))
            affine, addend = (scale, rest), 0 * rest
        elif cfg.act == "gelu":
            extra["gain"] = scale
        else:
            size, negate = np.abs(scale), scale < 0
        layers.append(FoldedLayer(*_discrete(block.ssm), _numpy(block.b), (W.T * size).T,
                                  bias * size, negate, addend, **extra))
    return _folded(net, cfg.residual, layers, _numpy(net.decoder.weight),
                   _numpy(net.decoder.bias))


def _fold_released(net: ReleasedNetwork) -> Folded:
    cfg = net.cfg
    zero = np.zeros(cfg.d_model)
    layers = []
    for block in net.blocks:
        scale, rest = _affine(block.norm)
        alpha, beta = _numpy(block.inp.a), _numpy(block.inp.b)
        A_bar, g, d = _discrete(block.ssm)
        a, b = _numpy(block.out.a), _numpy(block.out.b)
        extra, addend = {}, zero
        if cfg.gelu_before_sampler:
            extra["a"] = a
        else:
            g, d = a[:, None] * g, a * d
        if cfg.norm_position == "pre":
            alpha, beta = scale * alpha, scale * beta + rest
        else:
            extra["gain"], addend = scale, rest
        layers.append(FoldedLayer(A_bar, g, d, b, _numpy(block.mixer.weight),
                                  _numpy(block.mixer.bias), zero > 0, addend, alpha, beta, **extra))
    dec_w, dec_b = _numpy(net.decoder.weight), _numpy(net.decoder.bias)
    if net.last_norm is not None:
        scale, rest = _affine(net.last_norm)
        dec_w, dec_b = dec_w * scale, dec_b + dec_w @ rest
    return _folded(net, {"none": "replace"}.get(cfg.residual, cfg.residual), layers, dec_w, dec_b)


def _check_finite(folded: Folded) -> None:
    edge = {name: getattr(folded, name) for name in ("enc_w", "enc_b", "dec_w", "dec_b")}
    named = edge | {f"layer {j}, {name}": raw for j, layer in enumerate(folded.layers)
                    for name, raw in vars(layer).items()}
    if folded.head:
        named |= {f"head, {name}": raw for name, raw in vars(folded.head).items()}
    for name, raw in named.items():
        bad = np.count_nonzero(~np.isfinite(raw))
        if bad:
            raise FoldError(f"{name}: {bad} of {raw.size} values are not finite")
    for j, layer in enumerate(folded.layers):
        bad = np.count_nonzero(np.abs(layer.A_bar) >= 1)
        if bad:
            raise FoldError(f"layer {j}, A_bar: {bad} of {layer.A_bar.size} modes have "
                            f"|A_bar| >= 1, the state would not decay")
