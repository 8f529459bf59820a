"""Bit-exact integer reference. Everything else must equal these functions on every input.

With ``quant.integer.sampling``, which has the spikes, and ``quant.integer.curves``. Written to be read: int64, one
function per operation, one sequence at a time. ``quant.integer.network`` runs the same whole test sets at a
time and is tested against this.
"""

from dataclasses import dataclass

import numpy as np

from quant.integer import lfsr
from quant.integer.artifact import Artifact, Layer
from quant.formats import STREAMS, QFormat, RandomFormat
from quant.integer.curves import gelu
from quant.integer.sampling import SpikeSampler


def requantize(raw, src: QFormat, dst: QFormat):
    """Round half to even to ``dst.f_bits``, then saturate.

    Half to even is what ``torch.round`` does, hence Brevitas' default ``FloatToIntImplType.ROUND``.
    """
    return np.clip(round_half_even(raw, src.f_bits - dst.f_bits), dst.lo, dst.hi)


def round_half_even(raw, shift: int):
    """``raw / 2**shift`` to the nearest integer, ties to the even one; shift >= 0."""
    down = raw >> shift
    rest = raw - (down << shift)
    half = 1 << shift >> 1
    return down + ((rest > half) | ((rest == half) & (down & 1 == 1) & (shift > 0)))


def round_stochastic(raw, shift: int, r, r_bits: int):
    """``raw / 2**shift`` rounded up with the probability of its fraction; shift > r_bits.

    ``floor(raw / 2**shift + (r + 1/2) 2**-r_bits)`` for the random word r of ``r_bits`` bits.
    """
    return (raw + (r << shift - r_bits) + (1 << shift - r_bits - 1)) >> shift


def saturate(raw, dst: QFormat):
    """(clipped raw, number of clipped elements)."""
    out = np.clip(raw, dst.lo, dst.hi)
    return out, int(np.count_nonzero(out != raw))


def state_update(h_re, h_im, s, a_re, a_im, g_re, g_im, r, rounding: str, fmt,
                 random: RandomFormat):
    """One step ``h <- round(A_bar h + g s)`` of complex modes; then saturation.

    s is 0 or 1. r is the rounding word: its low ``round_bits`` round the real part, the next
    ``round_bits`` the imaginary part. Returns h_re, h_im, saturated parts.
    """
    f_acc = fmt.a_bar.f_bits + fmt.h.f_bits
    align = f_acc - fmt.g.f_bits
    acc_re = a_re * h_re - a_im * h_im + ((g_re * s) << align)
    acc_im = a_re * h_im + a_im * h_re + ((g_im * s) << align)
    shift = fmt.a_bar.f_bits
    if rounding == "stochastic":
        bits = random.round_bits
        acc_re = round_stochastic(acc_re, shift, r & ((1 << bits) - 1), bits)
        acc_im = round_stochastic(acc_im, shift, r >> bits, bits)
    else:
        acc_re, acc_im = round_half_even(acc_re, shift), round_half_even(acc_im, shift)
    h_re, over_re = saturate(acc_re, fmt.h)
    h_im, over_im = saturate(acc_im, fmt.h)
    return h_re, h_im, over_re + over_im


def rounding_words(art: Artifact, layer: int, seed: int, steps: int, first: int = 0
                   ) -> np.ndarray:
    """(steps, H, n) words of a layer's stochastic rounding from step ``first`` on, int64.

    Zeros with ``half_even``.
    """
    shape = steps, art.H, art.n
    if art.rounding != "stochastic":
        return np.zeros(shape, np.int64)
    start = lfsr.stream_start(art.random, seed, lfsr.stream_index(layer, lfsr.ROUNDING))
    bits = lfsr.word_bits(art.random, lfsr.ROUNDING)
    per_step = art.H * art.n
    return lfsr.words(art.random, start, bits, steps * per_step, first * per_step).reshape(shape)


def drive(h_re, s, layer: Layer):
    """``y = sum_k Re h_k + d s + b``, h after the update, (H,); without b before a GELU."""
    y = h_re.sum(-1) + layer.d * s
    return y if layer.fmt.a else y + layer.b


def output_probability(y, layer: Layer):
    """p of the output sampler: y itself, or ``a GELU(y) + b``, exact."""
    if not layer.fmt.a:
        return y
    return layer.a * gelu(y, layer.fmt.h.f_bits) + (layer.b << layer.fmt.a.f_bits)


def mix(s_out, layer: Layer, act: str):
    """``+-act(W s << shift + bias)``: the columns of the neurons that fired; (H,) in p's scale."""
    z = (layer.w @ s_out << layer.shift) + layer.bias
    if act == "relu":
        z = np.maximum(z, 0)
    elif act == "gelu":
        z = gelu(z, layer.fmt.p.f_bits)
    return np.where(layer.negate == 1, -z, z)


def fuse(z, x, layer: Layer, residual: str):
    """The next block's input from z and this block's x. Returns x_next, saturated elements.

    ``clampfuse``: clamp(x + gain z + addend, 0, 1); ``none``: clamp(gain z + addend, 0, 1);
    ``plain``: gain (x + z) + addend, saturated to x's format (only a stream's counts as
    saturation); ``replace``: gain z + addend, likewise. The product is rounded half to even; a
    missing gain is one.
    """
    fmt = layer.fmt
    if residual == "plain":
        z = x + z
    if fmt.gain:
        z = round_half_even(layer.gain * z, fmt.gain.f_bits)
    z = z + layer.addend
    if residual in STREAMS:
        return saturate(z, fmt.x)
    return np.clip(z + x if residual == "clampfuse" else z, 0, 1 << fmt.p.f_bits), 0


def input_probability(x, layer: Layer, residual: str):
    """p of the input sampler: x itself, or ``alpha x + beta`` of a stream."""
    if residual not in STREAMS:
        return x
    f = layer.fmt.p_in_bits(residual)
    return layer.alpha * x + (layer.beta << f - layer.fmt.beta.f_bits)


def encode(value: int, art: Artifact):
    """First block's input (H,) of one sample or token. Returns x, saturated elements.

    Affine: ``w v + b`` rounded half to even to p's fraction bits, then clamped to [0, 1]; a
    stream is saturated to x's format, which counts.
    """
    if art.vocab:
        return art.enc_w[value], 0
    fmt, edge = art.layers[0].fmt, art.edge
    f = edge.enc_w.f_bits + edge.sample.f_bits
    raw = round_half_even(art.enc_w * value + (art.enc_b << f - edge.enc_b.f_bits),
                          f - fmt.p.f_bits)
    if art.streams:
        return saturate(raw, fmt.x)
    return np.clip(raw, 0, 1 << fmt.p.f_bits), 0


def decode(total, length: int, art: Artifact):
    """Logits ``W sum_t x_t + length b``: no division, exact for any length; (outputs,).

    Of a network with two inputs they are the features, which ``quant.integer.head`` goes on with.
    """
    return art.dec_w @ total + length * art.dec_b


# --- signature: a CRC per layer and step over everything the spikes do not show ---------------

CRC_POLY = 0x04C11DB7       # CRC-32, most significant bit first, start value all ones
MASK = 0xFFFFFFFF


def rotl(x, by: int):
    """32-bit rotation of the low 32 bits of ``x`` to the left."""
    x = x & MASK
    by %= 32
    return ((x << by) | (x >> 32 - by)) & MASK if by else x


def neuron_word(h_re, h_im, r_round, p_in, r_in, y, r_out) -> np.ndarray:
    """One 32-bit word per neuron: XOR of everything computed, each rotated by its position.

    h_re, h_im, r_round: (H, n) written state and rounding words (0 when not drawn); p_in as the
    input sampler took it; y of :func:`drive`; r_in, r_out what the samplers held against p: the
    draws, or with ``systematic`` the phases before the step.
    """
    word = rotl(p_in, 0) ^ rotl(r_in, 11) ^ rotl(y, 3) ^ rotl(r_out, 23)
    for k in range(h_re.shape[1]):
        word ^= (rotl(h_re[:, k], 5 * k + 1) ^ rotl(h_im[:, k], 5 * k + 17)
                 ^ rotl(r_round[:, k], 5 * k + 9))
    return word


def crc32(words) -> int:
    """CRC-32 (polynomial 0x04C11DB7, unreflected, no final XOR) of 32-bit words in order."""
    crc = MASK
    for word in words:
        crc ^= int(word)
        for _ in range(32):
            crc = ((crc << 1) & MASK) ^ (CRC_POLY if crc >> 31 else 0)
    return crc


# --- the whole network -----------------------------------------------------------------------

@dataclass(frozen=True)
class Trace:
    """Everything that is compared with hardware, of one sequence of L steps and N layers."""

    s_in: np.ndarray            # (N, L, H) spikes of the input samplers, uint8
    s_out: np.ndarray           # (N, L, H) spikes of the output samplers, uint8
    signature: np.ndarray       # (N, L) uint32
    logits: np.ndarray          # (outputs,) int64
    label: int                  # arg max, the lowest index on a tie; no class if there is a head
    saturations: np.ndarray     # (N + 1,) int64: states per layer, then the residual stream


def run(art: Artifact, values: np.ndarray, seed: int | None = None) -> Trace:
    """One sequence of raw samples or tokens ``values`` (L,), streams restarted from ``seed``."""
    L, N, H, n = len(values), len(art.layers), art.H, art.n
    if not 1 <= L <= art.length:
        raise ValueError(f"a sequence has 1..{art.length} steps, not {L}")
    seed = art.seed if seed is None else seed
    sampler_in, sampler_out = ([SpikeSampler(art, j, kind, seed, L) for j in range(N)]
                               for kind in (lfsr.SAMPLER_IN, lfsr.SAMPLER_OUT))
    r_round = [rounding_words(art, j, seed, L) for j in range(N)]

    s_in, s_out = (np.zeros((N, L, H), np.uint8) for _ in range(2))
    signature = np.zeros((N, L), np.uint32)
    saturations = np.zeros(N + 1, np.int64)
    h_re, h_im = (np.zeros((N, H, n), np.int64) for _ in range(2))
    total = np.zeros(H, np.int64)
    for t in range(L):
        x, over = encode(int(values[t]), art)
        saturations[N] += over
        for j, layer in enumerate(art.layers):
            p = input_probability(x, layer, art.residual)
            s, r_in = sampler_in[j](p)
            h_re[j], h_im[j], over = state_update(
                h_re[j], h_im[j], s[:, None], layer.a_re, layer.a_im, layer.g_re, layer.g_im,
                r_round[j][t], art.rounding, layer.fmt, art.random)
            saturations[j] += over
            y = drive(h_re[j], s, layer)
            out, r_out = sampler_out[j](output_probability(y, layer))
            signature[j, t] = crc32(neuron_word(h_re[j], h_im[j], r_round[j][t], p, r_in, y,
                                                r_out))
            s_in[j, t], s_out[j, t] = s, out
            x, over = fuse(mix(out, layer, art.act), x, layer, art.residual)
            saturations[N] += over
        total += x
    logits = decode(total, L, art)
    return Trace(s_in, s_out, signature, logits, int(np.argmax(logits)), saturations)
