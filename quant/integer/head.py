"""The head of a network with two inputs, in integers: what reference, simulation and host compute.

The hardware gives out the decoder's sums of a sequence, the features ``f = W sum_t x_t + len b``.
Two sequences' features become a class:

    m      = round(f / len)                         half to even, saturates: a and b
    hidden = round(relu(W1 (a, b, a - b, a b) + b1))    half to even, saturates
    logits = W2 hidden + b2                         exact

This module is the specification. All of it is int64, and ``Head.check`` proves that nothing wraps.
"""

from dataclasses import dataclass

import numpy as np

from golden.base.qformat import QFormat
from quant.integer.head_tensors import VOTES, Head
from quant.integer.operation import ArtifactError, round_half_even
from quant.integer.program import Artifact


@dataclass(frozen=True)
class Answers:
    """What a network says of B examples.

    logits : (B, n_classes); labels : (B,), the lowest index on a tie; saturations : (B, 2) of the
    head's means and hidden values, 0 without a head.
    """

    logits: np.ndarray
    labels: np.ndarray
    saturations: np.ndarray


def mean(features, lengths, f_bits: int, head: Head):
    """Means (B, F) over time of features (B, F), ``f_bits`` fraction bits, before they saturate.

    ``features / (lengths 2**(f_bits - mean.f_bits))`` to the nearest integer, ties to the even one.
    """
    divisor = lengths[:, None] << f_bits - head.fmt.mean.f_bits
    down, rest = np.divmod(features, divisor)           # rest from 0 to divisor - 1
    return down + ((2 * rest > divisor) | ((2 * rest == divisor) & (down & 1 == 1)))


def hidden(a, b, head: Head):
    """Hidden values (B, F) of the means a and b (B, F), before they saturate."""
    fmt, F = head.fmt, a.shape[1]
    linear = np.concatenate([a, b, a - b], axis=1) @ head.w1[:, :3 * F].T
    acc = (linear << fmt.mean.f_bits) + (a * b) @ head.w1[:, 3 * F:].T + head.b1
    return round_half_even(np.maximum(acc, 0), fmt.acc_bits - fmt.hidden.f_bits)


def _saturated(raw, fmt: QFormat):
    """(clipped raw (B, F), clipped elements of each row (B,))."""
    kept = np.clip(raw, fmt.lo, fmt.hi)
    return kept, (kept != raw).sum(1)


def classify(art: Artifact, features_a, length_a, features_b, length_b) -> Answers:
    """Classes of B pairs; features (B, F) int64 of each sequence and its steps (B,).

    Of several runs of a sequence (votes): the sums of the features and of the steps.
    """
    head, f_bits = art.head, art.decoder_b.fmt.f_bits
    (a, over_a), (b, over_b) = (
        _saturated(mean(np.asarray(f, np.int64), np.asarray(length, np.int64), f_bits, head),
                   head.fmt.mean)
        for f, length in ((features_a, length_a), (features_b, length_b)))
    h, over_h = _saturated(hidden(a, b, head), head.fmt.hidden)
    logits = h @ head.w2.T + head.b2
    return Answers(logits, logits.argmax(1), np.stack([over_a + over_b, over_h], axis=1))


def answers(art: Artifact, logits: np.ndarray, lengths: np.ndarray, votes: int = 1) -> Answers:
    """What a network says about its examples, with a head or without.

    logits : (n inputs, outputs) int64, the decoder's sums of single sequences in the order of
    ``golden.tasks.Split.sequences``, added up over ``votes`` runs; lengths : (n inputs,) steps.
    """
    if art.head is None:
        return Answers(logits, logits.argmax(1), np.zeros((len(logits), 2), np.int64))
    if len(logits) % 2:
        raise ArtifactError(f"{len(logits)} sequences, but network {art.task} takes two for an "
                            f"example; give an even number of them")
    if votes > VOTES:
        raise ArtifactError(f"{votes} votes: the sums of a network with two inputs are proven for "
                            f"at most {VOTES}")
    steps = np.asarray(lengths, np.int64) * votes
    return classify(art, logits[::2], steps[::2], logits[1::2], steps[1::2])
