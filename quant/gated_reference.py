"""Bit-exact integer reference of Binary S4D and the gated spiking unit.

As ``quant.integer.reference``: int64, one function per operation, the one rounding rule. A vector over the
H neurons is the last axis everywhere, so all but ``run`` work on any leading axes too.

One step of one block, norm in front (behind it: u is x itself, and the norm comes last):

    u = round(alpha x + beta)                     H products
    h <- round(A_bar h + g u)                     six products per complex state, of g u two
    y = sum Re h + d u                            H products, exact
    glu: s = [y >= 0];        n = W s + b,  gate = sigmoid table of round(W' s + b')
    gsu: z = GELU(round(y)),  s = Tern(z),  n = W s + b,  gate = round(T z + b'),  T ternary
    x <- round([x +] n gate)                      H products
"""

from dataclasses import dataclass

import numpy as np

from quant.integer import reference
from quant.formats import THRESHOLD, QFormat
from quant.gated_artifact import GatedArtifact, GatedLayer
from quant.integer.reference import round_half_even, state_update

COUNTED = ("u", "h", "y", "n", "gate", "x")     # tensors that can saturate, in Trace.saturations


def lose(raw, f_bits: int, dst: QFormat):
    """``reference.requantize`` from ``f_bits`` fraction bits. Returns value, where it saturated."""
    rounded = round_half_even(raw, f_bits - dst.f_bits)
    out = np.clip(rounded, dst.lo, dst.hi)
    return out, out != rounded


def encode(value, art: GatedArtifact):
    """Stream x (..., H) of samples or tokens (...), ``w v + b``. Returns x, where it saturated."""
    if art.vocab:
        return art.enc_w[value], np.zeros(np.shape(value) + (art.H,), bool)
    edge, f = art.edge, art.edge.enc_w.f_bits + art.edge.sample.f_bits
    raw = art.enc_w * np.asarray(value)[..., None] + (art.enc_b << f - edge.enc_b.f_bits)
    return lose(raw, f, art.layers[0].fmt.x)


def normalise(x, layer: GatedLayer, dst: QFormat):
    """``alpha x + beta`` in the format ``dst``: u's, or x's with the norm behind.

    Returns it, and where it saturated.
    """
    f = layer.fmt.alpha.f_bits + layer.fmt.x.f_bits
    return lose(layer.alpha * x + (layer.beta << f - layer.fmt.beta.f_bits), f, dst)


def drive(re_sum, u, layer: GatedLayer):
    """``y = sum Re h + d u``, h after the update, exact."""
    return (re_sum << layer.fmt.y_bits - layer.fmt.h.f_bits) + layer.d * u


def heaviside(y, fires_at_zero: int):
    """1 where y >= 0; without ``fires_at_zero`` where y > 0."""
    return (y >= 1 - fires_at_zero).astype(np.int64)


def gelu(y, layer: GatedLayer):
    """GELU of the rounded y, in y's format: ``max(y, 0)`` less the table at |y|.

    The table ends where the rest is below its half LSB; beyond its last entry that is taken.
    Returns z, where y saturated.
    """
    f = layer.fmt
    y, over = lose(y, f.y_bits, f.y)
    index = np.minimum(round_half_even(abs(y), f.y.f_bits - f.index.f_bits), f.index.hi)
    return np.maximum(y, 0) - (layer.table[index] << f.y.f_bits - f.table.f_bits), over


def ternary(z, threshold: int):
    """sign(z) where ``|z| > c max |z|``, else 0; the maximum over the neurons, c = threshold 2**-8.

    One product a step: ``c max |z|`` is compared with |z| shifted to its fraction bits.
    """
    size = abs(z)
    limit = threshold * size.max(-1, keepdims=True)
    return np.sign(z) * ((size << THRESHOLD.f_bits) > limit)


def columns(w, s):
    """``W s``: the columns of W that s chooses, added where s is 1, subtracted where it is -1."""
    return s @ w.T


def value(total, layer: GatedLayer):
    """n from ``W s``. Returns n, where it saturated."""
    return lose((total << layer.shift) + layer.bias, layer.fmt.bias.f_bits, layer.fmt.n)


def sigmoid_gate(total, layer: GatedLayer):
    """glu: sigmoid(m) from ``W' s``, by the table; m beyond its ends takes the end's entry."""
    f = layer.fmt
    m, _ = lose((total << layer.gate_shift) + layer.gate_bias, f.gate_bias.f_bits, f.index)
    return layer.table[m - f.index.lo]


def linear_gate(total, layer: GatedLayer):
    """gsu: m from ``T z``. Returns m, where it saturated."""
    return lose(total + layer.gate_bias, layer.fmt.gate_bias.f_bits, layer.fmt.gate)


def fuse(x, n, gate, layer: GatedLayer, residual: str):
    """``[x +] n gate`` in x's format. Returns x, where it saturated."""
    f, product = layer.fmt, n * gate
    if residual == "plain":
        product = product + (x << f.product_bits - f.x.f_bits)
    return lose(product, f.product_bits, f.x)


@dataclass(frozen=True)
class Trace:
    """Everything of one sequence of L steps and N layers; int64 raws.

    u, s, n, gate, x : (N, L, H), x after the block; y : (N, L, H) exact sums; h_re, h_im :
    (N, L, H, n); logits : (n_classes,); label : arg max, the lowest index on a tie; saturations :
    (N + 1, len(COUNTED)) elements, the last row the encoder's.
    """

    u: np.ndarray
    h_re: np.ndarray
    h_im: np.ndarray
    y: np.ndarray
    s: np.ndarray
    n: np.ndarray
    gate: np.ndarray
    x: np.ndarray
    logits: np.ndarray
    label: int
    saturations: np.ndarray


def run(art: GatedArtifact, values: np.ndarray, seed: int | None = None) -> Trace:
    """One sequence of raw samples or tokens ``values`` (L,); rounding restarts from ``seed``."""
    L, N, H, modes = len(values), len(art.layers), art.H, art.n
    if not 1 <= L <= art.length:
        raise ValueError(f"a sequence has 1..{art.length} steps, not {L}")
    seed = art.seed if seed is None else seed
    r_round = [reference.rounding_words(art, j, seed, L) for j in range(N)]
    kept = {name: np.zeros((N, L, H), np.int64) for name in ("u", "y", "s", "n", "gate", "x")}
    h_re, h_im = (np.zeros((N, L, H, modes), np.int64) for _ in range(2))
    over = {name: np.zeros(N + 1, np.int64) for name in COUNTED}
    total = np.zeros(H, np.int64)
    def take(j, name, result):
        out, saturated = result
        over[name][j] += np.count_nonzero(saturated)
        return out

    for t in range(L):
        x = take(N, "x", encode(values[t], art))
        for j, layer in enumerate(art.layers):
            u = x
            if art.norm_position == "pre":
                u = take(j, "u", normalise(x, layer, layer.fmt.u))
            before = (h_re[j, t - 1], h_im[j, t - 1]) if t else (0 * h_re[j, 0], 0 * h_im[j, 0])
            h_re[j, t], h_im[j, t], count = state_update(
                *before, u[:, None], layer.a_re, layer.a_im, layer.g_re, layer.g_im,
                r_round[j][t], art.rounding, layer.fmt.states, art.random)
            over["h"][j] += count
            y = drive(h_re[j, t].sum(-1), u, layer)
            if art.mixer == "glu":
                s = heaviside(y, art.fires_at_zero)
                gate = sigmoid_gate(columns(layer.gate_w, s), layer)
            else:
                z = take(j, "y", gelu(y, layer))
                s = ternary(z, art.threshold)
                gate = take(j, "gate", linear_gate(columns(layer.gate_w, z), layer))
            n = take(j, "n", value(columns(layer.w, s), layer))
            x = take(j, "x", fuse(x, n, gate, layer, art.residual))
            if art.norm_position == "post":
                x = take(j, "x", normalise(x, layer, layer.fmt.x))
            for name, tensor in zip(kept, (u, y, s, n, gate, x)):
                kept[name][j, t] = tensor
        total += x
    logits = art.dec_w @ total + L * art.dec_b
    return Trace(**kept, h_re=h_re, h_im=h_im, logits=logits, label=int(np.argmax(logits)),
                 saturations=np.stack(list(over.values()), 1))
