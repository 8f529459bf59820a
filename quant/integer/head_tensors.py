"""The head of a network with two inputs: its integer tensors, their formats, what an export checks.

``quant.integer.head`` has the arithmetic.
"""

from dataclasses import dataclass

import numpy as np

from golden.base.qformat import FormatError, QFormat
from quant.formats import Formats
from quant.integer.operation import Tensor, inside, need, top

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
