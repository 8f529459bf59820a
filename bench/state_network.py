"""A whole trained network with one part quantised: the state update. The rest stays float64."""

from dataclasses import dataclass

import numba as nb
import numpy as np

from bench.state_model import Integers, System, advance, noise


@dataclass(frozen=True)
class Block:
    """What a block is besides its state update: plain arrays from a trained network.

    A, g (H, n) complex; d, b (H,); W (H, H), one row per event's source; bias, scale, shift (H,).
    """

    A: np.ndarray
    g: np.ndarray
    d: np.ndarray
    b: np.ndarray
    W: np.ndarray
    bias: np.ndarray
    scale: np.ndarray       # of the norm
    shift: np.ndarray


@dataclass(frozen=True)
class Edges:
    """Encoder (H,) and decoder (n_classes, H), (n_classes,)."""

    enc_w: np.ndarray
    enc_b: np.ndarray
    dec_w: np.ndarray
    dec_b: np.ndarray


def extract(network) -> tuple[list[Block], Edges]:
    """Arrays of a ``golden.model.network.Network``; affine encoder, ReLU and clampfuse only."""
    cfg = network.cfg
    if (cfg.vocab, cfg.act, cfg.residual, cfg.kernel) != (0, "relu", "clampfuse", "causal"):
        raise ValueError("the comparison needs a causal network on samples with act relu and "
                         "residual clampfuse")

    def array(x):
        return x.detach().double().numpy()

    blocks = []
    for block in network.double().blocks:
        A, g, d = (x.detach().numpy() for x in block.ssm.discrete())
        fuse = block.fuse
        scale = array(fuse.gamma) / np.sqrt(array(fuse.var) + fuse.eps)
        blocks.append(Block(A, g, d, array(block.out.b), array(block.mixer.weight).T.copy(),
                            array(block.mixer.bias), scale,
                            array(fuse.beta) - scale * array(fuse.mean)))
    encoder, decoder = network.encoder, network.decoder
    return blocks, Edges(array(encoder.weight), array(encoder.bias), array(decoder.weight),
                         array(decoder.bias))


@nb.njit(cache=True)
def _run(v, M, Mi, b, bi, f, lo, hi, mode, frac, rest, W, enc_w, enc_b, record):
    """Sums over time of the last block's output (B, H), saturations; fills ``record`` if asked.

    mode: 0 exact (M, b float64), 1 stochastic, 2 half to even (Mi, bi). rest (N, 5, H): d, drive,
    bias, scale, shift. record (B, L, N, H) uint8: input spikes, or empty.
    """
    B, L = v.shape
    N, H, n = b.shape[:3]
    total, over = np.zeros((B, H)), 0
    x, z = np.zeros(H), np.zeros(H)
    wf, wi = np.zeros((N, H, n, 2)), np.zeros((N, H, n, 2), np.int64)
    for q in range(B):
        wf[:], wi[:] = 0, 0
        for t in range(L):
            for i in range(H):
                x[i] = min(max(enc_w[i] * v[q, t] + enc_b[i], 0.0), 1.0)
            for j in range(N):
                z[:] = rest[j, 2]
                unit = 2.0 ** -f[j]
                for i in range(H):
                    at = np.int64(((q * L + t) * N + j) * H + i)
                    word = np.uint32(noise(at))
                    fired = x[i] * 65536 > (word >> np.uint32(16)) + 0.5
                    if record.size:
                        record[q, t, j, i] = fired
                    y = rest[j, 1, i] + (rest[j, 0, i] if fired else 0.0)
                    if mode == 0:
                        for k in range(n):
                            w = wf[j, i, k]
                            w1 = M[j, i, k, 0, 0] * w[0] + M[j, i, k, 0, 1] * w[1]
                            w2 = M[j, i, k, 1, 0] * w[0] + M[j, i, k, 1, 1] * w[1]
                            if fired:
                                w1, w2 = w1 + b[j, i, k, 0], w2 + b[j, i, k, 1]
                            w[0], w[1] = w1, w2
                            y += w1
                    else:
                        whole = 0
                        for k in range(n):
                            r = np.int64(-1)
                            if mode == 1:
                                r = np.int64(noise(at * n + k ^ 0x5BD1E995))
                            over += advance(wi[j, i, k], Mi[j, i, k], bi[j, i, k], fired, r,
                                            lo, hi, frac)
                            whole += wi[j, i, k, 0]
                        y += whole * unit
                    if y * 65536 > (word & np.uint32(65535)) + 0.5:
                        z += W[j, i]
                for i in range(H):
                    p = x[i] + rest[j, 3, i] * max(z[i], 0.0) + rest[j, 4, i]
                    x[i] = min(max(p, 0.0), 1.0)
            total[q] += x
    return total, over


def run(v: np.ndarray, blocks: list[Block], edges: Edges, systems: list[System],
        raw: list[Integers] | None = None, rounding: str = "stochastic", frac: int = 0,
        record: bool = False):
    """(classes (B,), saturated words, input spikes (B, L, N, H) or None) of samples v (B, L).

    Exact systems, or with ``raw`` (``frac`` fraction bits in M) the integer state update. The
    samplers' draws depend on image, step, layer and neuron only: every call has the same.
    """
    M, b = (np.stack([getattr(s, name) for s in systems]) for name in ("M", "b"))
    if raw is None:
        Mi, bi = np.zeros((0, 0, 0, 2, 2), np.int64), np.zeros((0, 0, 0, 2), np.int64)
        mode, lo, hi, f = 0, 0, 0, np.zeros(len(blocks))
    else:
        Mi, bi, f = (np.stack(x) for x in ([r.M for r in raw], [r.b for r in raw],
                                           [float(r.f[0]) for r in raw]))
        mode, lo, hi = (1 if rounding == "stochastic" else 2), raw[0].lo, raw[0].hi
    rest = np.stack([np.stack([k.d, k.b, k.bias, k.scale, k.shift]) for k in blocks])
    seen = np.zeros((*v.shape, *b.shape[:2]) if record else (0, 0, 0, 0), np.uint8)
    total, over = _run(v, M, Mi, b, bi, f, lo, hi, mode, frac, rest,
                       np.stack([k.W for k in blocks]), edges.enc_w, edges.enc_b, seen)
    logits = total / v.shape[1] @ edges.dec_w.T + edges.dec_b
    return logits.argmax(1), over, seen if record else None
