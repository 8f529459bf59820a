"""The head of a network with two inputs, in integers: what reference, simulation and host compute.

The hardware gives out the decoder's sums of a sequence, the features ``f = W sum_t x_t + len b``.
Two sequences' features become a class:

    m      = round(f / len)                         half to even, saturates: a and b
    hidden = round(relu(W1 (a, b, a - b, a b) + b1))    half to even, saturates
    logits = W2 hidden + b2                         exact

This module is the specification. All of it is int64, and :meth:`Head.check` proves that nothing
wraps.
"""

from dataclasses import dataclass

import numpy as np

from golden.base.qformat import FormatError, QFormat
from quant.formats import Formats
from quant.integer.operation import ArtifactError, Tensor, inside, need, round_half_even, top

WORD = 63           # bits of a magnitude in int64
TENSORS = ("w1", "b1", "w2", "b2")
VOTES = 1 << 10     # runs whose features are summed, at most


@dataclass(frozen=True)
class HeadFormats(Formats):
    """Formats of a head of F features; the comment names the shape."""

    mean: QFormat       # mean over time of a feature                                   (F,)
    w1: QFormat         # of (a, b, a - b, a b)                                       (F, 4 F)
    b1: QFormat         # with the fraction bits of w1 mean mean                        (F,)
    hidden: QFormat     # behind the ReLU                                               (F,)
    w2: QFormat         #                                                      (n_classes, F)
    b2: QFormat         # with the fraction bits of w2 hidden                   (n_classes,)

    def __post_init__(self):
        for name, has, want in (("b1", self.b1.f_bits, self.acc_bits),
                                ("b2", self.b2.f_bits, self.w2.f_bits + self.hidden.f_bits)):
            if has != want:
                raise FormatError(f"head, {name}: {getattr(self, name)} must have the {want} "
                                  f"fraction bits of its products")
        if self.hidden.f_bits > self.acc_bits:
            raise FormatError(f"head, hidden: {self.hidden} has more fraction bits than its sum, "
                             f"{self.acc_bits}")

    @property
    def acc_bits(self) -> int:
        """Fraction bits of the sums in front of the ReLU: those of w1 times a product of means."""
        return self.w1.f_bits + 2 * self.mean.f_bits


@dataclass(frozen=True)
class Head:
    """Integer tensors of a head; shapes and formats as in :class:`HeadFormats`."""

    fmt: HeadFormats | None     # None: real numbers
    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray

    @classmethod
    def of(cls, formats: dict[str, str], arrays: dict[str, np.ndarray]) -> "Head":
        """From an artifact's formats and arrays."""
        return cls(HeadFormats.from_dict(formats), *(arrays[f"head.{name}"] for name in TENSORS))

    def tensor(self, name: str) -> Tensor:
        return Tensor(getattr(self, name), getattr(self.fmt, name))

    def arrays(self) -> dict[str, np.ndarray]:
        """For an artifact, by name."""
        return {f"head.{name}": getattr(self, name) for name in TENSORS}

    def check(self, art) -> None:
        """Every rule of the head of artifact ``art``; raises ``ArtifactError``."""
        fmt, F = self.fmt, art.outputs
        need(fmt.mean.f_bits <= art.decoder_b.fmt.f_bits,
             f"head, mean: {fmt.mean} has more fraction bits than the features, "
             f"{art.decoder_b.fmt.f_bits}")
        for name, shape in (("w1", (F, 4 * F)), ("b1", (F,)), ("w2", (art.n_classes, F)),
                            ("b2", (art.n_classes,))):
            inside(f"head, {name}", getattr(self, name), getattr(fmt, name), shape)
        for name, bound in self.bounds(art).items():
            need(bound < 1 << WORD - 1,
                 f"head, {name}: values up to {bound} need {bound.bit_length() + 1} bits, 64 are "
                 f"the most that can be run; use narrower formats or shorter sequences")

    def bounds(self, art) -> dict[str, int]:
        """Largest magnitude of every sum of ``quant.integer.head``, from the actual coefficients.

        Python's integers, which never wrap round.
        """
        fmt, F = self.fmt, art.outputs
        x, m = top(art.x_format), top(fmt.mean)

        def rows(w, factor: int) -> np.ndarray:
            return abs(w.astype(object)).sum(1) * factor

        def largest(products, b) -> int:
            return max(products + abs(b.astype(object)))

        steps = art.length * VOTES
        products = (rows(self.w1[:, :2 * F], m << fmt.mean.f_bits)
                    + rows(self.w1[:, 2 * F:3 * F], 2 * m << fmt.mean.f_bits)
                    + rows(self.w1[:, 3 * F:], m * m))
        return {"features": steps * largest(rows(art.decoder_w.raw, x), art.decoder_b.raw),
                "divisor of the mean": steps << art.decoder_b.fmt.f_bits - fmt.mean.f_bits,
                "hidden": largest(products, self.b1),
                "logits": largest(rows(self.w2, top(fmt.hidden)), self.b2)}


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


def classify(art, features_a, length_a, features_b, length_b) -> Answers:
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


def answers(art, logits: np.ndarray, lengths: np.ndarray, votes: int = 1) -> Answers:
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
